"""Alarms in the console: a limit in three clicks from the chart, acknowledged on all open consoles, kept overnight."""

import re
from collections.abc import Callable, Iterator

import pytest
from browser import Person, add_user
from devices import now_ms
from harness import Stack, reading, wait_until
from playwright.sync_api import expect
from receivers import HttpReceiver, Mailbox, http_receiver, mail_server

_COUNT_TONES = """() => {
    window.tones = 0;
    const start = OscillatorNode.prototype.start;
    OscillatorNode.prototype.start = function (...given) { window.tones += 1; return start.apply(this, given); };
}"""

_KEEP_TOASTS = """() => {
    window.said = [];
    const toasts = () => [...document.querySelectorAll(".toast")];
    const keep = () => window.said.push(...toasts().map((one) => `${one.className}: ${one.textContent}`));
    new MutationObserver(keep).observe(document.querySelector(".toasts"), { childList: true, subtree: true });
}"""


def test_a_limit_is_set_from_the_chart_and_its_alarm_is_acknowledged_on_every_console(
    operator: Person, viewer: Person, mock: str
):
    viewer.open("alarms")
    operator.open("sensors", mock, "4", "ds18b20")
    operator.page.evaluate(_COUNT_TONES)
    operator.page.locator(".account summary").click()
    operator.button("Alarm sound: off").click()
    assert operator.page.evaluate("window.tones") == 1, "choosing the sound plays it"
    operator.page.locator(".account summary").click()
    operator.button("Alarm limits…").click()
    operator.dialog().get_by_label("Warning over").fill("5")
    operator.dialog().get_by_label("Warning under").fill("10")
    operator.dialog().get_by_role("button", name="Save").click()
    expect(operator.dialog().get_by_role("alert")).to_contain_text("hi (5) must be above lo (10)")
    operator.dialog().get_by_label("Warning under").fill("")
    operator.dialog().get_by_role("button", name="Save").click()
    expect(operator.dialog()).to_have_count(0)

    expect(operator.page.locator(".alarm-badge")).to_contain_text(re.compile(r"\d"))
    wait_until(lambda: operator.page.evaluate("window.tones > 1"), "the alarm is heard")
    seen = viewer.row(mock).filter(has_text="over hi 5")
    expect(seen).to_contain_text("raised")
    expect(seen.get_by_role("button", name=re.compile("^Acknowledge"))).to_have_count(0)
    operator.page.locator(".alarm-badge").click()
    row = operator.row(mock).filter(has_text="over hi 5")
    row.get_by_role("button", name=re.compile("^Acknowledge")).click()
    expect(row).to_contain_text("acknowledged by admin")
    expect(seen).to_contain_text("acknowledged by admin")

    row.get_by_role("button", name=re.compile("^Shelve")).click()
    operator.dialog().get_by_label("Why").fill("being repaired")
    operator.dialog().get_by_role("button", name="Shelve").click()
    expect(seen).to_contain_text("shelved by admin until")
    row.get_by_role("button", name=re.compile("^Show")).click()
    expect(operator.dialog()).to_contain_text("shelved")
    expect(operator.dialog()).to_contain_text("being repaired")
    operator.page.keyboard.press("Escape")

    operator.open("sensors", mock, "4", "ds18b20").button("Alarm limits…").click()
    operator.button("Remove the limits").click()
    expect(operator.dialog()).to_have_count(0)
    operator.open("alarms").page.get_by_label(re.compile("^Show open alarms")).select_option("closed")
    expect(operator.row(mock).filter(has_text="over hi 5")).to_contain_text("closed")


def test_a_limit_is_set_in_three_clicks_from_the_sensor_s_chart(operator: Person, console_stack: Stack):
    [esp_id] = console_stack.register(1)
    console_stack.publish([reading(esp_id, 4, now_ms(), 20.0)])
    page = operator.open("sensors", esp_id, "4", "ds18b20").page
    expect(page.locator(".chart figcaption")).to_contain_text("1 point;")
    operator.count()
    operator.button("Alarm limits…").click()
    operator.dialog().get_by_label("Warning over").click()
    page.keyboard.type("30")
    operator.dialog().get_by_role("button", name="Save").click()
    expect(operator.dialog()).to_have_count(0)
    assert operator.counted() == (3, 1)
    house, place = f"House {esp_id[-8:]}", f"East {esp_id[-8:]}"
    with console_stack.sign_in() as rest:
        rest.patch(f"/api/v1/esp/devices/{esp_id}", json={"name": house}).raise_for_status()
        rest.patch(f"/api/v1/sensors/{esp_id}/4/ds18b20", json={"name": place}).raise_for_status()
    console_stack.publish([reading(esp_id, 4, now_ms(), 31.5)])
    operator.open("alarms").page.reload()
    expect(operator.row(f"{place} of {house} is 31.5 °C, over hi 30")).to_contain_text("raised")


