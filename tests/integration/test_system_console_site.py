"""The console in German, and in the site's time zone."""

import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Person
from console_pages import pages
from devices import now_ms
from harness import Stack, reading
from playwright.sync_api import Browser, expect

PAGES = [
    "overview",
    "alarms",
    "alarms/shown=all/kind=device_offline/source=ESP_NOBODY",
    "alarm-statistics",
    "devices",
    "sensors",
    "actuators",
    "explore",
    "zones",
    "inspect",
    "rules",
    "mocks",
    "messages",
    "recordings",
    "notifications",
    "log",
    "rejected",
    "audit",
    "users",
    "account",
    "system",
    "factory",
    "orders",
    "steering",
    "connect",
    "workpiece",
]
TOO_WIDE = "() => document.documentElement.scrollWidth - innerWidth"


@pytest.fixture(scope="module")
def site(server_folder: Path) -> Iterator[Stack]:
    """A stack in Tokyo, nine hours before UTC the whole year."""
    stack = Stack(server_folder / f"stack-{secrets.token_hex(3)}", KAISER_TIME_ZONE="Asia/Tokyo")
    try:
        yield stack.start()
    finally:
        stack.stop()
        stack.remove()


@pytest.fixture
def person(site: Stack, browser: Browser) -> Iterator[Person]:
    """An operator with a German browser, signed in."""
    person = Person(browser, site, language="de-DE")
    person.page.goto(f"{person.url}/#/overview")
    person.page.get_by_label("Name").fill("admin")
    person.page.get_by_label("Passwort").fill(site.password())
    person.button("Anmelden").click()
    expect(person.page.get_by_role("heading", name="Übersicht")).to_be_visible()
    yield person
    person.leave()
    assert person.troubles == []


def test_a_german_browser_gets_german_which_can_be_changed_and_is_kept(person: Person):
    expect(person.page.locator("html")).to_have_attribute("lang", "de")
    person.button("NOT-HALT").first.click()
    expect(person.dialog()).to_contain_text("schaltet alles ab und bricht offene Befehle ab")
    person.page.keyboard.press("Escape")
    person.open("account")
    person.page.get_by_label("Sprache der Konsole").select_option("en")
    expect(person.page.get_by_role("heading", name="Password and sessions")).to_be_visible()
    person.page.reload()
    expect(person.page.get_by_role("navigation")).to_contain_text("Overview")
    person.page.get_by_label("Language of the console").select_option("")
    expect(person.page.get_by_role("heading", name="Passwort und Sitzungen")).to_be_visible()


def test_what_the_api_calls_things_and_what_rules_say_is_german_too(person: Person, site: Stack):
    [esp_id] = site.register(1)
    sensor = {"esp_id": esp_id, "gpio": 4, "sensor_type": "ds18b20"}
    rule = {
        "name": "Too warm",
        "conditions": [{"type": "sensor_threshold", **sensor, "operator": ">", "value": 30, "for_s": 60}],
        "actions": [{"type": "alarm", "do": "raise", "name": "too-warm", "severity": "warning", "message": "too warm"}],
    }
    with site.sign_in() as rest:
        answer = rest.post("/api/v1/logic/rules", json=rule)
        assert answer.status_code == 201, answer.text
    person.open("rules")
    person.says("ds18b20 an GPIO 4 über 30 für 1 min: einen Alarm auslösen (Warnung)")
    person.open("users")
    expect(person.page.locator(".badge", has_text="Administrator")).to_be_visible()
    person.open("log")
    expect(person.page.get_by_label("Messwert")).to_be_visible()
    person.open("audit")
    expect(person.page.get_by_role("row", name="Regel angelegt").first).to_be_visible()
    person.open("devices", "ESP_NOBODY")
    expect(person.page.get_by_role("alert")).to_contain_text("Das Gerät ist unbekannt oder nicht freigegeben.")


def test_times_are_those_of_the_site_and_their_titles_show_utc(person: Person, site: Stack):
    [esp_id] = site.register(1)
    at = now_ms()
    site.publish([reading(esp_id, 4, at, 21.25)])
    expect(person.page.get_by_role("navigation")).to_contain_text("Zeiten: Asia/Tokyo")
    person.open("devices", esp_id)
    shown = person.page.get_by_role("main").locator("time").first
    expect(shown).to_contain_text("GMT+9")
    expect(shown).to_have_attribute("title", re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"))
    in_utc, in_tokyo = shown.evaluate("shown => [shown.title, shown.innerText]")
    hour = (int(in_utc[11:13]) + 9) % 24
    assert f"{hour:02}:{in_utc[14:19]}" in in_tokyo
    person.open("sensors", esp_id, "4", "ds18b20")
    expect(person.page.locator(".chart canvas")).to_be_visible()
    person.says("21,25 °C")


def test_every_page_of_the_console_is_among_these():
    assert {address.partition("/")[0] for address in PAGES} == pages()


@pytest.mark.parametrize("width", [1440, 360])
def test_german_fits_on_every_page(person: Person, width: int):
    person.page.set_viewport_size({"width": width, "height": 900})
    for address in PAGES:
        person.open(address)
        expect(person.page.get_by_text("Wird geladen…")).to_have_count(0)
        name = address.replace("/", "-")
        person.screenshot(f"{name}-{width}-de")
        assert person.page.evaluate(TOO_WIDE) <= 0, name
        assert person.accessibility() == [], name
