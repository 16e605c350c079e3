"""How the console looks: every page, narrow and wide, light and dark, measured by axe-core and kept as screenshots."""

import json
import os
import re
import time
from collections.abc import Callable, Iterator

import pytest
from browser import Person
from console_pages import pages
from harness import Message, Stack, reading, wait_until
from playwright.sync_api import Browser, expect
from stops import end_stops

MOCK = "MOCK_LOOKS"
PAGES = {
    "overview": ["overview"],
    "alarms": ["alarms"],
    "alarms-narrowed": ["alarms", "shown=all", "kind=actuator_alert", "source=ESP_NOBODY", "zone_id=north"],
    "alarm-statistics": ["alarm-statistics"],
    "notifications": ["notifications"],
    "log": ["log"],
    "devices": ["devices"],
    "device": ["devices", MOCK],
    "sensors": ["sensors"],
    "sensor": ["sensors", MOCK, "4", "ds18b20"],
    "actuators": ["actuators"],
    "actuator": ["actuators", MOCK, "25"],
    "explore": ["explore", "3600000-before", f"{MOCK},4,ds18b20,"],
    "zones": ["zones"],
    "zone": ["zones", "north"],
    "inspect": ["inspect", MOCK],
    "rules": ["rules"],
    "new-rule": ["rules", "new"],
    "messages": ["messages"],
    "mocks": ["mocks"],
    "mock": ["mocks", MOCK],
    "recordings": ["recordings"],
    "rejected": ["rejected"],
    "audit": ["audit"],
    "connect": ["connect", MOCK],
    "users": ["users"],
    "account": ["account"],
    "system": ["system"],
}
OF_A_FACTORY = {"factory", "orders", "steering", "workpiece"}
"""Pages of a factory, which this stack has not."""
TOO_WIDE = """() => [...document.querySelectorAll("body *")]
    .filter(one => document.documentElement.scrollWidth > innerWidth && one.getBoundingClientRect().right > innerWidth)
    .map(one => one.outerHTML.slice(0, 120))"""
LINES = """(one) => {
  const text = document.createRange();
  text.selectNodeContents(one);
  return new Set([...text.getClientRects()].map(({ top }) => Math.round(top))).size;
}"""
BROKEN = """(ones) => ones.flatMap((one) => [...one.childNodes].filter(({ nodeType }) => nodeType === Node.TEXT_NODE)
    .flatMap((node) => [...node.textContent.matchAll(/\\S+/g)].filter(({ 0: word, index }) => {
        const range = document.createRange();
        range.setStart(node, index);
        range.setEnd(node, index + word.length);
        return new Set([...range.getClientRects()].map(({ top }) => Math.round(top))).size > 1;
    }).map(([word]) => word)))"""
"""The words of elements that stand on more than one line."""
LOOKS = [(1440, "light"), (360, "dark")]
"""Each width and each of the colours once; with KAISER_TEST_LONG=1 each width in each of the colours."""
if os.environ.get("KAISER_TEST_LONG"):
    LOOKS += [(1440, "dark"), (360, "light")]


@pytest.fixture(scope="module", autouse=True)
def something_to_see(console_stack: Stack) -> Iterator[None]:
    """A mock with a history, a device that waits for approval, a rejected message, an emergency stop; none stays."""
    sensor = {"gpio": 4, "sensor_type": "DS18B20", "base_value": 22.5, "unit": "°C", "interval_s": 1,
              "variation_pattern": "RANDOM", "variation_range": 2}  # fmt: skip
    pump = {"gpio": 25, "actuator_type": "pump"}
    body = {
        "esp_id": MOCK,
        "name": "Greenhouse by the river",
        "zone_id": "north",
        "sensors": [sensor],
        "actuators": [pump],
    }
    now_ms = int(time.time() * 1000)
    beat = {"ts": now_ms, "uptime": 60, "heap_free": 45_000, "wifi_rssi": -71}
    alert = {"esp_id": MOCK, "gpio": 25, "alert_type": "hardware_error", "message": "the relay is stuck", "ts": now_ms}
    with console_stack.sign_in() as rest:
        assert rest.post("/api/v1/debug/mock-esp", json=body).status_code == 201
        url = f"/api/v1/actuators/{MOCK}/25"
        wait_until(lambda: rest.get(url).status_code == 200, "the pump was reported")
        rest.put(url, json={"actuator_type": "pump", "name": "Pump of bed 1", "max_runtime_s": 600}).raise_for_status()
        console_stack.publish(
            [
                *(reading(MOCK, 4, now_ms - number * 60_000, 20 + number % 7) for number in range(1, 50)),
                Message("kaiser/god/esp/ESP_NEWCOMER/system/heartbeat", json.dumps(beat).encode()),
                Message(f"kaiser/god/esp/{MOCK}/actuator/25/alert", json.dumps(alert).encode()),
                Message(f"kaiser/god/esp/{MOCK}/sensor/4/data", b"{'raw': 12"),
            ]
        )
        stop = {"esp_id": MOCK, "gpio": 25, "reason": "the relay is stuck"}
        rest.post("/api/v1/actuators/emergency_stop", json=stop).raise_for_status()
    yield
    if not console_stack.is_running:
        return  # no other test needs it
    end_stops(console_stack)
    with console_stack.sign_in() as rest:
        rest.delete(f"/api/v1/debug/mock-esp/{MOCK}")
        rest.delete("/api/v1/esp/devices/ESP_NEWCOMER")


