"""Explore in a browser: two sensors with an axis each, the period before, marks, CSV and PNG, an address to share."""

import base64
import csv
import io
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
import pytest
from browser import Person
from charts import axis, drawn, fingers, plot, shown_s, until_figures
from devices import new_id, now_ms
from harness import Stack, reading, wait_until
from playwright.sync_api import expect

SENSORS = [
    {"gpio": 4, "sensor_type": "DS18B20", "base_value": 22.5, "unit": "°C", "interval_s": 0.5},
    {"gpio": 5, "sensor_type": "SHT31_humidity", "base_value": 51.0, "unit": "%RH", "interval_s": 0.5},
]

HOUR_MS, MINUTE_MS = 3_600_000, 60_000
_READ_BACK = """async (encoded) => {
    const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
    const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const seen = document.querySelector(".explored canvas");
    const [saved, page] = [image, seen].map(() => new OffscreenCanvas(image.width, image.height).getContext("2d"));
    saved.drawImage(image, 0, 0);
    page.fillStyle = getComputedStyle(seen.closest(".panel")).backgroundColor;
    page.fillRect(0, 0, image.width, image.height);
    page.drawImage(seen, 0, 0);
    const differing = (left, top, width, height) => {
        const [one, other] = [saved, page].map((context) => context.getImageData(left, top, width, height).data);
        let count = 0;
        for (let place = 0; place < one.length; place += 4) {
            if ([0, 1, 2, 3].some((part) => Math.abs(one[place + part] - other[place + part]) > 2)) count += 1;
        }
        return count;
    };
    const below = image.height - seen.height;
    return {
        wider: image.width - seen.width,
        below,
        chart: differing(0, 0, image.width, seen.height),
        legend: below > 0 ? differing(0, seen.height, image.width, below) : 0,
        edge: below > 0 ? differing(image.width - 6, seen.height, 6, below) : 0,
    };
}"""
"""Compares a file with a picture to the chart on the background of the page, in pixels: how much wider and higher the
picture is; how many pixels differ in the chart, in the part below, and at the right edge of that part. A canvas keeps a
colour times its opacity, so a difference of two may be rounding."""

_KEEP_TEXTS = """() => {
    window.written = [];
    const fill = CanvasRenderingContext2D.prototype.fillText;
    CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
        if (!this.canvas.isConnected) window.written.push(text);
        return fill.call(this, text, ...place);
    };
}"""
"""Keeps what is written on canvases that are not in the page."""


def a_mock(stack: Stack, made: list[str], sensors: list[dict[str, Any]] = SENSORS) -> str:
    """A running mock with sensors of different units in a zone, and a pump."""
    esp_id = new_id()
    body = {
        "esp_id": esp_id,
        "firmware": "b",
        "zone_id": "explored",
        "sensors": sensors,
        "actuators": [{"gpio": 25, "actuator_type": "pump"}],
    }
    with stack.sign_in() as rest:
        assert rest.post("/api/v1/debug/mock-esp", json=body).status_code == 201
        made.append(esp_id)
        latest = {"esp_id": esp_id}
        wait_until(
            lambda: len(rest.get("/api/v1/sensors/latest", params=latest).json()["items"]) == len(sensors),
            "each has sent",
        )
        url = f"/api/v1/actuators/{esp_id}/25"
        wait_until(lambda: rest.get(url).status_code == 200, "the pump was reported")
        rest.put(url, json={"actuator_type": "pump", "name": "Pump X"}).raise_for_status()
        boots = f"/api/v1/debug/mock-esp/{esp_id}"
        wait_until(lambda: rest.get(boots).json()["state"] == "OPERATIONAL", "the mock has booted")
    return esp_id


