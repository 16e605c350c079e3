"""Text that devices, machines, files and people choose is shown in the console as text, and no page runs any of it.

Every text of every message of the recorded devices and of the recorded factory is replaced in turn, as are the topics
and whatever else people and files can name. Each page watches itself: for elements and handlers that the console never
has, for what the content policy refuses, for dialogs, and for a script that ran.
"""

import base64
import copy
import json
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from browser import Person
from console_pages import filtered, pages
from devices import heartbeat, now_ms, of_device
from harness import ROOT, Message, Stack, wait_until
from playwright.sync_api import Browser, expect

pytestmark = pytest.mark.timeout(900)  # waits for a stack, and opens every page

IMAGE = "<img src=x onerror=window.hacked=1>"
SCRIPT = "\"'><script>window.hacked=1</script>"
LINK = "javascript:window.hacked=1"
ALL = f"{IMAGE}{SCRIPT}{LINK}"
SHORT = "<img onerror=x>"
"""For a unit, which has 16 characters."""
GPIO = 13
"""Of a sensor that is in no recording."""
STATE = "module/v1/ff/SVR3QA2098/state"
QUALITY = "/j1/txt/1/i/quality_check"
MOMENTS = ("ts", "timestamp", "ts_ms")
WATCH = """(() => {
    const foreign = "img, iframe, object, embed, base, meta[http-equiv], body script, [srcdoc], [onerror], [onload],"
        + " [onclick], a[href^='javascript:' i], form[action]";
    window.found = [];
    addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
        window.found.push(`${violatedDirective} ${blockedURI}`));
    const look = (node) => [node, ...node.querySelectorAll("*")].filter((one) => one.matches(foreign))
        .forEach((one) => window.found.push(one.outerHTML.slice(0, 200)));
    new MutationObserver((records) => records.forEach(({ target, addedNodes, type }) =>
        (type === "attributes" ? [target] : [...addedNodes]).filter(({ nodeType }) => nodeType === 1).forEach(look)))
        .observe(document, { childList: true, subtree: true, attributes: true });
})()"""
"""Says in `found` what must not be on the page, also of what was there for a moment only."""
SHOWN = """() => document.body.textContent + "\\n"
    + [...document.querySelectorAll("input, textarea, option")].map(({ value }) => value).join("\\n")"""


@dataclass
class Hostile:
    """The texts that were said and set; `shown`: by page, the texts that it must show."""

    stack: Stack
    rest: httpx.Client
    esp_id: str
    zone_id: str = ""
    rule_id: str = ""
    shown: dict[tuple[str, ...], list[str]] = field(default_factory=dict)

    def text(self, tag: str, *pages: tuple[str, ...], most: int = 500) -> str:
        """A text that begins with a tag of its own, as hostile as its length allows; the pages must show it."""
        found = next(whole for form in (ALL, IMAGE, SHORT) if len(whole := f"{tag} {form}") <= most)
        for page in pages:
            self.shown.setdefault(page, []).append(found)
        return found


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to the texts of a JSON value."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*path, key))


def with_text(value: Any, path: tuple[Any, ...], text: str) -> Any:
    """The value with another text at a path."""
    changed = copy.deepcopy(value)
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = text
    return changed


def of_now(value: Any) -> Any:
    """A message with the time of now, so that it is neither late nor early."""
    if not isinstance(value, dict):
        return value
    now = {name: int(time.time()) for name in MOMENTS if isinstance(value.get(name), int)}
    return {**value, **now}


def variants(topic: str, payload: bytes) -> Iterator[Message]:
    """A message with each of its texts replaced in turn, and with an additional field of a hostile name."""
    try:
        value = of_now(json.loads(payload))
    except ValueError:
        return
    for path in leaves(value):
        for text in (IMAGE, SCRIPT):
            yield Message(topic, json.dumps(with_text(value, path, text)).encode())
    if isinstance(value, dict):
        yield Message(topic, json.dumps({**value, IMAGE: LINK, "__proto__": {"hacked": 1}}).encode())


def recorded_of_devices(esp_id: str) -> Iterator[Message]:
    for name in ("device-messages", "firmware-messages"):
        for example in json.loads((ROOT / "tests" / "golden" / f"{name}.json").read_text()):
            levels = example["topic"].split("/")
            if len(levels) > 3 and levels[2] == "esp":
                theirs = levels[3]
                topic = "/".join([*levels[:3], esp_id, *levels[4:]])
                yield from variants(topic, example["payload"].replace(theirs, esp_id).encode())


