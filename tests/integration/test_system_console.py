"""The console, page by page, as a person uses it: a real Chromium at a real stack with mock devices."""

import json
import re
import secrets
import time
from collections.abc import Callable
from typing import Any

import pytest
from browser import Person
from harness import Message, Stack, reading, wait_until
from playwright.sync_api import expect

HOSTILE = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"


def now_ms() -> int:
    return int(time.time() * 1000)


def of_device(esp_id: str, rest: str, body: dict[str, Any]) -> Message:
    return Message(f"kaiser/god/esp/{esp_id}/{rest}", json.dumps({"esp_id": esp_id, **body}).encode())


def heartbeat(esp_id: str, **fields: Any) -> Message:
    body = {"ts": now_ms(), "uptime": 60, "heap_free": 45_000, "wifi_rssi": -45, **fields}
    return of_device(esp_id, "system/heartbeat", body)


def new_id(kind: str = "MOCK") -> str:
    return f"{kind}_{secrets.token_hex(4).upper()}"


@pytest.fixture
def mock(console_stack: Stack) -> str:
    """A running mock device with a thermometer on gpio 4 and a pump on gpio 25, which is set up."""
    esp_id = new_id()
    sensor = {"gpio": 4, "sensor_type": "DS18B20", "base_value": 22.5, "unit": "°C", "interval_s": 0.5}
    body = {"esp_id": esp_id, "sensors": [sensor], "actuators": [{"gpio": 25, "actuator_type": "pump"}]}
    with console_stack.sign_in() as rest:
        assert rest.post("/api/v1/debug/mock-esp", json=body).status_code == 201
        url = f"/api/v1/actuators/{esp_id}/25"
        settings = {"actuator_type": "pump", "name": f"Pump {esp_id[-4:]}"}
        wait_until(lambda: rest.get(url).status_code == 200, "the pump was reported")
        assert rest.put(url, json=settings).status_code == 200
    return esp_id


def test_a_wrong_password_is_told_and_signing_out_leads_back(make_person: Callable[..., Person]):
    person = make_person()
    person.page.goto(person.url)
    person.page.get_by_label("Name").fill("admin")
    person.page.get_by_label("Password").fill("wrong")
    person.button("Sign in").click()
    person.says("wrong name or password")
    person.sign_in()
    expect(person.page.get_by_role("heading", name="Live log")).to_be_visible()
    person.page.get_by_label("Account: admin").click()
    person.button("Sign out").click()
    expect(person.button("Sign in")).to_be_visible()
    assert person.page.evaluate("sessionStorage.length") == 0


def test_an_event_shows_up_in_the_log_and_a_click_shows_its_json(operator: Person, console_stack: Stack):
    [esp_id] = console_stack.register(1)
    console_stack.publish([reading(esp_id, 4, now_ms(), 21.25)])
    row = operator.page.locator(".log-row").filter(has_text=esp_id).filter(has_text="sensor_data")
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
    expect(rows.filter(has_text=one)).to_have_count(2)
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


def test_a_paused_log_stands_still_and_counts_what_comes_meanwhile(operator: Person, console_stack: Stack):
    [esp_id] = console_stack.register(1)
    operator.page.get_by_label("sensor_data").check()
    device = operator.page.get_by_label("Device", exact=True)
    device.fill(esp_id)
    device.press("Enter")
    operator.button("Pause").click()
    at = now_ms()
    console_stack.publish([reading(esp_id, 4, at + number, float(number)) for number in range(7)])
    operator.says("Paused, 7 came meanwhile")
    expect(operator.page.locator(".log-row").filter(has_text=esp_id)).to_have_count(0)
    operator.button("Resume").click()
    expect(operator.page.locator(".log-row").filter(has_text=esp_id)).to_have_count(7)


def test_the_log_keeps_the_last_500(operator: Person, console_stack: Stack):
    [esp_id] = console_stack.register(1)
    at = now_ms()
    console_stack.publish([reading(esp_id, number % 40, at + number, float(number)) for number in range(600)])
    rows = operator.page.locator(".log-row")
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
    operator.open("rejected")
    operator.row(esp_id).get_by_role("button", name="Show…").first.click()
    expect(operator.page.get_by_label("The payload")).to_have_text(HOSTILE)
    assert operator.page.evaluate("window.hacked") is None
    assert operator.page.locator("img, main script").count() == 0


def test_a_device_that_speaks_for_the_first_time_is_approved_in_the_console(operator: Person, console_stack: Stack):
    esp_id = new_id("ESP")
    operator.open("devices")
    console_stack.publish([heartbeat(esp_id)])
    expect(operator.row(esp_id)).to_contain_text("pending approval")
    operator.row(esp_id).get_by_role("button", name="Approve…").click()
    operator.dialog().get_by_role("button", name="Approve").click()
    operator.says(f"{esp_id} is approved")
    console_stack.publish([heartbeat(esp_id)])
    expect(operator.row(esp_id)).to_contain_text("online")


