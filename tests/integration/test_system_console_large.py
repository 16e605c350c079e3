"""The overview of a thousand sensors: each tile follows its readings, and the page asks and draws no more than it must.

Requests and changes of the document are counted, not timed: they are the same on a busy machine.
"""

import secrets
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from browser import Person
from devices import heartbeat, now_ms
from harness import Stack, reading, wait_until
from playwright.sync_api import Browser, expect

DEVICES, SENSORS_EACH = 100, 10
SENSORS = DEVICES * SENSORS_EACH
OVERVIEW = "/api/v1/overview"
HOUR_MS, MINUTE_MS = 3_600_000, 60_000
MOST_AT_LOAD = 12
MOST_A_MINUTE = 14
"""Requests of the page to the API, however many sensors there are."""
MOST_CHANGES = 5
"""Changes of the document for a reading."""
_IN_THE_END_MS = 240_000
_FOLLOW = """() => {
  window.tiles = new Set();
  window.changes = 0;
  window.beside = [];
  new MutationObserver((records) => {
    for (const { target } of records) {
      const element = target.nodeType === Node.ELEMENT_NODE ? target : target.parentElement;
      const tile = element?.closest(".tile");
      window.changes += 1;
      if (tile) window.tiles.add(tile.getAttribute("href"));
      else window.beside.push(element?.outerHTML.slice(0, 120));
    }
  }).observe(document.querySelector("main"), { subtree: true, childList: true, characterData: true, attributes: true });
}"""

pytestmark = pytest.mark.timeout(1200)


class Large(NamedTuple):
    """A stack, its devices, and the time of their first readings. Later ones are minutes and hours after these, so that
    no sensor is expected every few seconds and falls silent."""

    stack: Stack
    devices: list[str]
    at: int

    def send(self, after_ms: int, value: float) -> None:
        """A reading of every sensor."""
        self.stack.publish(
            reading(esp_id, gpio, self.at + after_ms, value + gpio)
            for esp_id in self.devices
            for gpio in range(SENSORS_EACH)
        )


@pytest.fixture(scope="module")
def large(server_folder: Path) -> Iterator[Large]:
    stack = Stack(server_folder / f"large-{secrets.token_hex(3)}")
    try:
        devices = stack.start().register(DEVICES)
        found = Large(stack, devices, now_ms() - 6 * HOUR_MS)
        stack.publish([heartbeat(esp_id) for esp_id in devices])
        found.send(0, 20.0)
        wait_until(lambda: stack.rows(devices) == SENSORS, "a thousand readings are stored", 240.0)
        yield found
    finally:
        stack.stop()
        stack.remove()


@pytest.fixture
def person(browser: Browser, large: Large) -> Iterator[Person]:
    """Somebody at the overview, who has all tiles."""
    found = Person(browser, large.stack)
    found.page.clock.install()
    found.sign_in().open("overview")
    expect(found.page.locator(".tile")).to_have_count(SENSORS, timeout=_IN_THE_END_MS)
    yield found
    assert found.troubles == []
    found.leave()


def test_a_thousand_sensors_are_drawn_and_each_follows_its_readings(large: Large, person: Person):
    tiles = person.page.locator(".tile")
    for number in (0, 50, 99):
        one = tiles.filter(has_text=large.devices[number]).filter(has_text=f"gpio {number % 10}")
        for minute, value in enumerate((20.5 + number, 60.5 + number)):
            at = large.at + 5 * HOUR_MS + minute * MINUTE_MS  # after the readings of all other tests
            large.stack.publish([reading(large.devices[number], number % 10, at, value)])
            expect(one).to_contain_text(f"{value} °C")
    expect(tiles).to_have_count(SENSORS)


def test_the_page_of_a_thousand_sensors_asks_little_at_its_load_and_each_minute(large: Large, person: Person):
    asked: Counter[str] = Counter()
    frames = person.frames()

    def came(value: float) -> bool:
        return has_come(person, frames, large.devices[-1], 0, value)

    person.page.on("request", lambda request: asked.update([urlsplit(request.url).path]))
    person.page.reload()
    expect(person.page.locator(".tile")).to_have_count(SENSORS, timeout=_IN_THE_END_MS)
    at_load = asked.copy()
    person.page.clock.pause_at(person.page.evaluate("Date.now()") / 1000 + 1)
    asked.clear()
    for second in range(60):
        if second % 20 == 0:
            large.send(2 * HOUR_MS + second * MINUTE_MS, 30.0 + second)
            wait_until(lambda value=30.0 + second: came(value), "the readings are at the page")
        person.page.clock.run_for(1000)
    last = person.page.locator(".tile").filter(has_text=large.devices[-1]).filter(has_text="gpio 0")
    expect(last).to_contain_text("70 °C")
    assert at_load[OVERVIEW] <= 2, at_load
    assert of_api(at_load).total() <= MOST_AT_LOAD, at_load
    assert 1 <= asked[OVERVIEW] <= 4, asked
    assert of_api(asked).total() <= MOST_A_MINUTE, asked


def has_come(person: Person, frames: list[dict[str, Any]], esp_id: str, gpio: int, value: float) -> bool:
    """Whether the page has got a reading."""
    person.page.title()  # frames come while the page is asked
    wanted = {"esp_id": esp_id, "gpio": gpio, "value": value}
    return any(wanted.items() <= frame.get("data", {}).items() for frame in frames)


def of_api(asked: Counter[str]) -> Counter[str]:
    """Those that are not files of the console."""
    return Counter({path: number for path, number in asked.items() if path.startswith("/api/")})


def test_ten_readings_change_ten_of_a_thousand_tiles(large: Large, person: Person):
    """The page's clock stands but for what it needs to draw: its look every half minute may bring new lines."""
    page, frames = person.page, person.frames()
    page.reload()
    expect(page.locator(".tile")).to_have_count(SENSORS, timeout=_IN_THE_END_MS)
    page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 1)
    page.evaluate(_FOLLOW)
    shown = large.devices[:10]
    large.stack.publish([reading(esp_id, 3, large.at + 4 * HOUR_MS, 70.5) for esp_id in shown])
    wait_until(
        lambda: all(has_come(person, frames, esp_id, 3, 70.5) for esp_id in shown), "the readings are at the page"
    )
    page.clock.run_for(3000)
    tiles = [page.locator(".tile").filter(has_text=esp_id).filter(has_text="gpio 3") for esp_id in shown]
    for one in tiles:
        expect(one).to_contain_text("70.5 °C")
    changed, changes, beside = page.evaluate("[[...window.tiles], window.changes, window.beside]")
    assert sorted(changed) == sorted(one.get_attribute("href") or "" for one in tiles)
    assert beside == []
    assert changes <= MOST_CHANGES * len(shown)
