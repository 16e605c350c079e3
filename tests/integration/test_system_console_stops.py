"""Clearing all stops that were not confirmed in the console, with emulated devices whose pumps run again afterwards."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest
from browser import Person
from firmware_a import FirmwareA
from firmware_b import FirmwareB
from firmware_device import Actuator, Flash
from harness import Stack, wait_until
from playwright.sync_api import Locator, Route, expect

PUMP = 25
STOPS = "/api/v1/actuators/emergencies"
STOP, CLEAR = "/api/v1/actuators/emergency_stop", "/api/v1/actuators/clear_emergency"
ALL_UNCONFIRMED = "Clear all that were not confirmed…"
TOO_WIDE = "() => document.documentElement.scrollWidth - innerWidth"


@contextmanager
def with_pump(stack: Stack, firmware: type[FirmwareA | FirmwareB], esp_id: str) -> Iterator[FirmwareA | FirmwareB]:
    """An emulated device that is online, with a pump that is set up."""
    flash = Flash(actuators={PUMP: Actuator(PUMP, "pump", "Pump")})
    address = (stack.addresses["mqtt_host"], stack.addresses["mqtt_port"])
    with firmware(address, esp_id, flash=flash, interval_s=0.5, clear_refused_s=0.0) as device:
        yield device


def on_the_phone(make_person: Callable[..., Person]) -> Person:
    """The administrator at a German phone in dark colours."""
    person = make_person(width=360, colours="dark", language="de-DE")
    person.page.goto(f"{person.url}/#/overview")
    person.page.get_by_label("Name").fill("admin")
    person.page.get_by_label("Passwort").fill(person.stack.password())
    person.button("Anmelden").click()
    expect(person.page.get_by_role("heading", name="Übersicht")).to_be_visible()
    return person


def clear_all(person: Person, name: str) -> Locator:
    """The button, in the bar with the stops."""
    return person.page.locator(".emergency-bar").get_by_role("button", name=name, exact=True)


def in_force(rest: httpx.Client) -> dict[str, bool]:
    """The devices that are stopped, and whether a clear of their stop was not confirmed."""
    return {stop["esp_id"]: bool(stop["not_cleared"]) for stop in rest.get(STOPS).raise_for_status().json()["items"]}


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("stops_end")
def test_all_that_was_not_confirmed_is_cleared_in_the_console_and_no_other_stop(
    operator: Person, make_person: Callable[..., Person], console_stack: Stack
):
    *unconfirmed, untried = esp_ids = console_stack.register(3)
    with (
        console_stack.sign_in() as rest,
        with_pump(console_stack, FirmwareA, esp_ids[0]) as first,
        with_pump(console_stack, FirmwareB, esp_ids[1]) as second,
        with_pump(console_stack, FirmwareA, esp_ids[2]) as third,
    ):
        rest.timeout = httpx.Timeout(60.0)
        pumps = {each.board.esp_id: each.board.flash.actuators[PUMP] for each in (first, second, third)}
        for esp_id in esp_ids:
            rest.put(f"/api/v1/actuators/{esp_id}/{PUMP}", json={"actuator_type": "pump"}).raise_for_status()
            url = f"/api/v1/esp/devices/{esp_id}"
            wait_until(lambda url=url: rest.get(url).json()["online"], "it is online")
            rest.post(STOP, json={"esp_id": esp_id, "reason": "leak"}).raise_for_status()
        wait_until(lambda: all(pump.stopped for pump in pumps.values()), "all are stopped")
        operator.open("devices")
        expect(operator.page.locator(".emergency-bar")).to_contain_text(untried)
        expect(clear_all(operator, ALL_UNCONFIRMED)).to_have_count(0)

        for device in (first, second):
            device.board.power_cut()
        with ThreadPoolExecutor(2) as at_once:
            answers = at_once.map(lambda esp_id: rest.post(CLEAR, json={"esp_id": esp_id}).status_code, unconfirmed)
            assert [*answers] == [504, 504]
        first.board.power_on()
        second.power_on()
        wait_until(lambda: all(pumps[each].stopped for each in unconfirmed), "their stops are sent again")

        phone = on_the_phone(make_person)
        clear_all(phone, "Alle nicht bestätigten aufheben…").click()
        expect(phone.dialog()).to_contain_text("Befehle an 2 Geräte sind wieder erlaubt")
        expect(phone.dialog().get_by_role("button", name="2 Not-Halte aufheben")).to_be_visible()
        assert phone.page.evaluate(TOO_WIDE) <= 0
        assert phone.accessibility() == []
        phone.page.keyboard.press("Escape")
        expect(phone.dialog()).to_have_count(0)
        assert in_force(rest) == {**dict.fromkeys(unconfirmed, True), untried: False}, "nothing was asked for yet"

        clear_all(operator, ALL_UNCONFIRMED).focus()
        operator.page.keyboard.press("Enter")
        expect(operator.dialog().get_by_role("listitem")).to_have_count(2)
        expect(operator.dialog()).to_contain_text("Commands to 2 devices are allowed again")
        expect(operator.dialog().get_by_label("Reason")).to_be_focused()
        operator.page.keyboard.type("floor is dry")
        operator.page.keyboard.press("Enter")
        operator.says("Cleared: 2 devices.")
        wait_until(lambda: not any(pumps[each].stopped for each in unconfirmed), "both pumps are free")
        assert in_force(rest) == {untried: False}
        assert pumps[untried].stopped
        expect(clear_all(operator, ALL_UNCONFIRMED)).to_have_count(0)
        expect(operator.page.locator(".emergency-bar")).to_contain_text(untried)
        for esp_id in unconfirmed:
            on = f"/api/v1/actuators/{esp_id}/{PUMP}/command"
            wait_until(lambda on=on: rest.post(on, json={"command": "ON"}).status_code == 202, "commands are taken")
        wait_until(lambda: all(pumps[each].on for each in unconfirmed), "the pumps run")
        assert not pumps[untried].on


def stop(number: int, **more: str) -> dict[str, object]:
    about = {"emergency_id": f"e{number}", "esp_id": f"ESP_{number}", "reason": "leak", "raised_by": "ada"}
    return {**about, "gpio": None, "raised_at": number, "number": number, "clearing": None, "not_cleared": None, **more}


def test_stops_that_were_not_confirmed_are_cleared_by_keyboard_where_the_bar_shows_others_alone(operator: Person):
    shown, beyond = stop(1), stop(2, not_cleared="no confirmation")
    counted = {"next_cursor": None, "total": 2, "unconfirmed": 1}

    def listed(route: Route) -> None:
        items = [shown] if "limit=100&" in f"{route.request.url}&" else [shown, beyond]
        route.fulfill(json={"items": items, **counted})

    refusal = {"title": "Gateway Timeout", "status": 504, "code": 5403, "detail": "1 of 1 devices did not confirm"}
    operator.page.route(re.compile(r"/actuators/emergencies\?"), listed)
    operator.page.route(f"**{CLEAR}", lambda route: route.fulfill(status=504, json=refusal))
    operator.open("devices")
    expect(operator.page.locator(".emergency-bar")).to_contain_text("and 1 other stop")
    expect(operator.page.locator(".emergency-bar")).not_to_contain_text("ESP_2")
    button = clear_all(operator, ALL_UNCONFIRMED)
    button.focus()
    operator.page.keyboard.press("Enter")
    expect(operator.dialog().get_by_role("listitem")).to_have_text(["device ESP_2"])
    operator.page.keyboard.press("Escape")
    expect(button).to_be_focused()

    operator.page.keyboard.press("Enter")
    submit = operator.dialog().get_by_role("button", name="Clear the stop", exact=True)
    submit.focus()
    operator.page.keyboard.press("Enter")
    expect(operator.dialog().get_by_role("alert")).to_contain_text("1 of 1 devices did not confirm")
    expect(submit).to_be_focused()