@pytest.fixture(scope="module", params=LOOKS, ids=lambda look: f"{look[0]}-{look[1]}")
def onlooker(request: pytest.FixtureRequest, browser: Browser, console_stack: Stack) -> Iterator[Person]:
    """The administrator at a screen of some width, in some colours."""
    width, colours = request.param
    person = Person(browser, console_stack, width=width, colours=colours)
    person.look = f"{width}-{colours}"
    yield person.sign_in()
    person.leave()


def test_every_page_of_the_console_is_among_these():
    assert {parts[0] for parts in PAGES.values()} == pages() - OF_A_FACTORY


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_its_screen_and_has_no_barrier(onlooker: Person, name: str):
    onlooker.open(*PAGES[name])
    onlooker.page.wait_for_load_state("networkidle")
    expect(onlooker.page.get_by_text("Loading…")).to_have_count(0)
    if name == "log":
        onlooker.page.locator(".log-row").first.click()
    onlooker.screenshot(f"{name}-{onlooker.look}")
    assert onlooker.page.evaluate(TOO_WIDE) == []
    assert onlooker.accessibility() == []
    assert onlooker.troubles == []


def test_the_sign_in_has_no_barrier(make_person: Callable[..., Person]):
    for width, colours in LOOKS:
        person = make_person(width=width, colours=colours)
        person.page.goto(person.url)
        expect(person.button("Sign in")).to_be_visible()
        person.screenshot(f"sign-in-{width}-{colours}")
        assert person.accessibility() == []


def test_the_emergency_stop_is_broken_between_words_alone(onlooker: Person):
    onlooker.open("overview")
    lines = onlooker.button("EMERGENCY STOP").first.evaluate(LINES)
    assert lines in (1, 2)


@pytest.mark.parametrize("page", ["rejected", "audit", "alarms"])
def test_names_of_facts_and_buttons_are_broken_between_words_alone(onlooker: Person, page: str):
    table = onlooker.open(page).page.get_by_role("table").last
    show = table.get_by_role("button", name=re.compile("^Show")).first
    expect(show).to_be_visible()
    if onlooker.page.viewport_size["width"] > 1000:
        assert show.evaluate(LINES) == 1
    show.click()
    expect(onlooker.dialog().locator("dt").first).to_be_visible()
    assert onlooker.page.locator("dialog dt, dialog button, main button").evaluate_all(BROKEN) == []
    onlooker.page.keyboard.press("Escape")
    expect(onlooker.dialog()).to_have_count(0)


@pytest.mark.parametrize("name", ["EMERGENCY STOP", "Clear… Pump of bed 1 (north, Greenhouse by the river)"])
def test_a_dialog_has_no_barrier(onlooker: Person, name: str):
    onlooker.open("devices").button(name).click()
    expect(onlooker.dialog()).to_be_visible()
    onlooker.screenshot(f"{name.partition('…')[0].lower().replace(' ', '-')}-{onlooker.look}")
    assert onlooker.accessibility() == []
    onlooker.page.keyboard.press("Escape")
    expect(onlooker.dialog()).to_have_count(0)
