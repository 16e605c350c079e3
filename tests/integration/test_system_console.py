"""The console as a person uses it: sign-in, the live log, what everybody sees; a real Chromium at a real stack."""

import json
import re
import secrets
from collections.abc import Callable

from browser import Person
from devices import heartbeat, now_ms, of_device
from harness import Message, Stack, reading, wait_until
from mocks import ok
from playwright.sync_api import expect

HOSTILE = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"


def test_a_wrong_password_is_told_and_signing_out_leads_back(make_person: Callable[..., Person]):
    person = make_person()
    person.page.goto(person.url)
    person.page.get_by_label("Name").fill("admin")
    person.page.get_by_label("Password").fill("wrong")
    person.button("Sign in").click()
    person.says("wrong name or password")
    expect(person.page.get_by_role("alert")).not_to_contain_text(re.compile("code"))
    person.page.get_by_label("Password").fill(person.stack.password())
    person.button("Sign in").click()
    expect(person.page.get_by_role("heading", name="Overview")).to_be_visible()
    person.page.get_by_label("Account: admin").click()
    person.button("Sign out").click()
    expect(person.button("Sign in")).to_be_visible()
    assert person.page.evaluate("sessionStorage.length") == 0


def test_a_new_tab_is_signed_in_and_signing_out_counts_for_both(make_person: Callable[..., Person]):
    person = make_person().sign_in()
    other = person.page.context.new_page()
    other.goto(f"{person.url}/#/devices")
    expect(other.get_by_role("heading", name="Devices", exact=True)).to_be_visible()
    expect(other.locator(".top-bar .badge").first).to_contain_text("live")
    other.get_by_label("Account: admin").click()
    other.get_by_role("button", name="Sign out").click()
    person.says("The session was ended in another tab.")
    person.sign_in()
    expect(other.locator(".top-bar .badge").first).to_contain_text("live")


def test_users_are_kept_and_everybody_has_the_own_password_and_sessions(
    operator: Person, make_person: Callable[..., Person]
):
    name = f"grace{secrets.token_hex(3)}"
    operator.open("users").button("Add a user").click()
    operator.dialog().get_by_label("Name").fill(name)
    operator.dialog().get_by_label("Password").fill("a long sentence")
    operator.dialog().get_by_role("button", name="Add").click()
    expect(operator.row(name)).to_contain_text("viewer")
    operator.button(f"Edit {name}").click()
    operator.dialog().get_by_label("Role").select_option("operator")
    operator.dialog().get_by_role("button", name="Save").click()
    expect(operator.row(name)).to_contain_text("operator")

    one, other = (make_person().sign_in(name, "a long sentence") for _ in range(2))
    expect(one.page.get_by_role("navigation")).not_to_contain_text("Users")
    operator.button(f"Sessions of {name}").click()
    expect(operator.dialog().get_by_role("row")).to_have_count(3)
    operator.page.keyboard.press("Escape")
    one.open("account")
    sessions = one.page.get_by_role("table", name="Sessions").locator("tbody tr")
    expect(sessions).to_have_count(2)
    expect(sessions.filter(has_text="this one")).to_contain_text("Chrome on Linux")
    one.page.get_by_role("button", name=re.compile("End the session")).click()
    expect(sessions).to_have_count(1)
    expect(other.button("Sign in")).to_be_visible()

    one.page.get_by_label("Current password").fill("wrong")
    one.page.get_by_label("New password").fill("another sentence")
    one.button("Change the password").click()
    one.says("the current password is wrong")
    one.page.get_by_label("Current password").fill("a long sentence")
    one.button("Change the password").click()
    one.says("The password is changed.")
    expect(one.page.locator(".top-bar .badge").first).to_contain_text("live")
    other.sign_in(name, "another sentence")

    operator.button(f"Remove {name}").click()
    operator.dialog().get_by_role("button", name="Remove").click()
    expect(operator.row(name)).to_have_count(0)
    for person in (one, other):
        expect(person.button("Sign in")).to_be_visible()


