"""The overview: what is wrong now is named on top and reached by one click; what is not known is not shown as known."""

import json
import re
from collections.abc import Callable

import pytest
from browser import Person
from devices import heartbeat, new_id, now_ms
from harness import Message, Stack, reading, wait_until
from mocks import PUMP
from playwright.sync_api import Browser, Locator, expect

_OFFLINE_WITHIN_MS = 240_000
"""A device whose will came to nothing is offline after 180 s (docs/health.md); a sensor is silent after three of its
intervals, of at least 5 s, which do not count while Kaiser is held up (docs/sensor.md)."""


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
    expect(truth).to_contain_text(re.compile("sensors? silent"), timeout=_OFFLINE_WITHIN_MS)
    expect(tile(person, f"{esp_id}", "ds18b20 on gpio 4")).to_contain_text("last known 20 °C, not known since")
    pump = tile(person, mock, f"Pump {mock[-4:]}")
    expect(pump).to_contain_text("off")
    with console_stack.sign_in() as rest:
        rest.post(f"/api/v1/debug/mock-esp/{mock}/stop").raise_for_status()
        expect(truth).to_contain_text(re.compile("devices? offline"), timeout=_OFFLINE_WITHIN_MS)
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
    person.open("overview").page.locator(".truth a", has_text="waiting for approval").click()
    expect(person.row(waiting).or_(person.page.get_by_role("heading", name=waiting))).to_be_visible()


@pytest.mark.timeout(900)
def test_six_faults_at_once_are_each_named_and_reached_by_one_click(
    operator: Person, console_stack: Stack, made_mocks: list[str]
):
    away, mute, faulty, pressed, refusing = (new_id() for _ in range(5))
    waiting = new_id("ESP")
    sensor = {"gpio": 4, "sensor_type": "DS18B20", "base_value": 22.5, "unit": "°C", "interval_s": 0.5}
    with console_stack.sign_in() as rest:
        for esp_id in (away, mute, faulty, pressed, refusing):
            body = {"esp_id": esp_id, "firmware": "b", "sensors": [sensor], "actuators": [PUMP]}
            rest.post("/api/v1/debug/mock-esp", json=body).raise_for_status()
            made_mocks.append(esp_id)
            wait_until(
                lambda one=esp_id: len(rest.get("/api/v1/sensors/data", params={"esp_id": one}).json()["items"]) > 4,
                f"{esp_id} sends",
                120.0,
            )
        url = "/api/v1/debug/mock-esp"
        rest.put(f"{url}/{away}/faults", json={"offline": True}).raise_for_status()
        rest.put(f"{url}/{mute}/faults", json={"silent": [4]}).raise_for_status()
        rest.post(f"{url}/{faulty}/sensors/4/value", json={"value": 85.0, "quality": "error"}).raise_for_status()
        rest.post(f"{url}/{pressed}/emergency").raise_for_status()
        rest.put(f"{url}/{refusing}/faults", json={"refuse_commands": True}).raise_for_status()
        pump = f"/api/v1/actuators/{refusing}/25"
        wait_until(lambda: rest.get(pump).status_code == 200, "the pump was reported", 120.0)
        rest.put(pump, json={"actuator_type": "pump", "name": f"Pump of {refusing}"}).raise_for_status()
        rest.post(f"{pump}/command", json={"command": "ON", "duration_s": 5}).raise_for_status()
        console_stack.publish([heartbeat(waiting)])
        devices, latest = "/api/v1/esp/devices", "/api/v1/sensors/latest"

        def newest(esp_id: str) -> dict[str, object]:
            return dict(rest.get(latest, params={"esp_id": esp_id}).json()["items"][0])

        for what, is_so in {
            "it is offline": lambda: rest.get(f"{devices}/{away}").json()["online"] is False,
            "it is silent": lambda: newest(mute)["state"] == "silent",
            "its value is bad": lambda: newest(faulty)["quality"] == "error",
            "it is stopped": lambda: pressed in rest.get("/api/v1/actuators/emergencies").text,
            "it is pending": lambda: rest.get(f"{devices}/{waiting}").is_success,
        }.items():
            wait_until(is_so, what, _OFFLINE_WITHIN_MS / 1000)
    person = operator.open("overview")
    for named, esp_id in (
        (r"devices? offline", away),
        (r"sensors? silent", mute),
        (r"sensors? with bad values", faulty),
        (r"stops? in force", pressed),
        (r"commands? failed", refusing),
        (r"waiting for approval", waiting),
    ):
        part = person.open("overview").page.locator(".truth a").filter(has_text=re.compile(named))
        part.click(timeout=120_000)
        expect(person.page.locator("main")).to_contain_text(esp_id)
    with console_stack.sign_in() as rest:
        rest.post("/api/v1/actuators/clear_emergency", json={"esp_id": pressed}).raise_for_status()


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


@pytest.mark.timeout(900)
def test_a_thousand_sensors_are_drawn_and_each_follows_its_readings(browser: Browser, make_stack: Callable[..., Stack]):
    stack = make_stack().start()
    devices, at = stack.register(100), now_ms()
    stack.publish([heartbeat(esp_id) for esp_id in devices])
    stack.publish([reading(esp_id, gpio, at, 20.0 + gpio) for esp_id in devices for gpio in range(10)])
    wait_until(lambda: stack.rows(devices) == 1000, "a thousand readings are stored", 240.0)
    person = Person(browser, stack).sign_in().open("overview")
    tiles = person.page.locator(".tile")
    expect(tiles).to_have_count(1000, timeout=_OFFLINE_WITHIN_MS)
    for number in (0, 50, 99):
        one = tiles.filter(has_text=devices[number]).filter(has_text=f"gpio {number % 10}")
        expect(one).to_contain_text(f"{20 + number % 10} °C")
        stack.publish([reading(devices[number], number % 10, at + 1000, 60.5 + number)])
        expect(one).to_contain_text(f"{60.5 + number} °C")
    expect(tiles).to_have_count(1000)
    assert person.troubles == []
    person.leave()


def changed(message: Message, **fields: object) -> Message:
    """The message with other fields."""
    return Message(message.topic, json.dumps(json.loads(message.payload) | fields).encode())


def tile(person: Person, esp_id: str, name: str) -> Locator:
    """A tile of the overview."""
    return person.page.locator(".tile").filter(has_text=esp_id).filter(has_text=name)
