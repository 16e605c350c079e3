"""The overview: what is wrong now is named on top and reached by one click; what is not known is not shown as known."""

import json
import re

from browser import Person
from devices import heartbeat, new_id, now_ms
from harness import Message, Stack, reading, wait_until
from playwright.sync_api import Locator, expect


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
    expect(truth).to_contain_text(
        re.compile("sensors? silent"), timeout=120_000
    )  # nobody configured it, and it sent every second
    expect(tile(person, f"{esp_id}", "ds18b20 on gpio 4")).to_contain_text("last known 20 °C, not known since")
    pump = tile(person, mock, f"Pump {mock[-4:]}")
    expect(pump).to_contain_text("off")
    with console_stack.sign_in() as rest:
        rest.post(f"/api/v1/debug/mock-esp/{mock}/stop").raise_for_status()
        expect(truth).to_contain_text(re.compile("devices? offline"))
        expect(pump).to_contain_text("last known off, not known since")
        known = rest.get(f"/api/v1/actuators/{mock}/25").json()
        assert (known["known"], known["state"], known["last_state"]) == (False, None, False)
        url = "/api/v1/sensors/latest"

        def states() -> set[str]:
            return {one["state"] for one in rest.get(url, params={"esp_id": mock}).json()["items"]}

        wait_until(lambda: states() == {"offline"}, "its sensor is offline with it", 60.0)
    pump.click()
    expect(person.page.locator(".facts").first).to_contain_text("not known since")
    person.open("overview").page.locator(".truth a", has_text="waiting for approval").click()
    expect(person.row(waiting).or_(person.page.get_by_role("heading", name=waiting))).to_be_visible()


def changed(message: Message, **fields: object) -> Message:
    """The message with other fields."""
    return Message(message.topic, json.dumps(json.loads(message.payload) | fields).encode())


def tile(person: Person, esp_id: str, name: str) -> Locator:
    """A tile of the overview."""
    return person.page.locator(".tile").filter(has_text=esp_id).filter(has_text=name)