def test_an_event_shows_up_in_the_log_and_a_click_shows_its_json(operator: Person, console_stack: Stack):
    [esp_id] = console_stack.register(1)
    console_stack.publish([reading(esp_id, 4, now_ms(), 21.25)])
    row = operator.page.locator(".log-row").filter(has_text=esp_id).filter(has_text=", good")  # not stale, later
    expect(row).to_contain_text("gpio 4 ds18b20: 21.25 °C, good")
    row.click()
    shown = json.loads(operator.page.get_by_label("The event as JSON").inner_text())
    assert (shown["type"], shown["data"]["esp_id"], shown["data"]["value"]) == ("sensor_data", esp_id, 21.25)
    expect(operator.page.locator(".log-detail")).to_contain_text(f"kaiser/god/esp/{esp_id}/sensor/4/data")


def test_the_log_is_filtered_by_type_device_and_topic(operator: Person, console_stack: Stack):
    one, other = console_stack.register(2)
    rows = operator.page.locator(".log-row")

    def send() -> None:
        at = now_ms()
        console_stack.publish([reading(one, 4, at, 1.0), reading(other, 5, at, 2.0), heartbeat(one)])

    send()
    expect(rows.filter(has_text=one).filter(has_text="esp_health").first).to_be_visible()
    operator.page.get_by_label("sensor_data").check()
    expect(rows.filter(has_text="esp_health")).to_have_count(0)
    device = operator.page.get_by_label("Device", exact=True)
    device.fill(one)
    device.press("Enter")
    expect(rows.filter(has_text=other)).to_have_count(0)
    send()
    expect(rows.filter(has_text=one).filter(has_text=", good")).to_have_count(2)  # not stale, later
    device.fill("")
    device.press("Enter")
    topic = operator.page.get_by_label("MQTT topic")
    topic.fill("kaiser/+/esp/+/sensor/5/#")
    topic.press("Enter")
    send()
    expect(rows.filter(has_text=other).first).to_be_visible()
    expect(rows.filter(has_text=one)).to_have_count(0)
    topic.fill("kaiser/#/data")
    topic.press("Enter")
    operator.says("This is no topic filter")


def test_the_log_is_narrowed_while_somebody_types_by_id_name_and_topic(operator: Person, console_stack: Stack):
    one, other = console_stack.register(2)
    name = f"House {one[-9:]}"
    with console_stack.sign_in() as rest:
        rest.patch(f"/api/v1/esp/devices/{one}", json={"name": name}).raise_for_status()
    operator.begin_again()  # so that it reads the name
    rows = operator.page.locator(".log-row")

    def are_shown(shown: str, hidden: str) -> None:
        at = now_ms()
        both = [reading(one, 4, at, 1.0), reading(other, 5, at, 2.0)]
        console_stack.publish(both if shown == other else both[::-1])  # the hidden one first
        expect(rows.filter(has_text=shown).filter(has_text="sensor_data").first).to_be_visible()
        expect(rows.filter(has_text=hidden).filter(has_text="sensor_data")).to_have_count(0)

    device = operator.page.get_by_label("Device", exact=True)
    device.press_sequentially(other.lower()[3:])
    are_shown(other, name)
    device.press("Enter")
    are_shown(other, name)
    device.fill(name.lower())
    are_shown(name, other)
    device.fill("")
    topic = operator.page.get_by_label("MQTT topic")
    topic.press_sequentially(f"kaiser/+/esp/{one}/#")
    are_shown(name, other)
    topic.press_sequentially("/data")
    operator.says("This is no topic filter")
    expect(topic).to_have_attribute("aria-invalid", "true")
    topic.fill("")
    expect(operator.page.get_by_text("This is no topic filter")).to_have_count(0)


