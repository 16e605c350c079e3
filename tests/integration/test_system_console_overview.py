"""The overview: what is wrong now is named on top and reached by one click; what is not known is not shown as known."""

import json
import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import httpx
import pytest
from alarm_causes import will
from browser import Person
from devices import heartbeat, new_id, now_ms, of_device
from harness import Message, Stack, reading, wait_until
from kaiser_common.contract.schemas.sensor import MISSED
from kaiser_sensor.domain.known import SHORTEST_S
from mocks import PUMP
from playwright.sync_api import Browser, Locator, expect

_IN_THE_END_MS = 240_000
"""Of what has no time of its own here: it comes in the end, also on a busy machine."""
_SLOWER = 10
"""How many times slower than a quiet machine the machine of a test may be."""
_SOON_S = 3.0
_BY_PAGE_MS = 3000
"""docs/alarms.md, "How soon": from the message to Kaiser, and from the frame to the page by the page's own clock."""
_CHECK_S, _SWEEP_S, _TIMEOUT_S = 1.0, 1.0, 10
_SHORT = {"KAISER_SENSOR_STALE_CHECK_S": str(_CHECK_S), "KAISER_HEALTH_SWEEP_S": str(_SWEEP_S)}
HOUR_MS = 3_600_000


@pytest.mark.timeout(900)
def test_what_goes_wrong_is_named_on_the_overview_and_reached_by_one_click(
    operator: Person, console_stack: Stack, mock: str
):
    [esp_id] = console_stack.register(1)
    waiting = new_id("ESP")
    at = now_ms()
    bad = {"raw_value": 85.0, "raw": 8500, "value": 85.0, "quality": "error"}
    silent = [reading(esp_id, 4, at - number * 1000, 20.0) for number in range(5)]
    console_stack.publish([*silent, changed(reading(esp_id, 5, at, 85.0), **bad), heartbeat(waiting)])
    person = operator.open("overview")
    truth = person.page.locator(".truth")
    expect(truth).to_contain_text("waiting for approval")
    expect(truth).to_contain_text("with bad values")
    # nobody configured it, and it sent every second
    expect(truth).to_contain_text(re.compile("sensors? silent"), timeout=_IN_THE_END_MS)
    expect(tile(person, f"{esp_id}", "ds18b20 on gpio 4")).to_contain_text("last known 20 °C, not known since")
    pump = tile(person, mock, f"Pump {mock[-4:]}")
    expect(pump).to_contain_text("off")
    with console_stack.sign_in() as rest:
        rest.post(f"/api/v1/debug/mock-esp/{mock}/stop").raise_for_status()
        expect(truth).to_contain_text(re.compile("devices? offline"), timeout=_IN_THE_END_MS)
        expect(pump).to_contain_text("last known off, not known since")
        path = f"/api/v1/actuators/{mock}/25"
        wait_until(lambda: not rest.get(path).json()["known"], "the pump's state is not known")
        pumped = rest.get(path).json()
        assert (pumped["state"], pumped["last_state"]) == (None, False)
        url = "/api/v1/sensors/latest"

        def states() -> set[str]:
            return {one["state"] for one in rest.get(url, params={"esp_id": mock}).json()["items"]}

        wait_until(lambda: states() == {"offline"}, "its sensor is offline with it", 60.0)
    pump.click()
    expect(person.page.locator(".facts").first).to_contain_text("not known since")
    for device, last in ((esp_id, "last known 20 °C, not known since"), (mock, "last known 22.5 °C, not known since")):
        expect(person.open("sensors", device, "4", "ds18b20").page.locator(".now")).to_contain_text(last)
        expect(person.open("devices", device).row("ds18b20 on gpio 4")).to_contain_text(last)
        person.open("sensors").page.get_by_label("Search name, zone, device or type").fill(f"{device}/4")
        expect(person.row(device)).to_contain_text(last)
    person.open("overview").page.locator(".truth a", has_text="waiting for approval").click()
    expect(person.row(waiting).or_(person.page.get_by_role("heading", name=waiting))).to_be_visible()