def recorded_of_factory() -> Iterator[Message]:
    last: dict[str, bytes] = {}
    for line in (ROOT / "tests" / "golden" / "factory-session.jsonl").read_text().splitlines():
        try:
            one = json.loads(line)
        except ValueError:
            continue
        if isinstance(one, dict) and isinstance(one.get("topic"), str) and isinstance(one.get("payload"), str):
            last[one["topic"]] = one["payload"].encode()
    for topic, payload in last.items():
        if not {"+", "#"} & set(topic):  # of the lines of the file that are wrong
            yield from variants(topic, payload)


def picture(data: str, num: int) -> Message:
    return Message(QUALITY, json.dumps({"num": num, "result": "PASSED", "data": data}).encode())


SVG = b"<svg xmlns='http://www.w3.org/2000/svg' onload='window.hacked=1'><script>window.hacked=1</script></svg>"
PICTURES = {
    9001: f"data:image/svg+xml;base64,{base64.b64encode(SVG).decode()}",
    9002: f"data:image/png;base64,{base64.b64encode(SVG).decode()}",
    9003: f"data:text/html;base64,{base64.b64encode(SCRIPT.encode()).decode()}",
    9004: f"data:image/png;base64,{IMAGE}",
}


def of_devices(world: Hostile) -> None:
    """The texts of a device, with the pages that show them."""
    esp_id, at = world.esp_id, now_ms()
    device, sensors, inspect = ("devices", esp_id), ("sensors",), ("inspect", esp_id)
    value = {"ts": at, "gpio": GPIO, "sensor_type": "ds18b20", "raw": 3000, "raw_value": 30.0, "raw_mode": False}
    world.shown.setdefault(sensors, []).append(SHORT)
    world.stack.publish(
        [
            heartbeat(esp_id, firmware_version=world.text("firmware", device, most=64)),
            of_device(esp_id, "sensor/13/data", {**value, "value": 30.0, "unit": SHORT, "quality": "good"}),
            of_device(
                esp_id,
                "actuator/25/status",
                {
                    "ts": at,
                    "gpio": 25,
                    "type": "pump",
                    "state": False,
                    "pwm": 0,
                    "error": world.text("status", inspect, most=60),
                },
            ),
            of_device(
                esp_id,
                "actuator/25/alert",
                {
                    "ts": at,
                    "gpio": 25,
                    "alert_type": "runtime_protection",
                    "message": world.text("alert", inspect, most=60),
                },
            ),
            of_device(
                esp_id,
                "system/error",
                {
                    "ts": at,
                    "error_code": 4711,
                    "severity": "critical",
                    "message": world.text("error", inspect, most=60),
                },
            ),
            Message(f"kaiser/god/esp/{esp_id}/sensor/4/data", world.text("payload", inspect).encode()),
            Message(
                f"kaiser/{world.text('site', ('rejected',), ('messages',), most=60)}/esp/{esp_id}/sensor/4/data", b"{}"
            ),
        ]
    )


def of_machines(world: Hostile) -> None:
    """The texts of a machine of the factory."""
    factory, messages = ("factory",), ("messages",)
    load = world.text("load", factory, messages, most=60)
    error = {
        "errorType": world.text("type", factory, most=256),
        "errorMessage": world.text("why", factory, most=256),
        "errorLevel": "FATAL",
    }
    state = {
        "serialNumber": "SVR3QA2098",
        "headerId": 1,
        "loads": [{"loadType": "WHITE", "loadId": load}],
        "errors": [error],
    }
    foreign = world.text("serial", messages, most=60)
    world.stack.publish([picture(data, num) for num, data in PICTURES.items()])
    world.stack.publish([Message(f"module/v1/ff/{foreign}/state", b"{}"), Message(STATE, json.dumps(state).encode())])