def test_a_critical_notification_of_a_rule_is_a_toast_a_badge_a_tone_and_a_line_of_the_log_with_its_severity(
    viewer: Person, console_stack: Stack, made_rules: list[str]
):
    [esp_id] = console_stack.register(1)
    message = f"Frost at {esp_id}, cover the beds"
    sensor = {"esp_id": esp_id, "gpio": 4, "sensor_type": "ds18b20"}
    rule = {
        "name": f"Frost {esp_id}",
        "conditions": [{"type": "sensor_threshold", **sensor, "operator": "<", "value": 2}],
        "actions": [{"type": "notification", "message": message, "severity": "critical"}],
    }
    page = viewer.open("devices").page
    page.locator(".account summary").click()
    viewer.button("Alarm sound: off").click()
    page.evaluate(_COUNT_TONES)
    page.evaluate(_KEEP_TOASTS)
    with console_stack.sign_in() as rest:
        made = rest.post("/api/v1/logic/rules", json=rule)
        assert made.status_code == 201, made.text
        made_rules.append(made.json()["rule_id"])

        def toasts() -> list[str]:
            at = now_ms()  # the rule is in force soon after it was saved
            console_stack.publish([reading(esp_id, 4, at - 1, 5.0), reading(esp_id, 4, at, -3.5)])
            return [one for one in page.evaluate("window.said") if message in one]

        assert "toast-bad" in wait_until(toasts, "the notification is a toast")[0]
        rest.delete(f"/api/v1/logic/rules/{made.json()['rule_id']}").raise_for_status()
    wait_until(lambda: page.evaluate("window.tones > 0"), "the tone is played")
    expect(page.locator(".alarm-badge")).to_have_class(re.compile("badge-bad"))
    page.get_by_role("navigation").get_by_role("link", name="Live log").click()
    page.get_by_label("system_event").check()
    line = page.locator(".log-row").filter(has_text=message).first
    expect(line.locator(".log-summary")).to_have_text(f"critical: rule Frost {esp_id}: {message}")
    expect(line.locator(".badge")).to_have_class(re.compile("badge-bad"))
    assert line.locator(".log-summary").evaluate("one => one.scrollWidth <= one.clientWidth"), "it is whole"
    row = viewer.open("alarms").row(message)
    expect(row).to_contain_text("critical")
    expect(row).to_contain_text("rule notification")


def a_warm_device(stack: Stack) -> str:
    """A device whose thermometer has a limit of 30 °C."""
    [esp_id] = stack.register(1)
    with stack.sign_in() as rest:
        rest.put(f"/api/v1/alarms/limits/{esp_id}/4/ds18b20", json={"hi": 30}).raise_for_status()
    return esp_id


def test_an_alarm_is_a_toast_on_another_page_and_a_tone_where_that_was_chosen_before_a_reload(
    viewer: Person, console_stack: Stack
):
    esp_id = a_warm_device(console_stack)
    viewer.open("devices").page.locator(".account summary").click()
    viewer.button("Alarm sound: off").click()
    viewer.page.reload()
    expect(viewer.page.locator(".top-bar .badge").first).to_contain_text("live")
    viewer.page.locator(".account summary").click()
    expect(viewer.button("Alarm sound: on")).to_be_visible()
    viewer.page.evaluate(_COUNT_TONES)
    viewer.page.evaluate(_KEEP_TOASTS)
    console_stack.publish([reading(esp_id, 4, now_ms(), 31.5)])

    def toasts() -> list[str]:
        return [one for one in viewer.page.evaluate("window.said") if esp_id in one]

    toast = wait_until(toasts, "the alarm is a toast")[0]
    assert "toast-warn" in toast
    assert "over hi 30" in toast
    wait_until(lambda: viewer.page.evaluate("window.tones > 0"), "the tone is played")


