"""The console in German, and in the site's time zone."""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from auditing import audited
from browser import Person
from console_pages import pages
from devices import new_id, now_ms, of_device
from harness import Stack, reading, wait_until
from mocks import PUMP
from own_ports import own_ports
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


@pytest.mark.timeout(600)
def test_an_alarm_a_refused_form_a_failed_command_and_an_event_are_german(person: Person, site: Stack):
    [esp_id], mock = site.register(1), new_id()
    url, pump = f"/api/v1/debug/mock-esp/{mock}", f"/api/v1/actuators/{mock}/25"
    with site.sign_in() as rest:
        rest.post("/api/v1/debug/mock-esp", json={"esp_id": mock, "actuators": [PUMP]}).raise_for_status()
        wait_until(lambda: rest.get(pump).status_code == 200, "the pump was reported")
        rest.put(pump, json={"actuator_type": "pump"}).raise_for_status()
        rest.put(f"{url}/faults", json={"refuse_commands": True}).raise_for_status()
        limits = f"/api/v1/alarms/limits/{esp_id}/4/ds18b20"
        rest.put(limits, json={"hi_hi": 40.5}).raise_for_status()
        site.publish([reading(esp_id, 4, now_ms(), 41.25)])
        said = f"ds18b20 von {esp_id} ist 41,25 °C, über der kritischen Grenze 40,5 °C"
        expect(person.open("alarms").row(said)).to_be_visible()

        rest.post(f"{pump}/command", json={"command": "ON", "duration_s": 5}).raise_for_status()
        row = person.row(f"EIN an GPIO 25 von {mock}: fehlgeschlagen")
        expect(row).to_be_visible()
        row.get_by_role("button", name="Zeigen").click()
        person.dialog().get_by_text("Wortlaut des Servers").click()
        expect(person.dialog().locator("[lang=en]")).to_contain_text(f"ON on gpio 25 of {mock} failed")
        person.page.keyboard.press("Escape")

        person.open("actuators", mock, "25").page.get_by_role("button", name=re.compile("^Aus…")).click()
        person.dialog().get_by_role("button", name="AUS senden").click()
        expect(person.page.locator(".command-state")).to_contain_text("fehlgeschlagen")
        expect(person.page.locator(".command-state [lang=en]")).to_have_count(0)

        person.open("log")
        rest.post(f"{url}/stop").raise_for_status()
        expect(person.page.locator(".log-summary", has_text=f"{mock} ist offline").first).to_be_visible()

    person.open("sensors", esp_id, "4", "ds18b20")
    person.button("Alarmgrenzen…").click()
    form = person.dialog()
    form.get_by_label("Kritisch über").fill("1e300")
    form.get_by_role("button", name="Speichern").click()
    expect(form.locator(".field-problem")).to_contain_text("Höchstens")
    form.get_by_label("Kritisch über").fill("5")
    form.get_by_label("Warnung über").fill("6")
    form.get_by_role("button", name="Speichern").click()
    refused = form.get_by_role("alert")
    expect(refused).to_contain_text("Ein Wert liegt außerhalb der Grenzen.")
    expect(refused).to_contain_text("Feld hi_hi")
    refused.get_by_text("Wortlaut des Servers").click()
    expect(refused.locator("[lang=en]")).to_contain_text("hi_hi (5) must be above hi (6)")


def test_what_only_the_server_says_is_folded_below_german(person: Person, site: Stack):
    with site.sign_in() as rest:
        command = rest.post("/api/v1/actuators/ESP_NOWHERE/25/command", json={"command": "OFF"})
        assert (command.status_code, command.json()["code"]) == (404, 5202)
        assert audited(rest, "command", "ESP_NOWHERE/25")["outcome"] == "refused"
        hook = "/api/v1/notifications/channels/hook"
        rest.put(hook, json={"name": "Haken", "url": "json://127.0.0.1:9/"}).raise_for_status()
        assert rest.post(f"{hook}/test").json()["is_sent"] is False
    refused = person.open("audit").row("ESP_NOWHERE").first
    expect(refused).to_contain_text("Der GPIO ist nicht gültig, oder dort ist kein solcher Sensor oder Aktor")
    expect(refused.locator("details.server-text [lang=en]")).to_have_count(1)
    channel = person.open("notifications").row("Haken")
    expect(channel).to_contain_text("fehlgeschlagen")
    expect(channel.locator("details.server-text [lang=en]")).to_have_count(1)
    with site.sign_in() as rest:
        rest.delete(hook).raise_for_status()
    recording = {
        "recording_id": "r1", "name": "Schicht", "source": "import", "env": None, "filters": [], "state": "failed",
        "reason": "the file has no messages", "note": None, "messages": 0, "bytes": 10, "missing": 0, "bad_lines": 1,
        "naive": False, "first_at": None, "last_at": None, "created_at": now_ms(), "created_by": "admin",
    }  # fmt: skip
    page = {"items": [recording], "bytes": 10, "bytes_limit": 100}
    details = {"recording": recording, "skipped": [{"line": 3, "reason": "not JSON"}], "meta": None}
    person.page.route("**/api/v1/replays*", lambda route: route.fulfill(json={"items": []}))
    person.page.route("**/api/v1/recordings?*", lambda route: route.fulfill(json=page))
    person.page.route("**/api/v1/recordings/r1", lambda route: route.fulfill(json=details))
    person.open("recordings").page.get_by_role("button", name="Zeigen").click()
    expect(person.dialog().locator("details.server-text [lang=en]")).to_have_text(
        ["the file has no messages", "Zeile 3: not JSON"]
    )


