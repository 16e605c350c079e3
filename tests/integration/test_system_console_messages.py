"""The page Messages in a browser: what came and what is sent, wide and narrow, by mouse and by key."""

import base64
import json
import re
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from browser import Person
from devices import now_ms
from harness import ROOT, Message, Stack, reading, wait_until
from holding import held, until_held
from kaiser_factory_dialect.recordings import parse_file, parse_lines
from playwright.sync_api import Browser, Locator, expect

BOTH = '["esp", "factory"]'
STATE = "module/v1/ff/SVR3QA2098/state"
TOO_WIDE = """() => [...document.querySelectorAll("body *")]
    .filter(one => document.documentElement.scrollWidth > innerWidth && one.getBoundingClientRect().right > innerWidth)
    .map(one => one.outerHTML.slice(0, 120))"""


def png(width: int, height: int) -> bytes:
    """A picture of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\x00" + b"\xc0\x20\x20" * width for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def state(number: int) -> Message:
    """A state of a module; the number is in it."""
    value = {"serialNumber": "SVR3QA2098", "headerId": number, "loads": [{"loadType": "WHITE", "loadId": "04a"}]}
    return Message(STATE, json.dumps(value).encode())


@pytest.fixture
def factory(make_stack: Callable[..., Stack]) -> Stack:
    """A stack with a factory that has produced, and a device whose messages are observed."""
    stack: Stack = make_stack(
        KAISER_MQTT_BROKER="mosquitto", KAISER_MQTT_DIALECTS=BOTH, KAISER_OBSERVE='["kaiser/+/esp/+/sensor/#"]'
    ).start()
    session = parse_file("factory-session.jsonl", (ROOT / "tests/golden/factory-session.jsonl").read_bytes())
    stack.publish([Message(each.topic, each.payload) for each in session.messages])
    picture = {"num": 7, "result": "PASSED", "data": f"data:image/png;base64,{base64.b64encode(png(40, 20)).decode()}"}
    stack.publish([Message("/j1/txt/1/i/quality_check", json.dumps(picture).encode()), state(1), state(2)])
    [esp_id] = stack.register(1)
    stack.publish([reading(esp_id, 4, now_ms(), 21.5)])
    with stack.sign_in() as rest:

        def there() -> bool:
            answer = rest.get("/api/v1/messages/topics", params={"filter": "module/#"}).json()
            found = {one["topic"]: one for one in answer.get("topics", [])}
            return bool(found.get(STATE, {}).get("held", 0) > 1)

        wait_until(there, "the factory's messages are on TOPICS", 120.0)
    return stack


@pytest.fixture
def person(browser: Browser, factory: Stack) -> Any:
    """The administrator in front of the page, which may have no error."""
    found = Person(browser, factory).sign_in()
    yield found.open("messages")
    found.leave()
    assert found.troubles == []


def rows(person: Person) -> Locator:
    return person.page.get_by_role("list", name="Messages, newest first").get_by_role("listitem")


def fill(person: Person, label: str, text: str) -> None:
    person.page.get_by_label(label).fill(text)
    person.page.keyboard.press("Enter")


def detail(person: Person) -> Locator:
    return person.page.get_by_label("The chosen message")


def test_messages_are_seen_searched_compared_sent_and_saved(person: Person, factory: Stack, browser: Browser) -> None:
    expect(person.page.locator(".head .badge")).to_contain_text("live")
    expect(rows(person).first).to_be_visible()
    levels_and_filters(person)
    a_message_in_full(person, factory)
    pause_and_export(person, factory)
    pictures_and_devices(person)
    send(person)
    previewed_in_german(factory, browser)
    narrow_and_switched(person, factory, browser)


def levels_and_filters(person: Person) -> None:
    page = person.page
    topics = page.get_by_role("list", name="Topics")
    page.get_by_label(re.compile("^Level")).focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    expect(page.get_by_text("Level 1: modules")).to_be_visible()
    expect(topics.get_by_text("SVR3QA2098")).not_to_have_count(0)
    expect(topics.get_by_text("ccu", exact=True)).to_have_count(0)
    fill(person, "Topic filter", "module/v1/*/state")
    expect(page.get_by_role("alert")).to_contain_text("use + for one level, # for all that follow")
    fill(person, "Topic filter", STATE)
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(rows(person)).to_have_count(1)  # the last value; what comes is added
    row, summary = rows(person).first.bounding_box(), rows(person).locator(".log-summary").first.bounding_box()
    assert row is not None
    assert summary is not None
    assert row["x"] + row["width"] - summary["x"] - summary["width"] < 20, "the payload has the rest of the row"


def a_message_in_full(person: Person, factory: Stack) -> None:
    factory.publish([state(3)])
    expect(rows(person).first).to_contain_text('"headerId": 3')
    rows(person).first.get_by_role("button").click()
    expect(detail(person).get_by_label("The payload")).to_contain_text('"headerId": 3')
    detail(person).get_by_role("button", name="Changes").click()
    expect(detail(person).locator(".changes")).to_contain_text("headerId 2 3")


def pause_and_export(person: Person, factory: Stack) -> None:
    person.button("Pause").click()
    factory.publish([state(4)])
    expect(person.page.get_by_role("status").filter(has_text="Paused, 1 new")).to_be_visible()
    expect(rows(person).first).to_contain_text('"headerId": 3')
    person.button("Resume").click()
    expect(rows(person).first).to_contain_text('"headerId": 4')
    with person.page.expect_download() as saved:
        person.button("Export").click()
    recording = parse_lines(saved.value.path().read_bytes().splitlines())
    assert recording.bad_lines == 0
    assert [(one.topic, json.loads(one.payload)["headerId"]) for one in recording.messages] == [
        (STATE, 2),
        (STATE, 3),
        (STATE, 4),
    ]
    detail(person).get_by_role("button", name="Close").click()


def pictures_and_devices(person: Person) -> None:
    page = person.page
    fill(person, "Topic filter", "")
    page.get_by_label(re.compile("^Level")).focus()
    page.keyboard.press("End")
    page.get_by_label("Search").fill("quality_check")
    rows(person).first.get_by_role("button").click()
    expect(page.get_by_role("img", name="The picture of the message")).to_have_js_property("width", 40)
    page.get_by_label("Search").fill("/sensor/4/data")
    expect(rows(person).first).to_contain_text("kaiser/god/esp/")


def send(person: Person) -> None:
    """Edit, preview, send, followed to its end."""
    page = person.page
    person.button("Send…").click()
    dialog = person.dialog()
    checks, go = dialog.get_by_label("Checks"), dialog.get_by_role("button", name="Send", exact=True)
    dialog.get_by_label("Topic", exact=True).fill("kaiser/god/esp/ESP_1/config")
    dialog.get_by_label("Payload").fill("{}")
    dialog.get_by_role("button", name="Preview").click()
    expect(checks).to_contain_text("topics of ESP32 devices are not sent from here")
    expect(go).to_be_disabled()
    dialog.get_by_label("Template").select_option("Park the factory")
    dialog.get_by_role("button", name="Preview").click()
    expect(checks).to_contain_text("ingest reads it")
    dialog.get_by_label("QoS").select_option("0")
    expect(go).to_be_disabled()  # what was changed has to be looked at again
    with held(person, "**/api/v1/messages/validate", "POST") as asked:
        dialog.get_by_role("button", name="Preview").click()
        until_held(person, asked)
        dialog.get_by_label("QoS").select_option("1")
    expect(dialog.get_by_role("button", name="Preview")).to_be_enabled()
    expect(go).to_be_disabled()  # its preview is that of what was changed since
    dialog.get_by_role("button", name="Preview").click()
    go.click()
    expect(dialog.get_by_role("status")).to_contain_text("sent")
    assert person.accessibility() == []
    page.keyboard.press("Escape")
    page.get_by_label("Search").fill("ccu/set/park")
    expect(rows(person).first).to_contain_text("sent by Kaiser")
    person.screenshot("messages-1440-light")
    assert person.accessibility() == []


def previewed_in_german(factory: Stack, browser: Browser) -> None:
    """The page says in German how each check went; the server's text of it is folded."""
    reader = Person(browser, factory, language="de-DE")
    reader.page.goto(f"{reader.url}/#/messages")
    reader.page.get_by_label("Name").fill("admin")
    reader.page.get_by_label("Passwort").fill(factory.password())
    reader.button("Anmelden").click()
    reader.button("Senden…").click()
    dialog = reader.dialog()
    dialog.get_by_label("Topic", exact=True).fill("kaiser/god/esp/ESP_1/config")
    dialog.get_by_label("Inhalt").fill("{}")
    dialog.get_by_role("button", name="Vorschau").click()
    refused = dialog.get_by_label("Prüfungen").get_by_role("listitem").filter(has_text="abgelehnt")
    expect(refused).to_contain_text("Nicht erlaubt.")
    said = refused.get_by_text("topics of ESP32 devices are not sent from here")
    expect(said).to_be_hidden()
    refused.get_by_text("Wortlaut des Servers").click()
    expect(said).to_be_visible()
    reader.leave()
    assert reader.troubles == []