def test_an_acknowledgement_shows_on_another_console_within_a_second_of_its_frame(
    make_person: Callable[..., Person], console_stack: Stack
):
    """The second is one of the page's clock, which stands until the frame is there: no look every few seconds helps."""
    esp_id = a_warm_device(console_stack)
    add_user(console_stack, "vera", "only looking", "viewer")
    other = make_person()
    frames = other.frames()
    other.page.clock.install()
    row = other.sign_in("vera", "only looking").open("alarms").row(esp_id)
    console_stack.publish([reading(esp_id, 4, now_ms(), 31.5)])
    expect(row).to_contain_text("raised")
    other.page.clock.pause_at(other.page.evaluate("Date.now()") / 1000 + 2)
    with console_stack.sign_in() as rest:
        [alarm] = rest.get("/api/v1/alarms", params={"esp_id": esp_id}).json()["items"]
        rest.post(f"/api/v1/alarms/{alarm['alarm_id']}/acknowledge", json={}).raise_for_status()

    def is_told() -> bool:
        other.page.title()
        said = [frame["data"] for frame in frames if frame["type"] == "alarm"]
        return (alarm["alarm_id"], "acknowledged") in [(one["alarm_id"], one["what"]) for one in said]

    wait_until(is_told, "the frame is there")
    expect(row).not_to_contain_text("acknowledged by")
    for _ in range(10):
        other.page.clock.run_for(100)
    expect(row).to_contain_text("acknowledged by admin")


def test_a_click_on_acknowledge_shows_in_the_row_within_a_second(
    make_person: Callable[..., Person], console_stack: Stack
):
    """The second is one of the page's clock, which stands from before the click until the request is answered."""
    esp_id = a_warm_device(console_stack)
    person = make_person()
    person.page.clock.install()
    row = person.sign_in().open("alarms").row(esp_id)
    console_stack.publish([reading(esp_id, 4, now_ms(), 31.5)])
    expect(row).to_contain_text("raised")
    person.page.clock.pause_at(person.page.evaluate("Date.now()") / 1000 + 2)
    with person.page.expect_response(re.compile("/acknowledge$")) as answer:
        row.get_by_role("button", name=re.compile("^Acknowledge")).dispatch_event("click")
    assert answer.value.ok
    answer.value.finished()
    for _ in range(10):
        person.page.clock.run_for(100)
    expect(row).to_contain_text("acknowledged by admin")


@pytest.mark.speed
def test_a_click_on_acknowledge_is_in_the_row_of_another_console_a_second_later(
    make_person: Callable[..., Person], console_stack: Stack
):
    devices = [a_warm_device(console_stack) for _ in range(10)]
    add_user(console_stack, "vera", "only looking", "viewer")
    one, other = (make_person().sign_in(*user).open("alarms") for user in ((), ("vera", "only looking")))
    console_stack.publish(reading(esp_id, 4, now_ms(), 31.5) for esp_id in devices)
    for esp_id in devices:
        expect(one.row(esp_id)).to_contain_text("raised")
        expect(other.row(esp_id)).to_contain_text("raised")
    for esp_id in devices:
        one.row(esp_id).get_by_role("button", name=re.compile("^Acknowledge")).click()
        expect(other.row(esp_id)).to_contain_text("acknowledged by admin", timeout=1000)


@pytest.fixture
def receiver(console_stack: Stack) -> Iterator[HttpReceiver]:
    """A receiver of notifications; the channels and routes of a test are removed after it."""
    with http_receiver() as found:
        yield found
        with console_stack.sign_in() as rest:
            url = "/api/v1/notifications"
            for route in rest.get(f"{url}/routes").json()["routes"]:
                rest.delete(f"{url}/routes/{route['route_id']}").raise_for_status()
            for channel in rest.get(f"{url}/channels").json()["channels"]:
                rest.delete(f"{url}/channels/{channel['channel_id']}").raise_for_status()


@pytest.fixture
def mailbox(free_port: Callable[[], int]) -> Iterator[Mailbox]:
    """A real mail server."""
    with mail_server(free_port()) as found:
        yield found