class Fault(NamedTuple):
    """Of a device: within which time Kaiser must know it, by what the API says, which frame says so, and how the
    overview names it."""

    esp_id: str
    within_s: float
    is_known: Callable[[], bool]
    frame: dict[str, str]
    named: str


@pytest.mark.timeout(1200)
def test_seven_faults_at_once_are_each_known_and_named_in_their_time_and_reached_by_one_click(
    browser: Browser, make_stack: Callable[..., Stack]
):
    """The page's clock stands but for the time in which it must show a frame, so no look every half minute helps it."""
    stack = make_stack(**_SHORT).start()
    person = Person(browser, stack)
    frames = person.frames()
    person.page.clock.install()
    person.sign_in()
    away, mute, faulty, pressed, refusing = mocks = [new_id() for _ in range(5)]
    [lost], waiting = stack.register(1), new_id("ESP")
    url, devices, pump = "/api/v1/debug/mock-esp", "/api/v1/esp/devices", f"/api/v1/actuators/{refusing}/25"
    with stack.sign_in() as rest:
        send(rest, mocks)
        wait_until(lambda: rest.get(pump).status_code == 200, "the pump was reported")
        rest.put(pump, json={"actuator_type": "pump", "name": f"Pump of {refusing}"}).raise_for_status()
        rest.put(f"{url}/{refusing}/faults", json={"refuse_commands": True}).raise_for_status()
        stack.publish([heartbeat(lost)])
        wait_until(lambda: rest.get(f"{devices}/{lost}").json()["online"], "it is online")
        truth = person.open("overview").page.locator(".truth")
        expect(truth).to_contain_text("All is well")
        person.page.clock.pause_at(person.page.evaluate("Date.now()") / 1000 + 1)

        began = time.monotonic()
        stack.publish([heartbeat(lost), heartbeat(waiting)])
        rest.patch(f"{devices}/{lost}", json={"heartbeat_timeout_s": _TIMEOUT_S}).raise_for_status()
        rest.put(f"{url}/{mute}/faults", json={"silent": [4]}).raise_for_status()
        rest.post(f"{url}/{faulty}/sensors/4/value", json={"value": 85.0, "quality": "error"}).raise_for_status()
        rest.post(f"{pump}/command", json={"command": "ON", "duration_s": 5}).raise_for_status()
        rest.put(f"{url}/{away}/faults", json={"offline": True}).raise_for_status()

        def newest(esp_id: str) -> dict[str, Any]:
            return dict(rest.get("/api/v1/sensors/latest", params={"esp_id": esp_id}).json()["items"][0])

        def is_offline(esp_id: str) -> bool:
            return rest.get(f"{devices}/{esp_id}").json()["online"] is False

        failed = {"esp_id": refusing, "kind": "command_failed"}
        silence_s, lost_s = MISSED * SHORTEST_S + _CHECK_S, _TIMEOUT_S + _SWEEP_S
        of_events = [
            Fault(waiting, _SOON_S, lambda: rest.get(f"{devices}/{waiting}").is_success,
                  {"event": "device_pending"}, "1 device waiting for approval"),
            Fault(refusing, _SOON_S, lambda: bool(rest.get("/api/v1/alarms", params=failed).json()["items"]),
                  {"kind": "command_failed"}, "1 command failed"),
        ]  # fmt: skip
        stop = Fault(pressed, _SOON_S, lambda: pressed in rest.get("/api/v1/actuators/emergencies").text,
                     {"kind": "stop_in_force"}, "1 stop in force")  # fmt: skip
        others = [
            Fault(faulty, _SOON_S, lambda: newest(faulty)["quality"] == "error",
                  {"quality": "error"}, "1 sensor with bad values"),
            Fault(away, _SOON_S, lambda: is_offline(away), {"status": "offline"}, "offline"),
            Fault(lost, lost_s, lambda: is_offline(lost), {"status": "offline"}, "2 devices offline"),
            Fault(mute, silence_s, lambda: newest(mute)["state"] == "silent", {"quality": "stale"}, "1 sensor silent"),
        ]  # fmt: skip
        for fault in of_events:
            see(person, frames, fault, began)
        # only now: with a stop the page loads everything again, and would name the two above by that
        pressed_at = time.monotonic()
        rest.post(f"{url}/{pressed}/emergency").raise_for_status()
        see(person, frames, stop, pressed_at)
        for fault in others:
            see(person, frames, fault, began)
        expected = {"known": 3, "silent": 1, "offline": 1}
        wait_until(lambda: sensors_by_state(stack) == expected, "Prometheus counts the sensors so")
    person.page.clock.resume()
    for fault in (*of_events, stop, *others):
        person.open("overview").page.locator(".truth a").filter(has_text=fault.named).click()
        expect(person.page.locator("main")).to_contain_text(fault.esp_id)
    assert person.troubles == []
    person.leave()