def test_the_account_s_menu_closes_by_a_press_elsewhere_by_escape_and_on_another_page(operator: Person):
    page = operator.open("devices").page
    menu = page.locator(".account")
    summary = menu.locator("summary")

    def open_menu() -> None:
        summary.click()
        expect(menu).to_have_attribute("open", "")

    open_menu()
    page.get_by_role("heading", name="Devices").click()
    expect(menu).not_to_have_attribute("open", "")
    open_menu()
    page.keyboard.press("Escape")
    expect(menu).not_to_have_attribute("open", "")
    expect(summary).to_be_focused()
    summary.press("Enter")
    expect(menu).to_have_attribute("open", "")
    page.keyboard.press("Shift+Tab")
    expect(menu).not_to_have_attribute("open", "")
    open_menu()
    menu.get_by_role("link", name="Password and sessions").click()
    expect(page.get_by_role("heading", name="Password and sessions")).to_be_visible()
    expect(menu).not_to_have_attribute("open", "")


def test_a_paused_log_stands_still_and_counts_what_comes_meanwhile(operator: Person, console_stack: Stack):
    [esp_id] = console_stack.register(1)
    narrow_the_log(operator, esp_id)
    operator.button("Pause").click()
    at = now_ms()
    console_stack.publish([reading(esp_id, 4, at + number, float(number)) for number in range(7)])
    operator.says(re.compile("Paused, [78] new"))  # 8 once the sensor is silent
    expect(operator.page.locator(".log-row").filter(has_text=esp_id)).to_have_count(0)
    operator.button("Resume").click()
    expect(operator.page.locator(".log-row").filter(has_text=esp_id).filter(has_text=", good")).to_have_count(7)


def narrow_the_log(person: Person, esp_id: str) -> None:
    """Show the readings of one device alone; returns once the server sends no others."""
    frames = person.frames()
    person.begin_again()
    person.page.get_by_label("sensor_data").check()
    device = person.page.get_by_label("Device", exact=True)
    device.fill(esp_id)
    device.press("Enter")

    def is_narrowed() -> bool:
        person.page.title()
        answers = [frame["data"]["filters"] or {} for frame in frames if frame["type"] == "subscribed"]
        return any(one.get("types") == ["sensor_data"] and one.get("esp_ids") == [esp_id] for one in answers)

    wait_until(is_narrowed, "the server sends nothing of others")


def test_the_log_keeps_the_last_500(operator: Person, console_stack: Stack):
    [esp_id] = console_stack.register(1)
    narrow_the_log(operator, esp_id)
    at = now_ms()
    rows = operator.page.locator(".log-row")
    operator.button("Clear").click()
    console_stack.publish([reading(esp_id, number % 40, at + number, float(number)) for number in range(600)])
    expect(rows.filter(has_text=": 599 °C")).to_be_visible()
    operator.says("500 shown")
    operator.page.locator(".long-list").evaluate("list => list.scrollTo(0, list.scrollHeight)")
    expect(rows.filter(has_text=": 100 °C")).to_be_visible()
    expect(rows.filter(has_text=": 99 °C")).to_have_count(0)


def test_text_of_devices_is_shown_and_never_run(operator: Person, console_stack: Stack):
    [esp_id] = console_stack.register(1)
    alert = {"ts": now_ms(), "gpio": 25, "alert_type": "hardware_error", "message": HOSTILE}
    console_stack.publish(
        [
            of_device(esp_id, "actuator/25/alert", alert),
            heartbeat(esp_id, firmware_version="<b>1</b>"),
            Message(f"kaiser/god/esp/{esp_id}/sensor/4/data", HOSTILE.encode()),
        ]
    )
    operator.says(HOSTILE)
    operator.open("devices", esp_id).says("<b>1</b>")
    with console_stack.sign_in() as rest:
        of_it = {"esp_id": esp_id}
        wait_until(lambda: rest.get("/api/v1/rejected", params=of_it).json()["items"], "the message is rejected")
    operator.open("rejected")
    operator.row(esp_id).get_by_role("button", name="Show…").first.click()
    expect(operator.page.get_by_label("Payload")).to_have_value(HOSTILE)
    assert operator.page.evaluate("window.hacked") is None
    assert operator.page.locator("img, main script").count() == 0