def test_an_alarm_that_was_raised_with_nobody_signed_in_was_delivered_and_is_there_for_who_comes(
    console_stack: Stack,
    make_person: Callable[..., Person],
    mock: str,
    receiver: HttpReceiver,
    mailbox: Mailbox,
):
    with console_stack.sign_in() as rest:
        for channel_id, url in (("hook", receiver.url), ("mail", mailbox.url)):
            path = f"/api/v1/notifications/channels/{channel_id}"
            rest.put(path, json={"name": channel_id, "url": url}).raise_for_status()
        route = {"channels": ["hook", "mail"], "severities": ["warning", "critical"]}
        rest.put("/api/v1/notifications/routes/all", json=route).raise_for_status()
        rest.post(f"/api/v1/debug/mock-esp/{mock}/stop").raise_for_status()
        wait_until(lambda: rest.get("/api/v1/alarms", params={"esp_id": mock}).json()["items"], "an alarm is raised")
    wait_until(lambda: any(mock in one["message"] for one in receiver.taken), "the webhook has it", 120.0)
    wait_until(lambda: any(mock in mail for mail in mailbox.mails), "the mail server has it", 120.0)
    for name in ("alarm", "nats", "websocket-gateway"):  # the night goes on
        before = console_stack.pid(name)
        console_stack.kill(name)
        wait_until(lambda name=name, before=before: console_stack.pid(name) != before, f"{name} runs again", 60.0)
    console_stack.settle()
    person = make_person(width=390).sign_in().open("alarms")
    row = person.row(mock).filter(has_text="device offline")
    expect(row).to_contain_text("raised")
    expect(person.page.locator(".alarm-badge")).to_have_attribute("aria-label", re.compile(r"^\d+ alarms?$"))
    assert len([one for one in receiver.taken if mock in one["message"]]) == 1, "it was not sent a second time"
    assert person.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def save(person: Person) -> None:
    """Save in the dialog that is open, which closes."""
    person.dialog().get_by_role("button", name="Save").click()
    expect(person.dialog()).to_have_count(0)


def refused(person: Person, text: str) -> None:
    """Save in the dialog that is open, which says what is wrong."""
    person.dialog().get_by_role("button", name="Save").click()
    expect(person.dialog().get_by_role("alert").first).to_contain_text(text)


def test_a_channel_is_added_tested_in_place_and_its_secret_never_comes_back(operator: Person, receiver: HttpReceiver):
    operator.open("notifications")
    operator.says("There is no channel.")
    operator.button("Add a channel").click()
    operator.dialog().get_by_label("Id", exact=False).fill("hook")
    operator.dialog().get_by_label("Name").fill("Hook of ops")
    operator.dialog().get_by_label("URL", exact=False).fill("nothing://at-all")
    refused(operator, "names no channel")
    secret = receiver.url.replace("json://", "json://user:hunter2secret@")
    operator.dialog().get_by_label("URL", exact=False).fill(secret)
    save(operator)
    row = operator.row("Hook of ops")
    expect(row).to_contain_text("not used yet")
    operator.says("No route leads to an enabled channel")

    row.get_by_role("button", name="Test Hook of ops").click()
    expect(row.get_by_role("status")).to_contain_text("the test was sent")
    assert [one["title"] for one in receiver.taken] == ["Kaiser: test"]
    receiver.status = 500
    row.get_by_role("button", name="Test Hook of ops").click()
    expect(row.get_by_role("status")).to_contain_text("the test failed")
    expect(row).to_contain_text("could not be reached")

    row.get_by_role("button", name="Edit Hook of ops").click()
    expect(operator.dialog().get_by_label("URL", exact=False)).to_have_value("")
    operator.dialog().get_by_label("Name").fill("Hook")
    save(operator)
    expect(operator.button("Test Hook")).to_be_visible()
    assert "hunter2secret" not in operator.page.content()


def test_a_route_brings_an_alarm_to_its_channel_and_both_are_removed(
    operator: Person, receiver: HttpReceiver, mock: str, console_stack: Stack
):
    with console_stack.sign_in() as rest:
        body = {"name": "Hook", "url": receiver.url}
        rest.put("/api/v1/notifications/channels/hook", json=body).raise_for_status()
    operator.open("notifications").button("Add a route").click()
    operator.dialog().get_by_label("Id", exact=False).fill("always")
    operator.dialog().get_by_label("Quiet from").fill("22:00")
    refused(operator, "quiet_from and quiet_to are given together")
    operator.dialog().get_by_label("Quiet from").fill("")
    save(operator)
    expect(operator.row("always")).to_contain_text("to hook")
    expect(operator.row("always")).to_contain_text("at any time")
    with console_stack.sign_in() as rest:
        rest.post(f"/api/v1/debug/mock-esp/{mock}/stop").raise_for_status()
    wait_until(lambda: any(mock in one["message"] for one in receiver.taken), "the alarm was delivered")
    sent = operator.page.get_by_role("table", name="Notifications, newest first")
    expect(sent.locator("tbody tr").filter(has_text="sent").first).to_contain_text("hook")

    operator.button("Edit route always").click()
    operator.dialog().get_by_label("Works from").fill("06:00")
    operator.dialog().get_by_label("Works until").fill("22:00")
    operator.dialog().get_by_label("Sat", exact=True).check()
    operator.dialog().get_by_label("Only if not acknowledged for: unit").select_option("min")
    operator.dialog().get_by_label("Only if not acknowledged for: figure").fill("1.5")
    operator.dialog().get_by_role("button", name="Again until acknowledged, every: 1 h").click()
    save(operator)
    expect(operator.row("always")).to_contain_text("after 90 s without acknowledgement")
    expect(operator.row("always")).to_contain_text("again every 1 h")
    with console_stack.sign_in() as rest:
        routes = rest.get("/api/v1/notifications/routes").json()["routes"]
    [route] = [one for one in routes if one["route_id"] == "always"]
    assert (route["after_s"], route["repeat_s"]) == (90, 3600)
    expect(operator.row("always")).to_contain_text("from 06:00 to 22:00")
    expect(operator.row("always")).to_contain_text("on Sat")
    operator.button("Remove Hook").click()
    operator.dialog().get_by_role("button", name="Remove").click()
    expect(operator.dialog().get_by_role("alert")).to_contain_text("route always names channel hook")
    operator.page.keyboard.press("Escape")
    operator.button("Remove route always").click()
    operator.dialog().get_by_role("button", name="Remove").click()
    operator.says("There is no route.")
    operator.button("Remove Hook").click()
    operator.dialog().get_by_role("button", name="Remove").click()
    operator.says("There is no channel.")