@pytest.mark.usefixtures("stops_end")
def test_two_sensors_are_compared_marked_saved_and_shared(
    operator: Person, console_stack: Stack, made_mocks: list[str], make_person: Callable[..., Person]
):
    esp_id = a_mock(console_stack, made_mocks)
    page = operator.open("explore").page
    page.get_by_label("Search name, type, zone or device").fill(f"explored {esp_id}")
    fitting = page.get_by_role("group", name="Matching sensors")
    expect(fitting.get_by_role("button")).to_have_count(2)
    fitting.get_by_role("button").first.click()
    fitting.get_by_role("button").first.click()
    chart = page.get_by_role("img", name="Values of the chosen sensors")
    expect(chart.locator(".u-legend .u-series")).to_have_count(1 + 2 * 3)
    expect(chart.locator(".u-axis")).to_have_count(3)  # time, and an axis for each unit
    page.get_by_label("Show the period before").check()
    expect(chart.locator(".u-legend .u-series")).to_have_count(1 + 4 * 3)

    with console_stack.sign_in() as rest:
        command = {"command": "ON", "duration_s": 1}
        assert rest.post(f"/api/v1/actuators/{esp_id}/25/command", json=command).status_code == 202
        rest.post("/api/v1/actuators/emergency_stop", json={"esp_id": esp_id, "reason": "a test"}).raise_for_status()
        query = {"esp_id": esp_id, "kind": "stop_in_force"}
        wait_until(lambda: rest.get("/api/v1/alarms", params=query).json()["items"], "the stop is an alarm")
    page.reload()
    marks = page.locator(".marks li")
    expect(marks.filter(has_text="command ON to Pump X by admin")).to_have_count(1)
    expect(marks.filter(has_text="stop critical").filter(has_text=esp_id)).not_to_have_count(0)
    expect(marks.filter(has_text="deployment Kaiser")).not_to_have_count(0)

    with page.expect_download() as saved:
        operator.button("CSV").click()
    rows = list(csv.DictReader(io.StringIO(saved.value.path().read_text())))
    assert {row["unit"] for row in rows} == {"°C", "%RH"}
    assert {row["device"] for row in rows} == {esp_id}
    assert {row["zone"] for row in rows} == {"explored"}
    assert all(row["time"].endswith("Z") and float(row["lowest"]) <= float(row["highest"]) for row in rows)
    with page.expect_download() as picture:
        operator.button("PNG").click()
    assert picture.value.path().read_bytes().startswith(b"\x89PNG")

    address = page.url.partition("#/")[2]
    other = make_person(width=390).sign_in().open(address)
    expect(other.page.locator(".u-legend .u-series")).to_have_count(1 + 4 * 3)
    expect(other.page.get_by_label("Show the period before")).to_be_checked()
    expect(other.page.locator(".marks li").filter(has_text="stop critical")).not_to_have_count(0)
    assert other.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    other.page.get_by_label("Mark alarms").uncheck()
    expect(other.page.locator(".marks")).to_have_count(0)
    expect(other.page).to_have_url(re.compile("-plain/"))


@pytest.mark.usefixtures("stops_end")
def test_an_alarm_that_was_raised_before_the_time_shown_is_a_band_and_each_start_of_kaiser_is_kept(
    operator: Person, console_stack: Stack, made_mocks: list[str]
):
    esp_id = a_mock(console_stack, made_mocks)
    with console_stack.sign_in() as rest:
        running = {one["service"] for one in rest.get("/api/v1/system/status").json()["services"] if one["up"]}
        starts = {"from": 1, "to": 4_000_000_000_000}

        def started() -> set[str]:
            found = rest.get("/api/v1/system/starts", params=starts).json()["items"]
            return {one["service"] for one in found}

        wait_until(lambda: started() >= running, "the start of each process is kept", 120.0)
        rest.post("/api/v1/actuators/emergency_stop", json={"esp_id": esp_id, "reason": "a test"}).raise_for_status()
        query = {"esp_id": esp_id, "kind": "stop_in_force"}
        [stop] = wait_until(lambda: rest.get("/api/v1/alarms", params=query).json()["items"], "the stop is an alarm")
        later = f"2000-{stop['raised_at'] + 5000}"  # two seconds that begin after it
        page = operator.open("explore", later, f"{esp_id},4,ds18b20,").page
        mark = page.locator(".marks li").filter(has_text="stop critical")
        expect(mark).to_contain_text("began at")
        expect(mark).to_contain_text("still stands")
        chart = page.get_by_role("img", name="Values of the chosen sensors")
        axis = [chart.get_attribute("data-from"), chart.get_attribute("data-to")]
        assert [mark.get_attribute("data-from"), mark.get_attribute("data-to")] == axis