@pytest.mark.timeout(900)
def test_what_is_not_known_says_so_in_lists_on_the_page_of_its_zone_and_where_a_rule_chooses(
    make_person: Callable[..., Person], console_stack: Stack, made_mocks: list[str]
):
    """A sensor that keeps sending stays known, however long the choice takes: the page's clock runs for minutes."""
    mute, away, sound = mocks = [new_id() for _ in range(3)]
    zone, url = f"wing-{mute[-6:].lower()}", "/api/v1/debug/mock-esp"
    with console_stack.sign_in() as rest:
        made_mocks += mocks
        send(rest, mocks, zone_id=zone)
        pumps = [f"/api/v1/actuators/{esp_id}/25" for esp_id in mocks]
        wait_until(lambda: all(rest.get(pump).json().get("state") is False for pump in pumps), "the pumps are off")
        rest.put(f"{url}/{mute}/faults", json={"silent": [4]}).raise_for_status()
        rest.post(f"{url}/{away}/stop").raise_for_status()

        def states() -> list[str]:
            found = [rest.get("/api/v1/sensors/latest", params={"esp_id": esp_id}).json() for esp_id in mocks]
            return [one["items"][0]["state"] for one in found]

        wait_until(lambda: states() == ["silent", "offline", "known"], "each sensor is in its state", 240.0)
        wait_until(lambda: not rest.get(pumps[1]).json()["known"], "the state of the pump is not known")
    value, state = "last known 22.5 °C, not known since", "last known off, not known since"
    person = make_person()
    person.page.clock.install()
    page = person.sign_in().open("zones", zone).page
    sensors, actuators = (page.get_by_role("table", name=name).get_by_role("row") for name in ("Sensors", "Actuators"))
    for esp_id in (mute, away):
        expect(sensors.filter(has_text=esp_id)).to_contain_text(value)
    expect(actuators.filter(has_text=away)).to_contain_text(state)
    for known in (sensors.filter(has_text=sound), actuators.filter(has_text=mute)):
        expect(known).not_to_contain_text("last known")
    person.open("actuators", f"zone_id={zone}")
    expect(person.row(away)).to_contain_text(state)
    expect(person.row(mute)).not_to_contain_text("last known")

    person.open("rules", "new")
    for esp_id in mocks:
        page.get_by_role("combobox", name="Sensor").fill(esp_id)
        option = page.get_by_role("option", name="ds18b20")
        expect(option).to_contain_text("22.5 °C" if esp_id == sound else value)
    page.clock.run_for(180_000)
    expect(option).to_contain_text("22.5 °C")
    expect(option).not_to_contain_text("last known")
    page.get_by_role("combobox", name="Sensor").fill(mute)
    page.get_by_role("option", name="ds18b20").click()
    expect(page.locator(".picked")).to_contain_text(value)
    actions = page.get_by_role("group", name="do this")
    actions.locator("select").first.select_option("actuator_command")
    page.get_by_role("combobox", name="Actuator").fill(away)
    expect(page.get_by_role("option", name="pump")).to_contain_text(state)
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert person.accessibility() == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("combobox", name="Actuator").fill(mute)
    expect(page.get_by_role("option", name="pump")).to_contain_text("off")
    expect(page.get_by_role("option", name="pump")).not_to_contain_text("last known")