def test_a_device_is_registered_and_a_bad_id_is_told_at_its_field(operator: Person):
    esp_id = new_id("ESP")
    operator.open("devices").button("Register a device").click()
    operator.dialog().get_by_label("Device id").fill("plant 1")
    operator.dialog().get_by_role("button", name="Register").click()
    expect(operator.dialog().locator(".field-wrong")).to_contain_text("Device id")
    operator.dialog().get_by_label("Device id").fill(esp_id)
    operator.dialog().get_by_label("Name", exact=True).fill("Greenhouse 1")
    operator.dialog().get_by_role("button", name="Register").click()
    expect(operator.row(esp_id)).to_contain_text("Greenhouse 1")
    operator.page.get_by_label("Search id or name").fill(esp_id[-6:])
    expect(operator.page.get_by_role("row")).to_have_count(2)


def test_configuration_zone_and_commands_are_sent_and_their_answers_shown(operator: Person, mock: str):
    operator.open("devices", mock)
    expect(operator.page.locator(".facts")).to_contain_text("online")
    operator.button("Push configuration").click()
    operator.says(re.compile(r"configuration applied"))
    operator.page.get_by_label("Zone id").fill("north")
    operator.button("Assign").click()
    operator.says("zone north assigned")
    operator.page.get_by_label("System command").select_option("diagnostics")
    operator.button("Send command…").click()
    operator.dialog().get_by_role("button", name="Send diagnostics").click()
    operator.says("diagnostics was sent")
    operator.page.get_by_label("Name", exact=True).fill("Greenhouse 2")
    operator.button("Save").click()
    expect(operator.page.locator(".facts")).to_contain_text("Greenhouse 2")


def test_a_sensors_newest_value_follows_and_its_history_can_be_zoomed(operator: Person, console_stack: Stack):
    [esp_id] = console_stack.register(1)
    at = now_ms()
    console_stack.publish([reading(esp_id, 4, at - number * 10_000, 20.0 + number) for number in range(1, 30)])
    operator.open("sensors").page.get_by_label("Search device, gpio or type").fill(esp_id)
    expect(operator.row(esp_id)).to_contain_text("21 °C")
    operator.row(esp_id).get_by_role("link").first.click()
    words = operator.page.locator(".chart figcaption")
    expect(words).to_have_text("29 points; lowest 21 °C, highest 49 °C, last 21 °C.")
    console_stack.publish([reading(esp_id, 4, now_ms(), 12.5)])
    expect(words).to_have_text("30 points; lowest 12.5 °C, highest 49 °C, last 12.5 °C.")
    expect(operator.page.locator(".now")).to_have_text("12.5 °C")
    operator.button("Zoom out").click()
    expect(words).to_contain_text("lowest 12.5")
    plot = operator.page.locator(".u-over").bounding_box()
    operator.page.mouse.move(plot["x"] + plot["width"] * 0.9, plot["y"] + 50)
    operator.page.mouse.down()
    operator.page.mouse.move(plot["x"] + plot["width"] * 0.98, plot["y"] + 60, steps=5)
    operator.page.mouse.up()
    expect(operator.page.get_by_role("button", name="1 h")).to_have_attribute("aria-pressed", "false")


def test_a_calibration_that_is_typed_in_is_in_force(operator: Person, console_stack: Stack):
    [esp_id] = console_stack.register(1)
    operator.open("sensors", esp_id, "34", "ph")
    for label, value in {
        "Raw at point 1": "2048",
        "Value at point 1": "7",
        "Raw at point 2": "2620",
        "Value at point 2": "4",
    }.items():
        operator.page.get_by_label(label).fill(value)
    operator.button("Save").click()
    operator.says("Saved; in force from the next reading on.")
    body = {"gpio": 34, "sensor_type": "ph", "raw": 2620, "raw_mode": True}

    def is_in_force() -> bool:
        console_stack.publish([of_device(esp_id, "sensor/34/data", {**body, "ts": now_ms()})])
        return operator.page.locator(".now").all_inner_texts() == ["4 pH"]

    wait_until(is_in_force, "the calibration is in force", 10.0)
    operator.page.get_by_label("Raw at point 2").fill("")
    operator.button("Save").click()
    expect(operator.page.get_by_role("alert")).to_contain_text("That did not work.")


def test_a_command_is_confirmed_and_followed_to_its_end(operator: Person, mock: str):
    operator.open("actuators").page.get_by_label("Search device, name or type").fill(mock)
    row = operator.row(mock)
    expect(row).to_contain_text("off")
    row.get_by_role("button", name="On…").click()
    expect(operator.dialog()).to_contain_text("The device moves something real.")
    operator.dialog().get_by_label("Reason").fill("watering")
    operator.dialog().get_by_role("button", name="Send ON").click()
    expect(row).to_contain_text("acknowledged")
    expect(row.locator(".badge").first).to_contain_text("on")
    row.get_by_role("link").first.click()
    history = operator.page.locator(".panel", has_text="History, last 7 days")
    expect(history.get_by_role("row").filter(has_text="command").first).to_contain_text("ON")


