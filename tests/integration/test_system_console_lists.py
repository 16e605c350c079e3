"""Lists that a link narrows: among hundreds of sensors and actuators those in trouble are in sight after one click, and
the address shows the same elsewhere. And the figures of alarms."""

import csv
import io
import json
import re
from collections.abc import Callable

from browser import Person
from devices import heartbeat, new_id, now_ms, of_device
from harness import Message, Stack, reading, wait_until
from playwright.sync_api import Locator, expect

LATEST, ACTUATORS, ALARMS = "/api/v1/sensors/latest", "/api/v1/actuators", "/api/v1/alarms"
PINS = 40


def bad(message: Message) -> Message:
    return Message(message.topic, json.dumps(json.loads(message.payload) | {"quality": "error"}).encode())


def pump(esp_id: str, gpio: int, **fields: object) -> Message:
    body = {"ts": now_ms(), "gpio": gpio, "actuator_type": "pump", "state": False, "value": 0, **fields}
    return of_device(esp_id, f"actuator/{gpio}/status", body)


def test_what_is_in_trouble_among_hundreds_is_in_sight_after_one_click_and_at_the_same_address_elsewhere(
    operator: Person, console_stack: Stack, make_person: Callable[..., Person]
):
    *sound, worse = console_stack.register(9)
    zone = f"zone-{worse.lower().replace('_', '-')}"
    at = now_ms()
    with console_stack.sign_in() as rest:
        placed = f"{worse[:-4]}_Z"
        rest.post("/api/v1/esp/devices", json={"esp_id": placed, "zone_id": zone}).raise_for_status()
        console_stack.settle_registry()
        console_stack.publish([heartbeat(esp_id) for esp_id in (*sound, worse, placed)])
        console_stack.publish([reading(esp_id, gpio, at, 20.0) for esp_id in sound for gpio in range(PINS)])
        console_stack.publish([pump(esp_id, gpio) for esp_id in sound for gpio in range(PINS)])
        for esp_id in (worse, placed):
            console_stack.publish([bad(reading(esp_id, gpio, at, 85.0)) for gpio in (4, 5)])
            console_stack.publish([pump(esp_id, gpio, error=f"no water {gpio}") for gpio in (25, 26)])

        def found(path: str, **query: str) -> set[tuple[str, int]]:
            return {(one["esp_id"], one["gpio"]) for one in rest.get(path, params=query).json()["items"]}

        troubled = {(esp_id, gpio) for esp_id in (worse, placed) for gpio in (4, 5)}
        wait_until(lambda: found(LATEST, state="bad") >= troubled, "the bad values are stored", 240.0)
        stored = {"esp_id": sound[-1]}
        wait_until(lambda: len(found(LATEST, **stored)) == PINS, "the others are, too", 240.0)
        assert found(LATEST, state="bad", zone_id=zone) == {(placed, 4), (placed, 5)}
        assert found(LATEST, zone_id=zone, sensor_type="ds18b20") == {(placed, 4), (placed, 5)}
        assert found(LATEST, state="bad", esp_id=sound[0]) == set()
        failed = {(esp_id, gpio) for esp_id in (worse, placed) for gpio in (25, 26)}
        wait_until(lambda: found(ACTUATORS, state="failed") >= failed, "the failed pumps are known", 240.0)
        wait_until(lambda: len(found(ACTUATORS, **stored)) == PINS, "and the others", 240.0)
        assert found(ACTUATORS, state="failed", zone_id=zone) == {(placed, 25), (placed, 26)}
        assert found(ACTUATORS, state="failed", actuator_type="valve") == set()
        pages, cursor = set(), None
        while True:
            page = rest.get(ACTUATORS, params={"state": "off", "limit": "50", **({"cursor": cursor} if cursor else {})})
            pages |= {(one["esp_id"], one["gpio"]) for one in page.json()["items"]}
            cursor = page.json()["next_cursor"]
            if cursor is None:
                break
        assert {(esp_id, gpio) for esp_id in sound for gpio in range(PINS)} <= pages

    for named, page, row in (
        ("with bad values", "sensors/state=bad", worse),
        ("with an error", "actuators/state=failed", worse),
    ):
        link = operator.open("overview").page.locator(".truth a").filter(has_text=named)
        link.click(timeout=120_000)
        expect(operator.page).to_have_url(re.compile(f"#/{page}$"))
        expect(operator.row(row).first).to_be_visible()
        expect(operator.row(sound[0])).to_have_count(0)
    other = make_person(width=390).sign_in().open("actuators", "state=failed", f"zone_id={zone}")
    expect(other.row(placed)).to_have_count(2)
    expect(other.row(worse)).to_have_count(0)
    assert other.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    other.page.locator("select[name=state]").select_option("")
    expect(other.page).to_have_url(re.compile(f"#/actuators/zone_id={zone}$"))

    operator.open("zones", zone).page.locator(".truth-part").filter(has_text="with bad values").click()
    expect(operator.page).to_have_url(re.compile(f"#/sensors/state=bad/zone_id={zone}$"))
    expect(operator.row(placed)).to_have_count(2)