def of_people(world: Hostile) -> None:
    """The names and notes of people."""
    rest, esp_id = world.rest, world.esp_id
    world.zone_id = f"zone_{secrets.token_hex(3)}"
    zone, device, actuator = ("zones", world.zone_id), ("devices", esp_id), ("actuators", esp_id, "25")
    sensor = ("sensors", esp_id, str(GPIO), "ds18b20")

    def done(answer: httpx.Response) -> Any:
        assert answer.is_success, f"{answer.request.url}: {answer.text}"
        return answer.json() if answer.content else None

    done(
        rest.patch(f"/api/v1/esp/devices/{esp_id}", json={"name": world.text("device", device, ("devices",), most=100)})
    )
    described = {
        "zone_id": world.zone_id,
        "name": world.text("zone", zone, ("zones",), most=100),
        "description": world.text("about", zone),
    }
    done(rest.post("/api/v1/zones", json=described))
    done(rest.patch(f"/api/v1/sensors/{esp_id}/{GPIO}/ds18b20", json={"name": world.text("sensor", sensor, most=100)}))
    pump = {"actuator_type": "pump", "name": world.text("pump", actuator, ("actuators",), most=100)}
    done(rest.put(f"/api/v1/actuators/{esp_id}/25", json=pump))
    rule = {
        "name": world.text("rule", ("rules",), most=100),
        "description": world.text("because"),
        "conditions": [
            {
                "type": "sensor_threshold",
                "esp_id": esp_id,
                "gpio": GPIO,
                "sensor_type": "ds18b20",
                "operator": ">",
                "value": 20,
            }
        ],
        "actions": [
            {
                "type": "alarm",
                "do": "raise",
                "name": "hostile",
                "message": world.text("alarm", ("alarms",)),
            },
            {"type": "notification", "message": world.text("notice")},
        ],
    }
    world.rule_id = done(rest.post("/api/v1/logic/rules", json=rule))["rule_id"]
    raised = {"esp_id": esp_id, "limit": 1000}
    place = f"sensor/{GPIO}/data"
    hot = {"gpio": GPIO, "sensor_type": "ds18b20", "raw": 3100, "raw_value": 31.0, "raw_mode": False, "value": 31.0}

    def is_raised() -> bool:
        world.stack.publish([of_device(esp_id, place, {**hot, "ts": now_ms(), "unit": SHORT, "quality": "good"})])
        return "rule_alarm" in rest.get("/api/v1/alarms", params=raised).text

    wait_until(is_raised, "the rule has raised its alarm")
    world.shown.setdefault(("rules", world.rule_id), []).extend([rule["name"], rule["description"]])
    channel = {"name": world.text("channel", ("notifications",), most=64), "url": "json://127.0.0.1:9/x"}
    done(rest.put("/api/v1/notifications/channels/hostile", json=channel))
    stop = {"esp_id": esp_id, "reason": world.text("stop", ("overview",), most=200)}
    done(rest.post("/api/v1/actuators/emergency_stop", json=stop))
    form = {"username": world.text("guess", ("audit",), most=100), "password": "x"}
    assert rest.post("/api/v1/auth/token", data=form).status_code == 401


def of_files(world: Hostile) -> None:
    """The texts of an imported file."""
    name, note = world.text("recording", ("recordings",), most=100), world.text("note")
    told = {"topic": f"module/v1/ff/{IMAGE}/state", "payload": ALL, "timestamp": "2026-02-13T09:30:00Z", "qos": 1}
    lines = [json.dumps({"_kind": "session_meta", "sessionName": ALL, "note": ALL}), json.dumps(told), ALL]
    path = f"/api/v1/recordings/import?filename={quote(IMAGE)}.jsonl&name={quote(name)}&note={quote(note)}"
    answer = world.rest.post(path, content="\n".join(lines).encode())
    assert answer.status_code == 202, answer.text
    one = f"/api/v1/recordings/{answer.json()['recording_id']}"
    wait_until(lambda: world.rest.get(one).json()["recording"]["state"] == "ready", "the file is read")


