"""Two people change the same thing in the console: no change is lost without a word."""

from contextlib import ExitStack
from typing import Any

import pytest
from browser import Person
from harness import Stack
from playwright.sync_api import expect

CHANGED = "It was changed meanwhile"
RULE = {
    "name": "At once",
    "conditions": [{"type": "time_window", "start": "06:00", "end": "20:00"}],
    "actions": [{"type": "notification", "message": "x"}],
}


def test_an_actuator_and_a_device_keep_what_two_people_changed(operator: Person, mock: str, console_stack: Stack):
    page = operator.page
    pump, device = f"/api/v1/actuators/{mock}/25", f"/api/v1/esp/devices/{mock}"
    operator.open("actuators", mock, "25").button("Maximum run time: 1 min").click()
    with console_stack.sign_in() as rest:
        rest.patch(pump, json={"name": "By A"}).raise_for_status()
        operator.button("Save").click()
        operator.says("Saved")
        stored = rest.get(pump).json()
        assert (stored["name"], stored["max_runtime_s"]) == ("By A", 60)

        operator.open("devices", mock)
        name = page.get_by_label("Name", exact=True)
        name.fill("By B")
        rest.patch(device, json={"heartbeat_timeout_s": 900}).raise_for_status()
        operator.button("Push configuration").click()  # its answer makes the page read the device again
        expect(page.get_by_label("Heartbeat timeout: figure")).to_have_value("15")
        expect(name).to_have_value("By B")
        page.get_by_role("heading", name="Settings").locator("..").get_by_role("button", name="Save").click()
        operator.says("Saved")
        stored = rest.get(device).json()
        assert (stored["name"], stored["heartbeat_timeout_s"]) == ("By B", 900)


@pytest.mark.parametrize("kind", ["rule", "zone"])
def test_who_comes_second_is_told_and_both_changes_are_kept_in_the_end(
    operator: Person, console_stack: Stack, kind: str
):
    page = operator.page
    with console_stack.sign_in() as rest, ExitStack() as ends:
        if kind == "rule":
            made = rest.post("/api/v1/logic/rules", json=RULE).json()
            url, place = f"/api/v1/logic/rules/{made['rule_id']}", ("rules", made["rule_id"])
        else:
            made = rest.post("/api/v1/zones", json={"zone_id": "at_once", "name": "At once"}).json()
            url, place = "/api/v1/zones/at_once", ("zones", "at_once")
        ends.callback(rest.delete, url)

        def stored() -> tuple[Any, Any]:
            found = rest.get(url).json()
            return found["name"], found["description"] or None

        operator.open(*place)
        description = page.get_by_label("Description")
        description.fill("By B")
        rest.patch(url, json={"name": "By A"}).raise_for_status()
        operator.button("Save").click()
        expect(page.get_by_role("alert")).to_contain_text(CHANGED)
        assert stored() == ("By A", None)
        expect(description).to_have_value("By B")
        operator.open("log")
        operator.open(*place)
        expect(page.get_by_role("heading", name="By A")).to_be_visible()
        description.fill("By B")
        operator.button("Save").click()
        operator.says("aved")
        assert stored() == ("By A", "By B")