def test_a_type_narrows_a_list_once_it_is_whole_and_is_asked_for_once(operator: Person, console_stack: Stack):
    """The actuator has a type of its own, because a list without a filter shows only the first 200."""
    [esp_id] = console_stack.register(1)
    kind = f"fan-{esp_id.lower()}"
    fan = pump(esp_id, 25, actuator_type=kind)
    console_stack.publish([heartbeat(esp_id), reading(esp_id, 4, now_ms(), 20.0), fan])
    with console_stack.sign_in() as rest:
        query = {"esp_id": esp_id}
        for path in (LATEST, ACTUATORS):
            wait_until(lambda at=path: rest.get(at, params=query).json()["items"], "both are reported")
    operator.begin_again()  # so that it reads which types there are
    asked: list[str] = []
    operator.page.on("request", lambda request: asked.append(request.url) if "_type=" in request.url else None)
    for page, name, typed in (("sensors", "sensor_type", "ds18b20"), ("actuators", "actuator_type", kind)):
        field = operator.open(page).page.locator(f"input[name={name}]")
        operator.page.get_by_label("Search name, zone, device or type").fill(esp_id)
        field.press_sequentially(f"{typed} ")
        assert asked == [], "half a type is not asked for"
        field.press("Enter")
        expect(operator.page).to_have_url(re.compile(f"#/{page}/{name}={typed}$"))
        expect(field).to_have_value(typed)
        expect(operator.row(esp_id)).to_have_count(1)
        assert {url.partition("_type=")[2].partition("&")[0] for url in asked} == {typed}
        expect(operator.page.locator(f"datalist option[value='{typed}']")).to_have_count(1)
        asked.clear()
    field.fill("two words")
    field.press("Enter")
    operator.says("Letters, digits, _ . and - only")
    expect(operator.row(esp_id)).to_have_count(1)
    field.fill("")
    expect(operator.page).to_have_url(re.compile("#/actuators$"))
    assert asked == [], "no actuator has such a type"


def test_an_empty_list_of_alarms_that_is_narrowed_does_not_say_that_all_is_well(operator: Person):
    for narrowed in ("zone_id=nowhere", "kind=no_kind", "source=ESP_NOBODY", "severity=info/zone_id=nowhere"):
        operator.open("alarms", *narrowed.split("/"))
        operator.says("No alarm fits this choice.")
        expect(operator.page.locator("main")).not_to_contain_text("Nothing is wrong")


def headings(table: Locator) -> list[tuple[str, str]]:
    """Each group of a table: its heading, and what stands under it."""
    found: list[list[str]] = table.evaluate(
        """(table) => [...table.tBodies].map((body) =>
            [body.querySelector("tr.group")?.textContent ?? "", body.textContent])"""
    )
    return [(heading, text) for heading, text in found]