@pytest.fixture(scope="module")
def world(server_folder: Path) -> Iterator[Hostile]:
    """A stack with a factory, in which everybody has said what is hostile."""
    stack = Stack(
        server_folder / f"stack-{secrets.token_hex(3)}",
        KAISER_MQTT_DIALECTS='["esp", "factory"]',
        KAISER_TOPICS_DIALECTS='["factory", "esp"]',
        KAISER_REQUEST_PER_SECOND="1000",
    )
    try:
        stack.start()
        with stack.sign_in() as rest:
            [esp_id] = stack.register(1)
            world = Hostile(stack, rest, esp_id)
            stack.publish(recorded_of_devices(esp_id))
            stack.publish(recorded_of_factory())
            rest.get(f"/api/v1/esp/devices/{esp_id}/messages").raise_for_status()  # from now on its messages are kept
            of_devices(world)
            reported = f"/api/v1/actuators/{esp_id}/25"
            wait_until(lambda: rest.get(reported).is_success, "the pump is reported")
            latest = {"esp_id": esp_id}
            wait_until(
                lambda: rest.get("/api/v1/sensors/latest", params=latest).json()["items"], "the reading is stored"
            )
            of_people(world)
            of_machines(world)
            of_files(world)
            yield world
    finally:
        stack.stop()


@pytest.fixture(scope="module")
def reader(browser: Browser, world: Hostile) -> Iterator[Person]:
    """The administrator, whose pages watch themselves."""
    person = Person(browser, world.stack)
    person.dialogs = []
    person.page.on("dialog", lambda dialog: (person.dialogs.append(dialog.message), dialog.dismiss()))
    person.page.add_init_script(WATCH)
    yield person.sign_in()
    person.leave()


def is_harmless(person: Person, where: object) -> None:
    """Nothing of what is on the page, or was, is more than text."""
    found = person.page.evaluate("() => [...window.found, ...((window.hacked || {}.hacked) ? ['it ran'] : [])]")
    assert (found, person.dialogs, person.troubles) == ([], [], []), where


def shows(person: Person, texts: list[str], where: object) -> None:
    """Wait until the page shows the texts, letter by letter."""

    def missing() -> list[str]:
        whole = person.page.evaluate(SHOWN)
        return [text for text in texts if text not in whole]

    try:
        wait_until(lambda: not missing(), f"{where} shows them")
    except AssertionError:
        raise AssertionError(f"{where} does not show {missing()}") from None


LIVE = "log"
"""The page that the reader is on as it signs in, with what comes."""
OF_ONE = {"connect", "inspect", "workpiece"}
"""Pages of one thing, which its address names."""
SHOWN_FILTERS = {
    "devices": ("zone_id",),
    "sensors": ("zone_id", "sensor_type"),
    "actuators": ("zone_id", "actuator_type"),
    "alarms": ("kind", "source", "zone_id"),
    "alarm-statistics": (),
    "rejected": (),
}
"""By list, the filters of its address that it shows as they are."""
CHOSEN_FILTERS = ("state", "shown", "severity", "group", "by", "span", "to")
"""Filters that have some values only; a list shows none of the others."""
KEEP_TOASTS = """() => {
    window.said = "";
    const holder = document.querySelector(".toasts");
    new MutationObserver(() => { window.said += holder.textContent; }).observe(holder, { childList: true });
}"""


def narrowed() -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """The address of each list with a hostile text in each filter, and the texts that it must show."""
    for page, names in SHOWN_FILTERS.items():
        texts = {name: f"{name.partition('_')[0]} {ALL}" for name in (*names, *CHOSEN_FILTERS)}
        parts = (f"{name}={quote(text, safe='')}" for name, text in texts.items())
        yield (page, *parts), [texts[name] for name in names]


def test_every_page_shows_what_others_wrote_as_text(reader: Person, world: Hostile) -> None:
    esp_id = world.esp_id
    parts = [(page,) for page in sorted(pages() - OF_ONE - {LIVE})]
    parts += [("devices", esp_id), ("connect", esp_id), ("inspect", esp_id), ("zones", world.zone_id)]
    parts += [("sensors", esp_id, str(GPIO), "ds18b20"), ("actuators", esp_id, "25"), ("rules", world.rule_id)]
    parts += [("devices", quote(ALL, safe="")), ("workpiece", quote(IMAGE, safe="")), (quote(ALL, safe=""),)]
    assert set(world.shown) <= {*parts, (LIVE,)}
    assert {page for page, *_ in parts} >= pages() - {LIVE}
    for page in parts:
        reader.open(*page)
        if page == ("messages",):
            reader.page.get_by_label(re.compile("^Level")).focus()
            reader.page.keyboard.press("End")
        shows(reader, world.shown.get(page, []), page)
        expect(reader.page.get_by_text("Loading…")).to_have_count(0)
        is_harmless(reader, page)