def test_channels_are_set_with_the_keyboard_on_a_phone_in_the_dark(
    make_person: Callable[..., Person], receiver: HttpReceiver
):
    person = make_person(width=390, colours="dark").sign_in().open("notifications")
    keys = person.page.keyboard
    person.button("Add a channel").focus()
    keys.press("Enter")
    keys.type("phone")  # the first field has the focus
    keys.press("Tab")
    keys.type("Phone")
    keys.press("Tab")
    keys.type(receiver.url)
    keys.press("Enter")
    expect(person.dialog()).to_have_count(0)
    person.button("Test Phone").focus()
    keys.press("Enter")
    expect(person.row("Phone").get_by_role("status")).to_contain_text("the test was sent")
    assert person.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert person.accessibility() == []
    person.button("Edit Phone").focus()
    keys.press("Enter")
    expect(person.dialog()).to_be_visible()
    assert person.accessibility() == []
    keys.press("Escape")
    expect(person.button("Edit Phone")).to_be_focused()


def test_an_operator_sees_channels_and_changes_none(
    make_person: Callable[..., Person], console_stack: Stack, receiver: HttpReceiver
):
    with console_stack.sign_in() as rest:
        body = {"name": "Hook", "url": receiver.url}
        rest.put("/api/v1/notifications/channels/hook", json=body).raise_for_status()
    add_user(console_stack, "otto", "only operating", "operator")
    person = make_person().sign_in("otto", "only operating").open("notifications")
    expect(person.page.get_by_role("table", name="Channels").locator("tbody tr")).to_contain_text("hook, json")
    expect(person.page.get_by_role("button", name=re.compile("^(Test|Edit|Remove|Add)"))).to_have_count(0)


def test_a_rule_fires_on_an_alarm_and_raises_another(
    operator: Person, mock: str, console_stack: Stack, made_rules: list[str]
):
    operator.open("rules", "new")
    operator.page.get_by_label("Name", exact=True).first.fill(f"Watch {mock}")
    conditions = operator.page.get_by_role("group", name="When all of this is true")
    conditions.locator("select").first.select_option("alarm")
    conditions.get_by_label("Kind of alarm").fill("device_offline")
    conditions.get_by_label("Source (empty: any)").fill(mock)
    actions = operator.page.get_by_role("group", name="do this")
    actions.locator("select").first.select_option("alarm")
    actions.get_by_label("Name of the alarm").fill("bed-unwatched")
    actions.get_by_label("Severity").select_option("critical")
    actions.get_by_label("Message").fill("nobody waters the bed")
    operator.button("Try it").click()
    operator.button("Save").click()
    operator.says(f"Watch {mock} is saved.")
    with console_stack.sign_in() as rest:
        [rule] = [one for one in rest.get("/api/v1/logic/rules").json()["items"] if one["name"] == f"Watch {mock}"]
        made_rules.append(rule["rule_id"])
        rest.post(f"/api/v1/debug/mock-esp/{mock}/stop").raise_for_status()
    row = operator.open("alarms").row("nobody waters the bed")
    expect(row).to_contain_text("critical")
    expect(row).to_contain_text("rule alarm")
    with console_stack.sign_in() as rest:
        rest.delete(f"/api/v1/logic/rules/{rule['rule_id']}").raise_for_status()
    expect(row).to_contain_text("cleared")