def test_alarms_rules_mocks_and_rejected_messages_stand_under_their_zones(
    operator: Person,
    console_stack: Stack,
    made_mocks: list[str],
    made_rules: list[str],
    make_person: Callable[..., Person],
):
    placed, loose = new_id(), new_id()
    zone, name = f"hall-{placed[-6:].lower()}", f"Hall {placed[-6:]}"
    sensor = {"gpio": 4, "sensor_type": "DS18B20", "base_value": 22.5, "unit": "°C", "interval_s": 0.5}
    with console_stack.sign_in() as rest:
        rest.post("/api/v1/zones", json={"zone_id": zone, "name": name}).raise_for_status()
        for esp_id, where in ((placed, {"zone_id": zone}), (loose, {})):
            made_mocks.append(esp_id)
            mock = {"esp_id": esp_id, "firmware": "b", "sensors": [sensor], **where}
            rest.post("/api/v1/debug/mock-esp", json=mock).raise_for_status()
            rest.put(f"/api/v1/alarms/limits/{esp_id}/4/ds18b20", json={"hi": 5}).raise_for_status()
            limit = {
                "type": "sensor_threshold",
                "esp_id": esp_id,
                "gpio": 4,
                "sensor_type": "ds18b20",
                "operator": ">",
                "value": 99,
            }
            rule = {
                "name": f"Rule of {esp_id}",
                "conditions": [{"type": "compound", "operator": "AND", "conditions": [limit]}],
                "actions": [{"type": "notification", "message": "hot", "severity": "info"}],
            }  # fmt: skip
            made_rules.append(rest.post("/api/v1/logic/rules", json=rule).raise_for_status().json()["rule_id"])
            query = {"esp_id": esp_id}
            wait_until(lambda of=query: rest.get(ALARMS, params=of).json()["items"], "its alarm is raised", 240.0)
            console_stack.publish([Message(f"kaiser/god/esp/{esp_id}/sensor/4/data", b"{'raw': 12")])
            wait_until(lambda of=query: rest.get("/api/v1/rejected", params=of).json()["items"], "one is rejected")
        device = f"/api/v1/esp/devices/{placed}"
        wait_until(lambda: rest.get(device).json()["zone_id"] == zone, "the device is in its zone")
    operator.begin_again()  # so that it reads the name of the zone
    lists = {
        "alarms": "Alarms, newest first",
        "rules": "Rules",
        "mocks": "Mock devices",
        "rejected": "Rejected messages, newest first",
    }
    for page, label in lists.items():
        table = operator.open(page).page.get_by_role("table", name=label)
        expect(table.get_by_role("row").filter(has_text=placed).first).to_be_visible()
        expect(table.get_by_role("row").filter(has_text=loose).first).to_be_visible()
        wait_until(lambda of=table: name in dict(headings(of)), f"{page}: the name of the zone is known")
        found = headings(table)
        # by name, or the newest first, which is that of the device without a zone
        order = ["No zone", name] if "newest first" in label else [name, "No zone"]
        assert [heading for heading, text in found if placed in text or loose in text] == order, page

    for page in ("alarms", "rejected"):
        table = operator.open(page).page.get_by_role("table", name=lists[page])
        switch = operator.page.get_by_label("Group by zone")
        expect(switch).to_be_checked()
        switch.press("Space")
        expect(table.locator("tr.group")).to_have_count(0)
        expect(operator.page).to_have_url(re.compile(f"#/{page}/group=none$"))
        operator.page.reload()
        expect(table.get_by_role("row").filter(has_text=placed).first).to_be_visible()
        expect(table.locator("tr.group")).to_have_count(0)
        phone = make_person(width=390, colours="dark").sign_in().open(page, "group=none")
        switch = phone.page.get_by_label("Group by zone")
        expect(switch).not_to_be_checked()
        switch.check()
        expect(phone.page.locator("tr.group").first).to_be_visible()
        assert phone.accessibility() == []
        assert phone.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_figures_of_alarms_have_a_page_with_links_and_a_file(
    operator: Person, console_stack: Stack, make_person: Callable[..., Person]
):
    [esp_id] = console_stack.register(1)
    console_stack.publish([heartbeat(esp_id), bad(reading(esp_id, 4, now_ms(), 85.0))])
    with console_stack.sign_in() as rest:
        query = {"esp_id": esp_id}
        alarms = wait_until(lambda: rest.get(ALARMS, params=query).json()["items"], "the alarm is raised", 120.0)
        assert [one["kind"] for one in alarms] == ["sensor_fault"]
        rest.post(f"{ALARMS}/{alarms[0]['alarm_id']}/acknowledge", json={}).raise_for_status()
        [figure] = [
            one
            for one in rest.get(f"{ALARMS}/figures", params={"by": "source"}).json()["items"]
            if one["esp_id"] == esp_id
        ]
        assert (figure["times"], figure["standing_now"], figure["acknowledged"]) == (1, 1, 1)
    operator.open("alarms").page.get_by_role("link", name="Alarm statistics").click()
    operator.button("Source").click()
    row = operator.row(figure["name"])
    expect(row).to_contain_text("warning")
    expect(operator.page).to_have_url(re.compile("#/alarm-statistics/by=source$"))
    with operator.page.expect_download() as saved:
        operator.button("CSV").click()
    rows = list(csv.DictReader(io.StringIO(saved.value.path().read_text())))
    assert [one["times"] for one in rows if one["esp_id"] == esp_id] == ["1"]
    row.get_by_role("link", name="1, show the alarms").click()
    expect(operator.row(esp_id).or_(operator.row(figure["name"])).first).to_contain_text("sensor fault")
    phone = make_person(width=390).sign_in().open("alarm-statistics", "by=zone")
    expect(phone.page.get_by_text("no zone").first).to_be_visible()
    assert phone.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