def test_an_emergency_stop_is_told_on_every_page_until_it_is_cleared(operator: Person, mock: str):
    operator.open("rules").button("EMERGENCY STOP").click()
    operator.dialog().get_by_label("Reason").fill("water on the floor")
    operator.dialog().get_by_role("button", name="Stop everything now").click()
    bar = operator.page.get_by_label("Emergency stops in force")
    expect(bar).to_contain_text("STOPPED: everything")
    expect(bar).to_contain_text("water on the floor")
    try:
        operator.open("actuators", mock, "25")
        expect(operator.page.locator(".facts")).to_contain_text("stopped")
        operator.page.get_by_role("button", name="On…").click()
        operator.dialog().get_by_role("button", name="Send ON").click()
        expect(operator.dialog().get_by_role("alert")).to_contain_text("That did not work.")
        operator.dialog().get_by_role("button", name="Close").click()
    finally:
        operator.button("Clear… everything").click()
        operator.dialog().get_by_role("button", name="Clear the stop").click()
    expect(operator.page.get_by_text("STOPPED: everything")).to_have_count(0)
    expect(operator.page.locator(".facts")).not_to_contain_text("stopped")


def test_a_mock_is_created_measures_what_it_is_told_to_and_is_stopped(operator: Person):
    esp_id = new_id()
    operator.open("mocks").button("Create a mock").click()
    operator.dialog().get_by_label("Id (empty").fill(esp_id)
    operator.dialog().get_by_label("A reading every").fill("0.5")
    operator.dialog().get_by_label("With an actuator").check()
    operator.dialog().get_by_role("button", name="Create").click()
    expect(operator.row(esp_id)).to_contain_text("OPERATIONAL")
    operator.page.get_by_role("link", name=esp_id).click()
    operator.button("Override…").click()
    operator.dialog().get_by_label("Value in °C").fill("35.5")
    operator.dialog().get_by_role("button", name="Override").click()
    expect(operator.row("DS18B20")).to_contain_text("35.5 °C")
    operator.open("sensors").page.get_by_label("Search device, gpio or type").fill(esp_id)
    expect(operator.row(esp_id)).to_contain_text("35.5 °C")
    operator.open("mocks").button(f"stop {esp_id}").click()
    expect(operator.row(esp_id)).to_contain_text("stopped")


def test_a_rejected_message_says_why_and_is_replayed_once_its_device_is_known(operator: Person, console_stack: Stack):
    esp_id = new_id("TEST")
    console_stack.publish([reading(esp_id, 4, now_ms(), 21.5)])
    operator.open("rejected")

    def is_listed() -> bool:
        operator.button("Look again").click()
        return operator.row(esp_id).count() > 0

    wait_until(is_listed, "the message is listed")
    expect(operator.row(esp_id)).to_contain_text("5001")
    with console_stack.sign_in() as rest:
        assert rest.post("/api/v1/esp/devices", json={"esp_id": esp_id}).status_code == 201
    operator.row(esp_id).get_by_role("button", name="Show…").click()
    expect(operator.page.get_by_label("The payload")).to_contain_text('"raw_value": 21.5')
    operator.dialog().get_by_role("button", name="Replay").click()
    operator.says("Taken in: 1; still rejected: 0.")
    operator.open("sensors").page.get_by_label("Search device, gpio or type").fill(esp_id)
    expect(operator.row(esp_id)).to_contain_text("21.5 °C")


def test_the_system_page_tells_of_every_service_and_of_throughput(operator: Person, mock: str):
    operator.open("system")
    for service in ("ingest", "sensor", "health", "actuator", "simulator", "websocket-gateway"):
        expect(operator.row(service).first).to_contain_text("ready")
    expect(operator.row("sensor-store").first).to_contain_text(re.compile(r"\d /s"))


def test_a_viewer_sees_everything_and_no_button_that_changes_anything(viewer: Person, mock: str):
    links = viewer.page.get_by_role("navigation").get_by_role("link")
    assert links.all_inner_texts() == ["Live log", "Devices", "Sensors", "Actuators", "Rules", "System"]
    expect(viewer.button("EMERGENCY STOP")).to_have_count(0)
    allowed = {"Live log", "Pause", "Clear", "Try again", "Load more", "☰ Sensors"}
    for parts in (["devices"], ["devices", mock], ["sensors"], ["sensors", mock, "4", "ds18b20"], ["actuators"],
                  ["actuators", mock, "25"], ["rules"], ["system"]):  # fmt: skip
        viewer.open(*parts)
        viewer.page.wait_for_load_state("networkidle")
        main = viewer.page.get_by_role("main").get_by_role("button")
        time_buttons = {"15 min", "1 h", "6 h", "1 day", "7 days", "30 days", "◀", "▶", "+", "−", "Show…"}
        assert set(main.all_inner_texts()) - allowed - time_buttons == set(), parts
    viewer.open("mocks").says("This page needs the role operator.")