def test_a_free_time_is_chosen_and_left_again(operator: Person, console_stack: Stack, made_mocks: list[str]):
    esp_id = a_mock(console_stack, made_mocks)
    page = operator.open("explore", "3600000", f"{esp_id},4,ds18b20,").page
    chart = page.get_by_role("img", name="Values of the chosen sensors")
    expect(chart).to_be_visible()
    operator.button("From, to…").click()
    page.get_by_label("From", exact=True).fill("2026-01-01T00:00:00")
    page.get_by_label("To", exact=True).fill("2026-01-02T00:00:00")
    operator.button("Show").click()
    expect(page.locator(".explored")).to_contain_text("No figures in this time.")
    span = int(chart.get_attribute("data-to") or 0) - int(chart.get_attribute("data-from") or 0)
    assert span == 24 * 3600 * 1000
    assert f"86400000-{chart.get_attribute('data-to')}" in page.url
    operator.button("Back").click()
    expect(page).to_have_url(re.compile(f"#/explore/3600000/{esp_id}"))


def a_device(stack: Stack, ended: int) -> str:
    """A device with readings in the hour before a time, and in the hour before that one."""
    [esp_id] = stack.register(1)
    values = {1800: 22.0, 1799: 26.0, 1200: 23.5, 5400: 33.0, 4800: 35.5}
    stack.publish([reading(esp_id, 4, ended - ago_s * 1000, value) for ago_s, value in values.items()])
    wait_until(lambda: stack.rows([esp_id]) == len(values), "the readings are stored")
    with stack.sign_in() as rest:
        latest = {"esp_id": esp_id}
        wait_until(lambda: rest.get("/api/v1/sensors/latest", params=latest).json()["items"], "its unit is known")
    return esp_id


def test_a_sensor_that_is_first_seen_while_the_page_is_open_gets_its_unit_and_name(
    operator: Person, console_stack: Stack
):
    esp_id, gpio = a_device(console_stack, now_ms()), 5
    page = operator.open("explore", str(HOUR_MS), f"{esp_id},{gpio},ds18b20,").page
    page.get_by_label("Search name, type, zone or device").fill(esp_id)
    fitting = page.get_by_role("group", name="Matching sensors").get_by_role("button")
    expect(fitting).to_have_count(1)  # that on gpio 4: the overview is loaded, and knows no other
    name = f"Tank {esp_id[-4:]}"
    with console_stack.sign_in() as rest:
        settings = {"name": name, "interval_s": 60}
        rest.put(f"/api/v1/sensors/{esp_id}/{gpio}/ds18b20", json=settings).raise_for_status()
    console_stack.publish([reading(esp_id, gpio, now_ms(), 21.0)])
    expect(page.get_by_role("button", name=name)).to_be_visible()
    chart = page.get_by_role("img", name="Values of the chosen sensors")
    expect(chart.locator(".u-legend")).to_contain_text(f"{name} ({esp_id}) (°C)")


def saved_file(person: Person) -> list[dict[str, str]]:
    """The rows of the file of what is seen, by their columns."""
    with person.page.expect_download() as saved:
        person.button("CSV").click()
    return list(csv.DictReader(io.StringIO(saved.value.path().read_text())))


def saved_rows(person: Person, period: str = "shown") -> list[tuple[int, float, float, float, int]]:
    """The file of what is seen, of one period: time in ms, mean, lowest, highest, readings."""
    return [
        (
            round(datetime.fromisoformat(row["time"]).timestamp() * 1000),
            float(row["mean"]),
            float(row["lowest"]),
            float(row["highest"]),
            int(row["readings"]),
        )
        for row in saved_file(person)
        if row["period"] == period
    ]


def test_the_period_before_is_drawn_at_the_time_of_day_of_now_and_saved_at_its_own(
    operator: Person, console_stack: Stack
):
    ended = now_ms() // MINUTE_MS * MINUTE_MS
    esp_id = a_device(console_stack, ended)
    operator.open("explore", f"{HOUR_MS}-{ended}-before", f"{esp_id},4,ds18b20,")
    expect(operator.page.locator(".chart figcaption")).to_contain_text("3 points; lowest 22 °C")
    name = f"ds18b20 on gpio 4 ({esp_id})"
    until_figures(operator, ended - 20 * MINUTE_MS, {f"{name} (°C)": "23.5", f"{name}, before (°C)": "35.5"})
    assert [mean for _, mean, *_ in saved_rows(operator)] == [22.0, 26.0, 23.5]
    assert saved_rows(operator, "before") == [
        (ended - 90 * MINUTE_MS, 33.0, 33.0, 33.0, 1),
        (ended - 80 * MINUTE_MS, 35.5, 35.5, 35.5, 1),
    ]