def narrow_and_switched(person: Person, factory: Stack, browser: Browser) -> None:
    narrow = Person(browser, factory, width=390, colours="dark").sign_in().open("messages")
    expect(narrow.page.locator(".message-row").first).to_be_visible()
    assert narrow.page.evaluate(TOO_WIDE) == []
    assert narrow.accessibility() == []
    narrow.screenshot("messages-390-dark")
    with factory.sign_in() as rest:
        # A wrong payload is 422 and names the field; devices are never sent to from here.
        wrong = rest.post("/api/v1/messages", json={"topic": "ccu/set/charge", "payload": {"serialNumber": "5iO4"}})
        assert (wrong.status_code, wrong.json()["code"], wrong.json()["field"]) == (422, 5205, "charge")
        device = rest.post("/api/v1/messages", json={"topic": "kaiser/x", "payload": {}, "free": True})
        assert (device.status_code, device.json()["code"]) == (409, 5405)
        person.button("Send…").click()
        dialog = person.dialog()
        dialog.get_by_label("Template").select_option("Park the factory")
        dialog.get_by_role("button", name="Preview").click()
        go = dialog.get_by_role("button", name="Send", exact=True)
        expect(go).to_be_enabled()
        rest.post("/api/v1/factory/environment", json={"profile": "mock"}, timeout=120).raise_for_status()
        expect(dialog).to_contain_text("Send a message to mock")
        expect(go).to_be_disabled()  # it was previewed for another environment
        person.page.keyboard.press("Escape")
    expect(narrow.page.locator(".head .badge")).to_contain_text("mock (mock)")
    expect(narrow.page.locator(".message-row")).to_have_count(0)
    expect(person.page.locator(".head .badge")).to_contain_text("mock (mock)")
    assert narrow.troubles == []
    narrow.leave()
