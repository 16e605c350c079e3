"""The console's pages of devices, sensors, actuators, rules, mocks and rejected messages, as a person uses them."""

import re

from browser import Person
from devices import heartbeat, new_id, now_ms, of_device
from harness import Stack, reading, wait_until
from playwright.sync_api import Route, expect


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
    for page in ("devices", "sensors", "actuators"):  # lists stand by zone
        north = (
            operator.open(page)
            .page.get_by_role("rowgroup")
            .filter(has=operator.page.get_by_role("rowheader", name="north", exact=True))
        )
        expect(north.get_by_role("row").filter(has_text=mock).first).to_be_visible()


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

    wait_until(is_in_force, "the calibration is in force", 60.0)
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


def test_a_reading_that_comes_while_the_sensors_are_asked_for_is_shown(operator: Person, console_stack: Stack):
    [esp_id] = console_stack.register(1)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    operator.page.route("**/api/v1/sensors/latest", hold)
    operator.open("sensors")

    def is_held() -> bool:
        operator.page.wait_for_timeout(50)
        return bool(held)

    wait_until(is_held, "the page asks for the sensors")
    with console_stack.sign_in() as rest:
        answer = rest.get("/api/v1/sensors/latest").json()
        console_stack.publish([reading(esp_id, 4, now_ms(), 21.5)])
        of_it = {"esp_id": esp_id}
        wait_until(lambda: rest.get("/api/v1/sensors/latest", params=of_it).json()["items"], "the reading is stored")
    operator.page.wait_for_timeout(500)  # its event came before
    held[0].fulfill(json=answer)
    operator.page.unroute("**/api/v1/sensors/latest")
    expect(operator.row(esp_id)).to_contain_text("21.5 °C", timeout=10_000)


def test_a_rule_is_written_tried_and_seen_to_fire(operator: Person, console_stack: Stack):
    [esp_id] = console_stack.register(1)
    name = f"Too hot {esp_id}"
    operator.open("rules", "new").page.get_by_label("Name", exact=True).fill(name)
    conditions = operator.page.get_by_role("group", name="When all of this is true")
    conditions.get_by_label("Device").fill(esp_id)
    conditions.get_by_label("Gpio").fill("4")
    conditions.get_by_label("Value", exact=True).fill("30")
    actions = operator.page.get_by_role("group", name="do this")
    actions.get_by_label("Kind").select_option("notification")
    actions.get_by_label("Message").fill("open the windows")
    operator.button("Save").click()
    expect(operator.page.get_by_role("heading", name=name)).to_be_visible()
    operator.page.get_by_label(f"Suppose the value of {esp_id}, gpio 4").fill("35")
    operator.button("Try it").click()
    expect(operator.page.locator(".dry-run")).to_contain_text("it would fire")
    operator.page.get_by_label(f"Suppose the value of {esp_id}, gpio 4").fill("25")
    operator.button("Try it").click()
    expect(operator.page.locator(".dry-run")).to_contain_text("it would not fire")
    expect(operator.row(name)).to_have_count(0)
    console_stack.publish([reading(esp_id, 4, now_ms(), 35.5)])
    expect(operator.row(name)).to_contain_text("succeeded")
    operator.row(name).get_by_role("button", name="Show…").click()
    expect(operator.dialog()).to_contain_text("notification")
    operator.page.keyboard.press("Escape")
    operator.open("log").says("open the windows")


def test_a_rule_is_nested_turned_off_and_removed(operator: Person, console_stack: Stack):
    [esp_id] = console_stack.register(1)
    name = f"Watering {esp_id}"
    condition = {"type": "sensor_threshold", "esp_id": esp_id, "gpio": 4, "operator": "between", "min": 10, "max": 20}
    action = {"type": "actuator_command", "esp_id": esp_id, "gpio": 25, "command": "ON", "duration_s": 60}
    with console_stack.sign_in() as rest:
        body = {"name": name, "conditions": [condition], "actions": [action]}
        created = rest.post("/api/v1/logic/rules", json=body).json()
        operator.open("rules", created["rule_id"])
        conditions = operator.page.get_by_role("group", name="When all of this is true")
        conditions.get_by_role("button", name="Add").click()
        conditions.get_by_label("Kind").last.select_option("compound")
        inner = conditions.get_by_role("group", name="Of these")
        inner.get_by_role("button", name="Add").click()
        inner.get_by_label("Kind").select_option("time_window")
        inner.get_by_label("Mon").check()
        operator.button("Save").click()
        operator.says(f"{name} is saved.")
        saved = rest.get(f"/api/v1/logic/rules/{created['rule_id']}").json()
        window = saved["conditions"][1]["conditions"][0]
        assert (saved["conditions"][0]["min"], saved["actions"][0]["duration_s"]) == (10, 60)
        assert (window["type"], window["start"], window["days_of_week"]) == ("time_window", "06:00", [0])
    operator.open("rules").button(f"Turn off {name}").click()
    expect(operator.button(f"Turn on {name}")).to_be_visible()
    operator.page.get_by_role("link", name=name).click()
    operator.button("Remove the rule…").click()
    operator.dialog().get_by_role("button", name="Remove").click()
    operator.says(f"{name} is removed.")
    expect(operator.row(name)).to_have_count(0)