def test_what_an_address_narrows_a_list_to_is_shown_as_text(reader: Person) -> None:
    assert set(SHOWN_FILTERS) == filtered()
    explored = ("explore", "3600000", f"{quote(ALL, safe='')},4,ds18b20,")
    for page, texts in [*narrowed(), (explored, [ALL])]:
        shows(reader.open(*page), texts, page[0])
        expect(reader.page.get_by_text("Loading…")).to_have_count(0)
        is_harmless(reader, page[0])


def test_what_comes_while_a_page_is_open_is_text(reader: Person, world: Hostile) -> None:
    """Each alert is an alarm of its own, of which a toast tells on every page; some show it themselves too."""
    reader.page.evaluate(KEEP_TOASTS)
    for gpio, page in enumerate((LIVE, "devices", "messages", "alarms", "factory"), start=26):
        text = f"live {page} {IMAGE}{LINK}"  # a message is JSON: no quotes
        told = {"message": text, "ts": now_ms(), "gpio": gpio, "alert_type": "hardware_error"}
        reader.open(page)
        if page == "messages":
            reader.page.get_by_label(re.compile("^Level")).focus()
            reader.page.keyboard.press("End")
        world.stack.publish([of_device(world.esp_id, f"actuator/{gpio}/alert", told)])
        wait_until(lambda text=text: text in reader.page.evaluate("window.said"), f"a toast tells it on {page}")
        if page not in ("devices", "factory"):
            expect(reader.page.locator("main")).to_contain_text(text)
        is_harmless(reader, page)


def test_details_in_dialogs_are_text(reader: Person) -> None:
    for page in ("rejected", "audit", "alarms", "recordings"):
        table = reader.open(page).page.get_by_role("table").last
        details = table.get_by_role("button", name=re.compile("^Show"))
        expect(details.first).to_be_visible()
        for number in range(min(details.count(), 4)):
            details.nth(number).click()
            expect(reader.dialog()).to_be_visible()
            expect(reader.page.get_by_text("Loading…")).to_have_count(0)
            is_harmless(reader, page)
            reader.page.keyboard.press("Escape")
            expect(reader.dialog()).to_have_count(0)


def test_a_picture_of_the_factory_is_drawn_or_refused_and_is_never_a_document(reader: Person, world: Hostile) -> None:
    rest = world.rest
    kept = wait_until(
        lambda: [one for one in rest.get("/api/v1/factory/quality").json()["items"] if one["num"] in PICTURES],
        "the check whose picture has an allowed type is kept",
    )
    assert [one["num"] for one in kept] == [9002]
    answer = rest.get(f"/api/v1/factory/quality/{kept[0]['quality_id']}/picture")
    assert (answer.headers["content-type"], answer.headers["x-content-type-options"]) == ("image/png", "nosniff")
    page = reader.open("messages").page
    for num, data in PICTURES.items():
        world.stack.publish([picture(data, num)])
        page.get_by_label("Search").fill(f'"num": {num}')
        row = page.get_by_role("list", name="Messages, newest first").get_by_role("listitem").first
        expect(row).to_contain_text(str(num))
        row.get_by_role("button").click()
        detail = page.get_by_label("The chosen message")
        expect(detail.get_by_label("The payload")).to_contain_text(str(num))
        if num in (9002, 9004):
            expect(detail).to_contain_text("Its picture cannot be drawn.")
        expect(detail.get_by_role("img")).to_have_count(0)
        detail.get_by_role("button", name="Changes").click()
        is_harmless(reader, num)
        detail.get_by_role("button", name="Close").click()


@pytest.mark.parametrize(
    "harm",
    [
        f"document.querySelector('main').innerHTML = `{IMAGE}`",
        "document.querySelector('a').setAttribute('href', 'javascript:window.hacked=1')",
        "document.body.append(Object.assign(document.createElement('script'), { textContent: 'window.hacked=1' }))",
    ],
    ids=["image", "link", "script"],
)
def test_the_watch_of_these_tests_sees_what_is_no_text(browser: Browser, world: Hostile, harm: str) -> None:
    person = Person(browser, world.stack)
    person.page.add_init_script(WATCH)
    try:
        person.sign_in().page.evaluate(harm)
        wait_until(lambda: person.page.evaluate("window.found.length"), "the watch has seen it")
        assert person.page.evaluate("window.hacked") is None, "the content policy runs no script of the page"
    finally:
        person.leave()