def test_the_file_of_what_is_seen_has_the_figures_of_the_api(operator: Person, console_stack: Stack):
    ended = now_ms() // MINUTE_MS * MINUTE_MS
    esp_id = a_device(console_stack, ended)
    words = operator.page.locator(".chart figcaption")
    query = {"esp_id": esp_id, "gpio": 4, "sensor_type": "ds18b20", "to": ended}
    operator.open("explore", f"{HOUR_MS}-{ended}", f"{esp_id},4,ds18b20,")
    expect(words).to_contain_text("3 points; lowest 22 °C, highest 26 °C")
    with console_stack.sign_in() as rest:

        def answered(**more: Any) -> list[dict[str, Any]]:
            items = rest.get("/api/v1/sensors/data", params=query | more).json()["items"]
            return sorted(items, key=lambda one: int(one["ts"]))

        of_readings = [(one["ts"], *[one["value"]] * 3, 1) for one in answered(**{"from": ended - HOUR_MS})]
        assert saved_rows(operator) == of_readings
        assert [mean for _, mean, *_ in of_readings] == [22.0, 26.0, 23.5]
        operator.open("explore", f"{24 * HOUR_MS}-{ended}", f"{esp_id},4,ds18b20,")
        expect(words).to_contain_text("lowest 22 °C, highest 35.5 °C")
        buckets = [one for one in answered(**{"from": ended - 24 * HOUR_MS, "bucket": "300s"}) if one["count"]]
        of_buckets = [(one["ts"], one["avg"], one["min"], one["max"], one["count"]) for one in buckets]
        assert saved_rows(operator) == of_buckets
        assert (24.0, 22.0, 26.0, 2) in [tuple(figures) for _, *figures in of_buckets]


def too_warm(stack: Stack, rest: httpx.Client, esp_id: str, times: int) -> None:
    """Let the thermometer of a device be so often beyond its limit and back."""
    rest.put(f"/api/v1/alarms/limits/{esp_id}/4/ds18b20", json={"hi": 40}).raise_for_status()
    query = {"esp_id": esp_id, "from": now_ms() - HOUR_MS, "to": now_ms() + 24 * HOUR_MS}

    def ends() -> list[int | None]:
        items = rest.get("/api/v1/alarms/spans", params=query).json()["items"]
        return [one["ended_at"] for one in items if one["kind"] == "limit_hi"]

    for number in range(1, times + 1):
        stack.publish([reading(esp_id, 4, now_ms(), 41.5)])
        wait_until(lambda count=number: len(ends()) == count, "it is an alarm")
        stack.publish([reading(esp_id, 4, now_ms(), 20.0)])
        wait_until(lambda: None not in ends(), "it is over")


def test_what_the_api_leaves_out_of_a_time_is_told_beside_the_marks(operator: Person, console_stack: Stack):
    """The page asks for 200 spans; here the request on its way asks for one, and the server leaves the other out."""
    ended = now_ms() // MINUTE_MS * MINUTE_MS + 10 * MINUTE_MS
    esp_id = a_device(console_stack, ended)
    with console_stack.sign_in() as rest:
        too_warm(console_stack, rest, esp_id, 2)
    address = ("explore", f"{HOUR_MS}-{ended}", f"{esp_id},4,ds18b20,")
    marks = operator.open(*address).page.locator(".marks")
    told = "More happened in this time than stands here"
    alarms = marks.locator("li").filter(has_text="over hi 40")
    expect(alarms).to_have_count(2)
    expect(marks).not_to_contain_text(told)
    narrow = re.compile(rf"/api/v1/alarms/spans\?.*esp_id={esp_id}")
    operator.page.route(narrow, lambda route: route.continue_(url=route.request.url.replace("limit=200", "limit=1")))
    operator.page.reload()
    expect(marks).to_contain_text(told)
    expect(alarms).not_to_have_count(2)