def test_a_pump_whose_device_was_away_or_restarted_is_not_known_on_its_pages_before_it_reports(
    make_person: Callable[..., Person], console_stack: Stack
):
    """No event says that a device restarted which was not missed: the pages look again every half minute."""
    [esp_id] = console_stack.register(1)
    kind, path = f"pump-{esp_id.lower()}", f"/api/v1/actuators/{esp_id}/25"

    def reported(state: bool) -> Message:
        body = {"ts": now_ms(), "gpio": 25, "actuator_type": kind, "state": state, "value": int(state)}
        return of_device(esp_id, "actuator/25/status", body)

    with console_stack.sign_in() as rest:

        def is_now(**fields: bool | None) -> bool:
            answer = rest.get(path)
            return answer.is_success and fields.items() <= answer.json().items()

        console_stack.publish([heartbeat(esp_id), reported(state=False)])
        wait_until(lambda: is_now(known=True, state=False), "the pump is known to be off")
        listed = make_person().sign_in().open("actuators", f"actuator_type={kind}").row(esp_id)
        facts = make_person().sign_in().open("actuators", esp_id, "25").page.locator(".facts").first
        for shown in (listed, facts):
            expect(shown).to_contain_text("off")
            expect(shown).not_to_contain_text("last known")
        console_stack.publish([will(esp_id, now_ms() // 1000)])
        for shown in (listed, facts):
            expect(shown).to_contain_text(re.compile(r"last known off, not known since \d"), timeout=_IN_THE_END_MS)
        console_stack.publish([heartbeat(esp_id, uptime=10_000)])
        wait_until(lambda: is_now(known=False, known_until=None), "it came back, and the pump has not reported")
        for shown in (listed, facts):
            expect(shown).to_contain_text("last known off, not known since then", timeout=_IN_THE_END_MS)
        console_stack.publish([reported(state=True)])
        for shown in (listed, facts):
            expect(shown).not_to_contain_text("last known", timeout=_IN_THE_END_MS)
        console_stack.publish([heartbeat(esp_id, uptime=1)])
        wait_until(lambda: is_now(known=False, known_until=None), "it restarted, and the pump has not reported")
        for shown in (listed, facts):
            expect(shown).to_contain_text("last known on, not known since then", timeout=_IN_THE_END_MS)


def send(rest: httpx.Client, mocks: list[str], **fields: str) -> None:
    """Make mocks with a thermometer and a pump; each has sent often enough for its interval to be known."""
    sensor = {"gpio": 4, "sensor_type": "DS18B20", "base_value": 22.5, "unit": "°C", "interval_s": 0.5}
    for esp_id in mocks:
        body = {"esp_id": esp_id, "firmware": "b", "sensors": [sensor], "actuators": [PUMP], **fields}
        rest.post("/api/v1/debug/mock-esp", json=body).raise_for_status()
    for esp_id in mocks:
        query = {"esp_id": esp_id}
        wait_until(
            lambda query=query: len(rest.get("/api/v1/sensors/data", params=query).json()["items"]) > 4, "it sends"
        )


def see(person: Person, frames: list[dict[str, Any]], fault: Fault, since: float) -> None:
    """Kaiser knows a fault in its time from `since` on, a frame says so, and the overview names it."""
    left_s = _SLOWER * fault.within_s - (time.monotonic() - since)
    wait_until(fault.is_known, f"Kaiser knows: {fault.named}", max(1.0, left_s))
    wait_until(lambda: is_said(person, frames, fault), f"a frame says: {fault.named}")
    person.page.clock.run_for(_BY_PAGE_MS)
    expect(person.page.locator(".truth")).to_contain_text(fault.named)


def is_said(person: Person, frames: list[dict[str, Any]], fault: Fault) -> bool:
    """Whether the page got the frame of a fault."""
    person.page.title()
    wanted = {"esp_id": fault.esp_id, **fault.frame}
    return any(all(frame.get("data", {}).get(name) == value for name, value in wanted.items()) for frame in frames)


def sensors_by_state(stack: Stack) -> dict[str, int]:
    """The sensors as the service counts them for Prometheus."""
    url = f"http://127.0.0.1:{stack.addresses['metrics_ports']['sensor']}/metrics"
    text = httpx.get(url, timeout=60, verify=False).text
    found = re.findall(r'^kaiser_sensor_sensors\{state="(\w+)"\} (\S+)$', text, re.MULTILINE)
    return {state: int(float(number)) for state, number in found}


def test_an_actuator_that_refused_says_so_on_its_tile_until_a_command_succeeds(
    operator: Person, console_stack: Stack, mock: str
):
    faults, command = f"/api/v1/debug/mock-esp/{mock}/faults", f"/api/v1/actuators/{mock}/25/command"
    person = operator.open("overview")
    pump = tile(person, mock, f"Pump {mock[-4:]}")
    with console_stack.sign_in() as rest:
        rest.put(faults, json={"refuse_commands": True}).raise_for_status()
        rest.post(command, json={"command": "ON", "duration_s": 5}).raise_for_status()
        expect(pump).to_contain_text("failed", timeout=120_000)
        rest.put(faults, json={"refuse_commands": False}).raise_for_status()
        rest.post(command, json={"command": "OFF"}).raise_for_status()
    expect(pump).not_to_contain_text("failed", timeout=120_000)


def test_a_tile_has_the_line_and_band_of_a_day_with_its_lowest_and_highest(operator: Person, console_stack: Stack):
    [esp_id] = console_stack.register(1)
    hour = now_ms() // HOUR_MS * HOUR_MS
    values = {hour - 2 * HOUR_MS: (10.0, 30.0), hour - HOUR_MS: (20.0, 26.0), hour: (22.0, 22.0)}
    console_stack.publish(
        [reading(esp_id, 4, at + place, value) for at, both in values.items() for place, value in enumerate(both)]
    )
    with console_stack.sign_in() as rest:

        def means() -> list[float | None]:
            sensors = rest.get("/api/v1/overview").json().get("sensors", [])
            return next((sensor["means"] for sensor in sensors if sensor["esp_id"] == esp_id), [])

        wait_until(lambda: sum(mean is not None for mean in means()) == 3, "the figures of each hour are known", 240.0)
    one = tile(operator.open("overview"), esp_id, "ds18b20 on gpio 4")

    def heights(part: str) -> list[float]:
        """From the top of a picture that is 30 high, with 2 left free above and below."""
        return [float(y) for y in re.findall(r"[ML]\S+ ([\d.]+)", one.locator(part).get_attribute("d") or "")]

    expect(one).to_contain_text("in 24 hours 10 to 30 °C", timeout=_IN_THE_END_MS)
    wait_until(lambda: len(heights(".spark-line")) == 3, "each hour is in the line", 240.0)
    assert heights(".spark-line") == [15.0, 11.1, 12.4], "means of 20, 23 and 22"
    assert heights(".spark-band") == [2.0, 7.2, 12.4, 12.4, 15.0, 28.0], "highest, and back by the lowest"


def test_eighteen_sensors_fit_on_two_screens_of_a_phone(make_person: Callable[..., Person], console_stack: Stack):
    with console_stack.sign_in() as rest:
        esp_id = new_id("ESP")
        rest.post("/api/v1/esp/devices", json={"esp_id": esp_id, "zone_id": "phone"}).raise_for_status()
        console_stack.settle_registry()
        console_stack.publish([heartbeat(esp_id), *(reading(esp_id, gpio, now_ms(), 20.0) for gpio in range(18))])
    person = make_person(width=390).sign_in().open("overview")
    zone = person.page.get_by_role("region", name="phone")
    expect(zone.locator(".tile")).to_have_count(18)
    box = zone.bounding_box()
    assert box is not None
    assert box["height"] <= 1600
    assert person.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def changed(message: Message, **fields: object) -> Message:
    """The message with other fields."""
    return Message(message.topic, json.dumps(json.loads(message.payload) | fields).encode())


def tile(person: Person, esp_id: str, name: str) -> Locator:
    """A tile of the overview."""
    return person.page.locator(".tile").filter(has_text=esp_id).filter(has_text=name)