ENGLISH = re.compile(r"\b(the|is|are|not|of|by|from|and|everything|refused|channel|reached)\b")
"""Words that German has not."""


@pytest.mark.timeout(600)
def test_pages_of_alarms_have_no_english_but_what_the_server_wrote_folded(person: Person, site: Stack):
    """A stop without a reason, an actuator that is on all the same, a severity without a channel, one that fails."""
    mock = new_id()
    pump = f"/api/v1/actuators/{mock}/25"
    broken = {"name": "Kaputt", "url": f"json://127.0.0.1:{own_ports().take()}/"}
    with site.sign_in() as rest, stopped(rest), channel(rest, "kaputt", broken) as url:
        rest.post("/api/v1/debug/mock-esp", json={"esp_id": mock, "actuators": [PUMP]}).raise_for_status()
        wait_until(lambda: rest.get(pump).json().get("emergency_reason"), "the pump is stopped")
        on = {"ts": now_ms(), "gpio": 25, "type": "pump", "state": True, "pwm": 255, "emergency": "normal"}
        site.publish([of_device(mock, "actuator/25/status", on)])
        assert rest.post(f"{url}/test", json={}, timeout=60).json()["is_sent"] is False

        bar = person.open("alarms", "shown=all").page.locator(".emergency-bar")
        expect(bar).to_contain_text("Not-Halt durch einen Bediener (admin,")
        for said, where in (
            ("Not-Halt wirksam: alles: Not-Halt durch einen Bediener", "alles"),
            (f"Sicherheitsverletzung: GPIO 25 von {mock}", mock),
            ("Kein Weg führt einen Alarm der Schwere kritisch zu einem eingeschalteten Kanal", "kritisch"),
        ):
            expect(person.row(said).first).to_contain_text(where)
        is_german(person)
        person.row("Not-Halt wirksam: alles").first.get_by_role("button", name="Zeigen").click()
        expect(person.dialog().locator("dl")).to_contain_text("alles")
        person.page.keyboard.press("Escape")

        expect(person.open("alarm-statistics", "by=source").row("alles")).to_be_visible()
        is_german(person)
        failed = person.open("notifications").row("Kaputt")
        expect(failed).to_contain_text("fehlgeschlagen")
        is_german(person)
        failed.get_by_text("Wortlaut des Servers").click()
        expect(failed.locator("[lang=en]")).to_contain_text("the channel refused the message or could not be reached")


def is_german(person: Person) -> None:
    """Nothing that the page shows has an English word."""
    assert ENGLISH.findall(person.page.get_by_role("main").inner_text()) == []


@contextmanager
def stopped(rest: httpx.Client) -> Iterator[None]:
    """Everything is stopped for the body, by somebody who gives no reason."""
    rest.post("/api/v1/actuators/emergency_stop", json={}).raise_for_status()
    try:
        yield
    finally:
        rest.post("/api/v1/actuators/clear_emergency", json={"all": True}).raise_for_status()


@contextmanager
def channel(rest: httpx.Client, channel_id: str, body: dict[str, str]) -> Iterator[str]:
    """A channel for the body, to which no route leads; its address in the API."""
    url = f"/api/v1/notifications/channels/{channel_id}"
    rest.put(url, json=body).raise_for_status()
    try:
        yield url
    finally:
        rest.delete(url).raise_for_status()


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