@pytest.mark.parametrize(("width", "colours"), [(1440, "light"), (390, "dark")])
def test_the_picture_of_what_is_seen_is_the_chart_with_its_time_and_the_names_of_its_lines(
    make_person: Callable[..., Person], console_stack: Stack, width: int, colours: str
):
    """With a mark: what happened comes after the line."""
    ended = now_ms() // MINUTE_MS * MINUTE_MS + 10 * MINUTE_MS
    esp_id = a_device(console_stack, ended)
    with console_stack.sign_in() as rest:
        too_warm(console_stack, rest, esp_id, 1)
    person = make_person(width=width, colours=colours).sign_in()
    person.open("explore", f"{HOUR_MS}-{ended}-before", f"{esp_id},4,ds18b20,")
    again = person.button("Try again")

    def mark() -> bool:
        """Where a busy machine answered too late, the page offers to ask again."""
        if again.count():
            again.first.click()
        return drawn(person, 0.0, 1.0, "--warn", 20) > 20

    wait_until(mark, "the mark is drawn")
    wait_until(lambda: drawn(person, 0.0, 1.0) > 50, "the line is drawn")
    person.page.evaluate(_KEEP_TEXTS)
    with person.page.expect_download() as picture:
        person.button("PNG").click()
    encoded = base64.b64encode(picture.value.path().read_bytes()).decode()
    found = person.page.evaluate(_READ_BACK, encoded)
    assert (found["wider"], found["chart"], found["edge"]) == (0, 0, 0), "the chart as it is, and no text cut"
    assert found["below"] >= 3 * 20, "a row for the time and one for each line"
    assert found["legend"] > 500, "pixels of letters and of samples of the lines"
    name = f"ds18b20 on gpio 4 ({esp_id})"
    zone = person.page.evaluate("Intl.DateTimeFormat().resolvedOptions().timeZone")
    written = " ".join(person.page.evaluate("window.written"))
    lines = f"times of {zone} {name} (°C) {name}, before (°C)"
    assert re.fullmatch(rf"\d+ \w+ \d{{4}}.* to \d+ \w+ \d{{4}}.*, {re.escape(lines)}", written), written


def test_fingers_drag_and_stretch_what_is_explored_and_its_address_follows(
    make_person: Callable[..., Person], console_stack: Stack
):
    ended = now_ms() // MINUTE_MS * MINUTE_MS
    esp_id = a_device(console_stack, ended)
    person = make_person(width=390).sign_in().open("explore", f"{HOUR_MS}-{ended}", f"{esp_id},4,ds18b20,")
    expect(person.page.locator(".chart figcaption")).to_contain_text("3 points; lowest 22 °C")
    touch = fingers(person)
    touch("touchStart", 0.25)
    for share in (0.4, 0.6, 0.75):
        touch("touchMove", share)
    touch("touchEnd")
    wait_until(lambda: axis(person)[1] == pytest.approx(ended - HOUR_MS / 2, abs=MINUTE_MS), "half an hour earlier")
    expect(person.page.locator(".chart figcaption")).to_contain_text("highest 35.5 °C")
    dragged = axis(person)
    expect(person.page).to_have_url(re.compile(rf"#/explore/\d+-{dragged[1]:.0f}/{esp_id}"))
    touch = fingers(person)
    touch("touchStart", 0.25, 0.75)
    for spread in (0.05, 0.1, 0.15, 0.2):
        touch("touchMove", 0.25 - spread, 0.75 + spread)
    touch("touchEnd")
    wait_until(lambda: shown_s(person) == pytest.approx(3600 * 0.5 / 0.9, abs=30), "the chart is stretched")
    began, until = axis(person)
    assert began + 0.05 * (until - began) == pytest.approx(dragged[0] + 0.25 * HOUR_MS, abs=MINUTE_MS)
    other = make_person().sign_in().open(person.page.url.partition("#/")[2])
    expect(other.page.locator(".chart canvas")).to_be_visible()
    assert axis(other) == (began, until)
    person.button("Back").click()
    wait_until(lambda: axis(person) == dragged, "the time before")