def test_the_system_page_tells_of_every_service_and_of_throughput(operator: Person, mock: str):
    operator.open("system")
    for service in ("ingest", "sensor", "health", "actuator", "simulator", "logic", "alarm", "websocket-gateway"):
        expect(operator.row(service).first).to_contain_text("ready")
    expect(operator.row("sensor-store").first).to_contain_text(re.compile(r"\d /s"))
    broker = operator.page.locator(".panel").filter(has=operator.page.get_by_role("heading", name="MQTT broker"))
    expect(broker.locator("dd")).to_have_text([re.compile(r"^mqtt://127\.0\.0\.1:\d+$"), "live", "none"])


def test_a_viewer_sees_everything_and_no_button_that_changes_anything(viewer: Person, mock: str):
    links = viewer.page.get_by_role("navigation").get_by_role("link")
    seen = (
        "Overview, Alarms, Live log, Zones, Devices, Sensors, Actuators, Explore, Rules, Messages, Recordings, System"
    )
    assert links.all_inner_texts() == seen.split(", ")
    expect(viewer.button("EMERGENCY STOP")).to_have_count(0)
    allowed = {"Live log", "Pause", "Clear", "Try again", "Load more", "☰ Sensors", "Alarm limits…"}
    for parts in (["alarms"], ["zones"], ["devices"], ["devices", mock], ["sensors"], ["sensors", mock, "4", "ds18b20"],
                  ["actuators"], ["actuators", mock, "25"], ["rules"], ["system"]):  # fmt: skip
        viewer.open(*parts)
        viewer.page.wait_for_load_state("networkidle")
        main = viewer.page.get_by_role("main").get_by_role("button")
        time_buttons = {"15 min", "1 h", "6 h", "1 day", "7 days", "30 days", "From, to…", "◀", "▶", "+", "−", "Show…"}
        assert set(main.all_inner_texts()) - allowed - time_buttons == set(), parts
    viewer.open("mocks").says("This page needs the role operator.")


TOPIC = "kaiser/god/esp/ESP_A/sensor/4/data"
MATCHES = {
    "kaiser/god/esp/ESP_A/sensor/4/data": True,
    "kaiser/+/esp/+/sensor/+/data": True,
    "kaiser/#": True,
    "#": True,
    "kaiser/god/esp/ESP_A/sensor/4/data/#": True,
    "kaiser/+": False,
    "kaiser/god/esp/ESP_B/sensor/4/data": False,
    "kaiser/god/esp/ESP_A/sensor/4": False,
    "kaiser/god/esp/ESP_A/sensor/4/data/+": False,
}
FILTERS = {
    "kaiser/#": True,
    "+": True,
    "": False,
    "#/kaiser": False,
    "kaiser+": False,
    "kaiser/x#": False,
    "k" * 257: False,
}


def test_the_page_matches_topics_as_mqtt_does(operator: Person):
    def ask(function: str, *arguments: str) -> bool:
        script = "async ([name, values]) => (await import('/console/core/filters.js'))[name](...values)"
        return operator.page.evaluate(script, [function, list(arguments)])

    assert {one: ask("topicMatches", one, TOPIC) for one in MATCHES} == MATCHES
    assert {one: ask("isTopicFilter", one) for one in FILTERS} == FILTERS


def test_without_a_factory_the_console_lists_no_page_of_it(operator: Person):
    person = operator.open("devices")
    expect(person.page.get_by_role("link", name="Devices", exact=True)).to_be_visible()
    expect(person.page.get_by_role("link", name="Steering")).to_have_count(0)
    expect(person.page.locator(".environment")).to_have_count(0)
    with person.stack.sign_in() as rest:
        assert ok(rest.get("/api/v1/system/mqtt/profile"))["active"] == "live"