def test_a_double_click_leads_what_is_explored_back_to_the_time_before(operator: Person, console_stack: Stack):
    ended = now_ms() // MINUTE_MS * MINUTE_MS
    esp_id = a_device(console_stack, ended)
    page = operator.open("explore", f"{HOUR_MS}-{ended}", f"{esp_id},4,ds18b20,").page
    expect(page.locator(".chart figcaption")).to_contain_text("3 points; lowest 22 °C")
    place = plot(operator)
    page.mouse.move(place["x"] + 0.25 * place["width"], place["y"] + 50)
    page.mouse.down()
    page.mouse.move(place["x"] + 0.75 * place["width"], place["y"] + 60, steps=5)
    page.mouse.up()
    wait_until(lambda: shown_s(operator) == pytest.approx(1800, abs=30), "half of the hour")
    place = plot(operator)
    page.mouse.dblclick(place["x"] + 0.5 * place["width"], place["y"] + 50)
    wait_until(lambda: axis(operator) == (ended - HOUR_MS, ended), "the hour again")
    expect(page).to_have_url(re.compile(f"#/explore/{HOUR_MS}-{ended}/{esp_id}"))


def test_a_third_unit_is_left_out_with_a_note_until_another_unit_makes_room(
    operator: Person, console_stack: Stack, made_mocks: list[str]
):
    light = {"gpio": 6, "sensor_type": "light", "base_value": 900.0, "unit": "lx", "interval_s": 0.5}
    esp_id = a_mock(console_stack, made_mocks, [*SENSORS, light])
    page = operator.open("explore", str(HOUR_MS)).page
    page.get_by_label("Search name, type, zone or device").fill(esp_id)
    fitting = page.get_by_role("group", name="Matching sensors").get_by_role("button")
    for kind in ("ds18b20", "sht31_humidity", "light"):
        fitting.filter(has_text=kind).click()
    note = page.get_by_text("A chart has room for two units; sensors with a third one are left out.")
    chart = page.get_by_role("img", name="Values of the chosen sensors")
    expect(note).to_be_visible()
    expect(chart.locator(".u-axis")).to_have_count(3)
    labels = chart.locator(".u-legend .u-label")
    expect(labels).to_have_count(1 + 2 * 3)
    expect(labels.filter(has_text="(lx)")).to_have_count(0)
    expect(page.locator(".chart figcaption span")).to_have_count(2)
    assert {row["unit"] for row in saved_file(operator)} == {"°C", "%RH"}
    page.get_by_role("button", name=f"sht31_humidity on gpio 5 {esp_id}").click()
    expect(note).to_have_count(0)
    expect(labels.filter(has_text="(lx)")).to_have_count(3)
    expect(labels.filter(has_text="(%RH)")).to_have_count(0)


def test_a_chart_of_six_sensors_keeps_them_and_says_so_until_one_is_removed(operator: Person, console_stack: Stack):
    [esp_id] = console_stack.register(1)
    gpios = list(range(4, 11))
    console_stack.publish([reading(esp_id, gpio, now_ms(), 20.0) for gpio in gpios])
    with console_stack.sign_in() as rest:
        latest = {"esp_id": esp_id}
        wait_until(lambda: len(rest.get("/api/v1/sensors/latest", params=latest).json()["items"]) == 7, "each has sent")
    page = operator.open("explore", str(HOUR_MS)).page
    search = page.get_by_label("Search name, type, zone or device")
    search.fill(esp_id)
    fitting = page.get_by_role("group", name="Matching sensors").get_by_role("button")
    note = page.get_by_text("A chart has room for 6 sensors: remove one to add another.")
    for gpio in gpios[:6]:
        expect(note).to_have_count(0)
        fitting.filter(has_text=f"ds18b20 on gpio {gpio} ").click()
    expect(note).to_be_visible()
    expect(search).to_be_disabled()
    expect(fitting).to_have_count(1)
    expect(fitting).to_be_disabled()
    chosen = page.get_by_title("Remove it from the chart")
    expect(chosen).to_have_count(6)
    assert operator.accessibility() == []
    chosen.first.click()
    expect(note).to_have_count(0)
    fitting.filter(has_text="ds18b20 on gpio 10 ").click()
    expect(chosen).to_have_count(6)
    expect(page).to_have_url(re.compile("".join(f".*{esp_id}%2C{gpio}%2C" for gpio in range(5, 11))))
