"""The console's pages of devices, sensors, actuators, rules, mocks and rejected messages, as a person uses them."""

import json
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from auditing import audited
from browser import Person
from devices import heartbeat, new_id, now_ms, of_device
from harness import Message, Stack, reading, wait_until
from listening import listening
from playwright.sync_api import Locator, Route, expect
from snippets_run import interpreted


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


def test_a_new_device_is_connected_step_by_step_and_its_first_message_is_told(
    operator: Person, console_stack: Stack, tmp_path: Path
):
    page = operator.page
    operator.open("devices").page.get_by_role("link", name="Connect a device").click()
    esp_id = page.get_by_label("Device id").input_value()
    page.get_by_label("Name", exact=True).fill("House by the river")
    operator.button("Register").click()
    operator.says("waiting for the first message")
    page.get_by_label("Program for").select_option("micropython")
    program = page.get_by_label("The program").inner_text()
    sent = [line.split("\t") for line in interpreted(program, tmp_path)]
    messages = [Message(topic, payload.encode()) for topic, payload in sent if topic.startswith("kaiser/")]
    assert [message.topic.rsplit("/", 1)[-1] for message in messages] == ["heartbeat", "data", "data"]
    topic, payload = messages[1].topic, messages[1].payload
    for wrong, words in (
        (Message(topic.replace("/4/", "/5/"), payload), "Topic and payload name different sites, devices or gpios"),
        (Message(topic, payload[:-1]), "The payload is no valid JSON"),
    ):
        console_stack.publish([wrong])
        operator.says(re.compile(words))
    console_stack.publish(messages[:2])
    operator.says("21.5 °C")
    page.get_by_text("On the phone").click()
    expect(page.get_by_label("The address of this page as a QR code")).to_be_visible()
    page.get_by_role("link", name="Give it a name").click()
    expect(page.get_by_role("heading", name="ds18b20 on gpio 4")).to_be_visible()
    expect(operator.open("devices").row(esp_id)).to_contain_text("House by the river")


def test_a_device_is_registered_and_a_bad_id_is_told_at_its_field(operator: Person):
    esp_id = new_id("ESP")
    operator.open("devices").button("Register a device").click()
    operator.dialog().get_by_label("Device id").fill("plant 1")
    operator.dialog().get_by_role("button", name="Register").click()
    expect(operator.dialog().locator(".field-wrong")).to_contain_text("must be ESP_, MOCK_, SIM_ or TEST_ and then")
    expect(operator.dialog()).not_to_contain_text("[A-Z")
    operator.dialog().get_by_label("Device id").fill(esp_id)
    operator.dialog().get_by_label("Name", exact=True).fill("Greenhouse 1")
    operator.dialog().get_by_role("button", name="Register").click()
    expect(operator.row(esp_id)).to_contain_text("Greenhouse 1")
    operator.page.get_by_label("Search id or name").fill(esp_id[-6:])
    expect(operator.page.get_by_role("row")).to_have_count(2)


def add_zone(operator: Person) -> str:
    """A new zone, added by its name alone; its id."""
    number = secrets.token_hex(2)
    operator.open("zones").button("New zone").click()
    operator.dialog().get_by_label("Name", exact=True).fill(f"North {number}")
    operator.dialog().get_by_role("button", name="Add").click()
    expect(operator.page.get_by_role("heading", name=f"North {number}")).to_be_visible()
    return f"north_{number}"


def test_configuration_zone_and_commands_are_sent_and_their_answers_shown(operator: Person, mock: str):
    operator.open("devices", mock)
    expect(operator.page.locator(".facts")).to_contain_text("online")
    operator.button("Push configuration").click()
    operator.says(re.compile(r"configuration applied"))
    zone = add_zone(operator)
    operator.open("devices", mock).page.locator("select[name=zone_id]").select_option(zone)
    operator.button("Assign").click()
    operator.says(f"zone {zone} assigned")
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
            .filter(has=operator.page.get_by_role("rowheader", name=f"North {zone[-4:]}", exact=True))
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

    wait_until(is_in_force, "the calibration is in force", 240.0)
    operator.page.get_by_label("Raw at point 2").fill("")
    operator.button("Save").click()
    expect(operator.page.get_by_role("alert")).to_contain_text("A field is not as expected.")


def test_a_command_is_confirmed_and_followed_to_its_end(operator: Person, mock: str, console_stack: Stack):
    operator.open("actuators").page.get_by_label("Search name, zone, device or type").fill(mock)
    row = operator.row(mock)
    expect(row).to_contain_text("off")
    row.get_by_role("button", name="On…").click()
    expect(operator.dialog()).to_contain_text("The device moves something real.")
    operator.dialog().get_by_label("Reason").fill("watering")
    with listening(console_stack, f"kaiser/god/esp/{mock}/actuator/25/command") as heard:
        operator.dialog().get_by_role("button", name="Send ON").click()
        expect(row).to_contain_text("acknowledged")
        [(_, command)] = wait_until(lambda: heard, "the device heard the command")
    assert (command["command"], command["duration"]) == ("ON", 60), "without a choice it ends by itself"
    expect(row.locator(".badge").first).to_contain_text("on")
    row.get_by_role("link").first.click()
    history = operator.page.locator(".panel", has_text="History, last 7 days")
    expect(history.get_by_role("row").filter(has_text="command").first).to_contain_text("ON")


def test_a_command_to_a_device_that_is_offline_is_refused_in_words_and_waits_where_that_is_chosen(
    operator: Person, mock: str, console_stack: Stack
):
    with console_stack.sign_in() as rest:
        rest.post(f"/api/v1/debug/mock-esp/{mock}/stop").raise_for_status()
        wait_until(lambda: not rest.get(f"/api/v1/esp/devices/{mock}").json()["online"], "the device is offline")
    operator.open("actuators", mock, "25").page.get_by_role("button", name=re.compile("^On")).first.click()
    operator.dialog().get_by_role("button", name="Send ON").click()
    refusal = operator.dialog().get_by_role("alert")
    expect(refusal).to_contain_text(f"The device is offline. {mock} is offline; a command that is queued waits for it")
    expect(refusal).not_to_contain_text("queue=")
    operator.dialog().get_by_label("If the device is offline, keep the command for it").check()
    operator.dialog().get_by_role("button", name="Send ON").click()
    expect(operator.page.locator(".command-state")).to_contain_text("queued")


@pytest.mark.usefixtures("stops_end")
def test_an_emergency_stop_is_told_on_every_page_until_it_is_cleared(operator: Person, mock: str):
    operator.open("rules").button("EMERGENCY STOP").click()
    operator.dialog().get_by_label("Reason").fill("water on the floor")
    operator.dialog().get_by_role("button", name="Stop everything now").click()
    bar = operator.page.get_by_label("Emergency stops in force")
    expect(bar).to_contain_text("STOPPED: everything")
    expect(bar).to_contain_text("water on the floor")
    operator.open("actuators", mock, "25")
    expect(operator.page.locator(".facts")).to_contain_text("stopped")
    operator.page.get_by_role("button", name="On…").click()
    operator.dialog().get_by_role("button", name="Send ON").click()
    expect(operator.dialog().get_by_role("alert")).to_contain_text("An emergency stop is in force.")
    operator.dialog().get_by_role("button", name="Close").click()
    operator.button("Clear… everything").click()
    operator.dialog().get_by_role("button", name="Clear the stop").click()
    expect(operator.page.get_by_text("STOPPED: everything")).to_have_count(0)
    expect(operator.page.locator(".facts")).not_to_contain_text("stopped")


def test_a_mock_is_created_measures_what_it_is_told_to_and_is_stopped(
    operator: Person, console_stack: Stack, made_mocks: list[str]
):
    esp_id = new_id()
    made_mocks.append(esp_id)
    operator.open("mocks").button("Create a mock").click()
    operator.dialog().get_by_label("Id (empty").fill(esp_id)
    operator.dialog().get_by_label("A reading every: figure").fill("0.5")
    operator.dialog().get_by_label("With an actuator").check()
    operator.dialog().get_by_role("button", name="Heartbeat every: 15 s").click()
    operator.dialog().get_by_role("button", name="Create").click()
    expect(operator.row(esp_id)).to_contain_text("OPERATIONAL")
    operator.page.get_by_role("link", name=esp_id).click()
    operator.page.get_by_label("Answers late by: unit").select_option("min")
    operator.page.get_by_label("Answers late by: figure").fill("0.1")
    operator.page.get_by_label("Clock wrong by: figure").fill("-2")
    operator.button("Set faults").click()
    operator.says("The faults are in force.")
    with console_stack.sign_in() as rest:
        made = rest.get(f"/api/v1/debug/mock-esp/{esp_id}").json()
    assert (made["heartbeat_interval_s"], made["sensors"][0]["interval_s"]) == (15, 0.5)
    assert (made["faults"]["slow_response_s"], made["faults"]["clock_offset_s"]) == (6, -2)
    assert made["actuators"][0]["max_runtime_s"] == 600
    operator.button("Override…").click()
    operator.dialog().get_by_label("Value in °C").fill("35.5")
    operator.dialog().get_by_role("button", name="Override").click()
    expect(operator.row("DS18B20")).to_contain_text("35.5 °C")
    operator.open("sensors").page.get_by_label("Search name, zone, device or type").fill(esp_id)
    expect(operator.row(esp_id)).to_contain_text("35.5 °C")
    operator.open("mocks").button(f"stop {esp_id}").click()
    expect(operator.row(esp_id)).to_contain_text("stopped")


def test_a_rejected_message_says_why_and_is_replayed_once_its_device_is_known(operator: Person, console_stack: Stack):
    esp_id = new_id("TEST")
    other = new_id("TEST")
    console_stack.publish([reading(esp_id, 4, now_ms(), 21.5)])
    console_stack.publish([reading(other, 4, now_ms() + number, 20.0 + number) for number in range(3)])
    operator.open("rejected")
    causes = operator.page.get_by_role("table", name="Causes, the most frequent first")
    listed = operator.page.get_by_role("table", name="Rejected messages, newest first")

    group = causes.get_by_role("row", name=other)

    def are_listed() -> bool:
        operator.button("Look again").click()
        return listed.get_by_role("row", name=esp_id).count() > 0 and group.filter(has_text="Replay all 3").count() > 0

    wait_until(are_listed, "the messages are listed")
    expect(group).to_contain_text("Replay all 3")
    expect(group).to_contain_text("Register or approve a device with the id of the topic.")
    group.get_by_role("button", name=f"Register {other} and replay").click()
    operator.says("Replayed: 3; still rejected: 0.")
    causes.get_by_role("row", name=esp_id).get_by_role("button", name="Show").click()
    expect(listed.get_by_role("row", name=other)).to_have_count(0)
    row = listed.get_by_role("row", name=esp_id)
    expect(row).to_contain_text("5001")
    with console_stack.sign_in() as rest:
        assert rest.post("/api/v1/esp/devices", json={"esp_id": esp_id}).status_code == 201
        items = rest.get("/api/v1/rejected", params={"esp_id": esp_id}).json()["items"]
    [seq] = [str(one["seq"]) for one in items]
    row.get_by_role("button", name="Show…").click()
    expect(operator.page.get_by_label("Payload")).to_have_value(re.compile('"raw_value": 21.5'))
    operator.dialog().get_by_role("button", name="Replay").click()
    operator.says("Replayed: 1; still rejected: 0.")
    with console_stack.sign_in() as rest:
        entry = audited(rest, "replay_rejected", seq)
    assert (entry["service"], entry["actor"], entry["outcome"]) == ("ingest", "admin", "done")
    assert (entry.get("before"), entry["after"]["published"], entry["after"]["rejected"]) == (None, 1, 0)
    operator.open("sensors").page.get_by_label("Search name, zone, device or type").fill(esp_id)
    expect(operator.row(esp_id)).to_contain_text("21.5 °C")


def test_a_reading_that_comes_while_the_sensors_are_asked_for_is_shown(operator: Person, console_stack: Stack):
    """Each answer is that of before the reading: only the event of the reading can show it."""
    [esp_id] = console_stack.register(1)
    frames = operator.frames()
    operator.begin_again()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    operator.page.route("**/api/v1/sensors/latest", hold)
    operator.open("sensors")
    wait_until(lambda: operator.page.title() and held, "the page asks for the sensors")
    operator.page.locator("input[name=text]").fill(esp_id)  # a page shows the first 300, and others may have more
    with console_stack.sign_in() as rest:
        before = rest.get("/api/v1/sensors/latest").json()
    console_stack.publish([reading(esp_id, 4, now_ms(), 21.5)])

    def has_come() -> bool:
        operator.page.title()
        return any(frame["type"] == "sensor_data" and frame["data"]["esp_id"] == esp_id for frame in frames)

    wait_until(has_come, "the event is there")
    expect(operator.row(esp_id)).to_have_count(0)
    operator.page.route("**/api/v1/sensors/latest", lambda route: route.fulfill(json=before))
    for route in held:
        route.fulfill(json=before)
    expect(operator.row(esp_id)).to_contain_text("21.5 °C")


def test_a_page_asks_again_by_itself_while_the_server_is_not_ready(
    make_person: Callable[..., Person], console_stack: Stack
):
    """The page's clock goes on by ten seconds: its own look every 30 s would be too late."""
    [esp_id] = console_stack.register(1)
    console_stack.publish([reading(esp_id, 4, now_ms(), 21.5)])
    person = make_person()
    person.page.clock.install()
    page = person.sign_in().page
    refused: list[Route] = []

    def refuse_twice(route: Route) -> None:
        if len(refused) == 2:
            route.fallback()
            return
        refused.append(route)
        problem = {"title": "Service Unavailable", "status": 503, "code": 5402, "detail": f"refusal {len(refused)}"}
        route.fulfill(status=503, json=problem)

    page.route("**/api/v1/sensors/latest", refuse_twice)
    page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 1)
    person.open("sensors")
    page.locator("input[name=text]").fill(esp_id)
    page.clock.run_for(500)
    for number, until_next_ms in ((1, 3000), (2, 6000)):
        expect(page.get_by_role("alert")).to_contain_text(f"refusal {number}")
        page.clock.run_for(until_next_ms)
    expect(person.row(esp_id)).to_contain_text("21.5 °C")
    assert len(refused) == 2


def test_an_operator_who_knows_no_id_writes_a_rule_in_six_clicks_and_two_fields(
    operator: Person, console_stack: Stack, made_rules: list[str]
):
    [esp_id] = console_stack.register(1)
    place = f"East {esp_id[-4:]}"
    with console_stack.sign_in() as rest:
        console_stack.publish([reading(esp_id, 4, now_ms(), 24.5)])
        of_it = {"esp_id": esp_id}
        wait_until(lambda: rest.get("/api/v1/sensors/latest", params=of_it).json()["items"], "the reading is stored")
        rest.patch(f"/api/v1/sensors/{esp_id}/4/ds18b20", json={"name": place}).raise_for_status()
    page = operator.page
    operator.count()
    page.get_by_role("navigation").get_by_role("link", name="Rules").click()
    page.get_by_role("link", name="New rule").click()
    page.get_by_role("combobox", name="Sensor").fill(place)
    option = page.get_by_role("option", name=place)
    expect(option).to_contain_text("24.5 °C")
    option.click()
    page.get_by_label("Value", exact=True).fill("30")
    operator.button("for at least: 1 min").click()
    operator.button("Try it").click()
    expect(page.locator(".dry-run")).to_contain_text("it would not fire")
    operator.button("Save").click()
    name = f"{place} over 30 °C for 1 min"
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    rule_id = page.url.rsplit("/", 1)[-1]
    made_rules.append(rule_id)
    assert operator.counted() == (6, 2)

    with console_stack.sign_in() as rest:
        rule = rest.get(f"/api/v1/logic/rules/{rule_id}").json()
        [condition], [action] = rule["conditions"], rule["actions"]
        sensor = (condition["esp_id"], condition["gpio"], condition["sensor_type"])
        assert sensor == (esp_id, 4, "ds18b20")
        assert (condition["operator"], condition["value"], condition["for_s"]) == (">", 30, 60)
        raised = (action["type"], action["do"], action["message"], action["clear_when_false"])
        assert raised == ("alarm", "raise", name, True)
        at_once = {**written(rule), "conditions": [{**condition, "for_s": 0}]}
        rest.put(f"/api/v1/logic/rules/{rule_id}", json=at_once).raise_for_status()
    _is_tried_and_fires(operator, console_stack, rule_id, esp_id, name, place)


def test_a_rule_for_a_device_that_is_not_there_or_for_one_of_two_sensors_of_a_pin_is_refused_in_words(
    operator: Person, console_stack: Stack
):
    [esp_id] = console_stack.register(1)
    for kind in ("sht31_temp", "sht31_humidity"):
        message = reading(esp_id, 21, now_ms(), 21.5)
        console_stack.publish(
            [Message(message.topic, json.dumps(json.loads(message.payload) | {"sensor_type": kind}).encode())]
        )
    with console_stack.sign_in() as rest:
        of_it = {"esp_id": esp_id}
        wait_until(lambda: len(rest.get("/api/v1/sensors/latest", params=of_it).json()["items"]) == 2, "both are known")
    page = operator.open("rules", "new").page
    page.get_by_text("A sensor that has not sent yet…").click()
    device = page.get_by_label("Device id")
    device.fill(f"{esp_id}X")
    page.get_by_role("spinbutton", name="Gpio", exact=True).fill("21")
    page.get_by_label("Value", exact=True).fill("30")
    operator.button("Try it").click()
    expect(page.get_by_role("alert")).to_contain_text(f"{esp_id}X is not registered; did you mean {esp_id}?")
    device.fill(esp_id)
    operator.button("Try it").click()
    expect(page.get_by_role("alert")).to_contain_text("has 2 sensors: give sensor_type sht31_humidity or sht31_temp")
    page.get_by_label("Sensor type").fill("sht31_temp")
    operator.button("Try it").click()
    expect(page.locator(".dry-run")).to_contain_text("it would not fire")


def _is_tried_and_fires(operator: Person, stack: Stack, rule_id: str, esp_id: str, name: str, place: str) -> None:
    page = operator.page
    operator.open("rules").open("rules", rule_id)
    suppose = page.get_by_label(f"Suppose {place}")
    for value, verdict in (("35", "it would fire"), ("25", "it would not fire")):
        suppose.fill(value)
        operator.button("Try it").click()
        expect(page.locator(".dry-run")).to_contain_text(verdict)
    expect(operator.row(name)).to_have_count(0)
    stack.publish([reading(esp_id, 4, now_ms(), 35.5)])
    expect(operator.row(name)).to_contain_text("succeeded")
    operator.row(name).get_by_role("button", name="Show…").click()
    expect(operator.dialog()).to_contain_text("alarm")
    page.keyboard.press("Escape")
    alarm = operator.open("alarms").row(name)
    expect(alarm).to_contain_text("rule alarm")
    stack.publish([reading(esp_id, 4, now_ms(), 25.0)])
    expect(alarm).to_contain_text("cleared")


def written(rule: dict[str, Any]) -> dict[str, Any]:
    """The form in which an operator writes a rule that was read."""
    kept = ("name", "enabled", "priority", "mode", "conditions", "actions", "cooldown_s")
    return {name: rule[name] for name in kept}


def test_a_device_and_a_zone_show_what_they_have_and_a_name_changes_a_name_only(
    operator: Person, mock: str, console_stack: Stack
):
    page = operator.page
    with console_stack.sign_in() as rest:
        rest.patch(f"/api/v1/esp/devices/{mock}", json={"name": f"House {mock[-4:]}"}).raise_for_status()
        rest.post(f"/api/v1/esp/devices/{mock}/zone", json={"zone_id": f"zone_{mock[-4:].lower()}"}).raise_for_status()
        wait_until(lambda: rest.get(f"/api/v1/esp/devices/{mock}").json()["zone_id"], "the zone is in force")
        of_it = {"esp_id": mock}
        wait_until(lambda: len(rest.get("/api/v1/sensors/data", params=of_it).json()["items"]) > 4, "it has sent")
        [sensor] = rest.get("/api/v1/sensors/latest", params=of_it).json()["items"]
    operator.open("devices", mock)
    expect(page.get_by_role("heading", name=f"House {mock[-4:]}")).to_be_visible()
    sensors = page.get_by_role("table", name="Sensors")
    expect(sensors).to_contain_text(sensor["sensor_type"])
    expect(page.get_by_role("table", name="Actuators")).to_contain_text("on gpio 25")
    sensors.get_by_role("link", name=re.compile(sensor["sensor_type"])).first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(sensor["sensor_type"])  # the device has a name too
    page.get_by_label("Name", exact=True).fill("Air at the door")
    operator.button("Save").click()
    expect(page.get_by_role("heading", name="Air at the door")).to_be_visible()
    with console_stack.sign_in() as rest:
        [config] = rest.get("/api/v1/sensors", params=of_it).json()["items"]
    assert (config["name"], config["interval_s"] < 30) == ("Air at the door", True)  # a mock measures every few seconds
    operator.open("zones").page.get_by_role("link", name=f"zone_{mock[-4:].lower()}").click()
    expect(page.get_by_role("table", name="Sensors")).to_contain_text("Air at the door")
    expect(page.get_by_role("table", name="Devices")).to_contain_text(f"House {mock[-4:]}")


def test_spans_of_time_in_settings_have_units_and_usual_values(operator: Person, mock: str, console_stack: Stack):
    page = operator.page
    operator.open("actuators", mock, "25").button("Maximum run time: 10 min").click()
    page.get_by_label("Maximum run time: figure").fill("2")
    page.get_by_label("Maximum run time: unit").select_option("h")
    operator.button("Save").click()
    operator.says("Saved")
    operator.open("devices", mock)
    page.get_by_label("Heartbeat timeout: figure").fill("86401")
    operator.button("Save").click()
    assert page.get_by_label("Heartbeat timeout: figure").evaluate("one => one.validity.rangeOverflow"), "a day at most"
    operator.button("Heartbeat timeout: 5 min").click()
    operator.button("Save").click()
    operator.open("sensors", mock, "4", "ds18b20").button("Alarm limits…").click()
    operator.dialog().get_by_label("Warning over").fill("90")
    operator.dialog().get_by_role("button", name="Outside for at least: 1 min").click()
    operator.dialog().get_by_role("button", name="Save").click()
    expect(operator.dialog()).to_have_count(0)
    with console_stack.sign_in() as rest:

        def stored() -> list[Any]:
            limits = rest.get(f"/api/v1/alarms/limits/{mock}/4/ds18b20").json()["limits"]
            return [
                rest.get(f"/api/v1/actuators/{mock}/25").json()["max_runtime_s"],
                rest.get(f"/api/v1/esp/devices/{mock}").json()["heartbeat_timeout_s"],
                limits["delay_s"],
            ]

        wait_until(lambda: stored() == [7200, 300, 60], "all is stored in seconds")
    operator.open("actuators", mock, "25").button("Maximum run time: no limit").click()
    operator.button("Save").click()
    with console_stack.sign_in() as rest:
        pump = f"/api/v1/actuators/{mock}/25"
        wait_until(lambda: rest.get(pump).json()["max_runtime_s"] == 0, "there is no limit")


def test_an_actuator_is_set_up_by_its_name_or_on_a_device_by_its_name_and_stops_after_ten_minutes(
    operator: Person, mock: str, console_stack: Stack
):
    house, page = f"House {mock[-4:]}", operator.page
    with console_stack.sign_in() as rest:
        rest.patch(f"/api/v1/esp/devices/{mock}", json={"name": house}).raise_for_status()
        rest.delete(f"/api/v1/actuators/{mock}/25").raise_for_status()

    def set_up() -> Locator:
        operator.open("actuators").button("Set up an actuator").click()
        return operator.dialog()

    def stored(gpio: int) -> dict[str, Any]:
        with console_stack.sign_in() as rest:
            return dict(rest.get(f"/api/v1/actuators/{mock}/{gpio}").json())

    dialog = set_up()
    dialog.get_by_role("button", name="Set up", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("Choose an actuator")
    dialog.get_by_role("combobox", name="Actuator to set up").fill(house)
    dialog.get_by_role("option", name=re.compile("on gpio 25")).click()
    dialog.get_by_label("Name", exact=True).fill("Pump at the door")
    dialog.get_by_role("button", name="Set up", exact=True).click()
    operator.says(f"Pump at the door ({house}) is set up.")
    pump = stored(25)
    assert (pump["name"], pump["actuator_type"], pump["max_runtime_s"]) == ("Pump at the door", "pump", 600)

    for gpio in (26, 25):
        dialog = set_up()
        dialog.get_by_text("An actuator that has not reported yet").click()
        dialog.get_by_role("combobox", name="Device").fill(house)
        dialog.get_by_role("listbox", name="Device").get_by_role("option").click()
        dialog.get_by_label("Gpio", exact=True).fill(str(gpio))
        dialog.get_by_role("button", name="Maximum run time: 1 min").click()
        dialog.get_by_role("button", name="Set up", exact=True).click()
        if gpio == 26:
            operator.says(f"relay on gpio 26 ({house}) is set up.")
    expect(dialog.get_by_role("alert")).to_contain_text(f"Pump at the door ({house}) is set up already")
    assert (stored(26)["max_runtime_s"], stored(25)["max_runtime_s"]) == (60, 600)
    page.keyboard.press("Escape")
    with console_stack.sign_in() as rest:
        rest.delete(f"/api/v1/actuators/{mock}/26").raise_for_status()


def test_a_device_is_put_into_a_zone_by_its_name_and_the_zone_is_renamed_emptied_and_removed(
    operator: Person, mock: str, console_stack: Stack
):
    page = operator.page
    house = f"House {mock[-4:]}"
    with console_stack.sign_in() as rest:
        rest.patch(f"/api/v1/esp/devices/{mock}", json={"name": house}).raise_for_status()
        zone = add_zone(operator)
        operator.button("Put a device in…").click()
        page.get_by_role("combobox", name="Device to put in").fill(house)
        page.get_by_role("option", name=house).click()
        devices = page.get_by_role("table", name="Devices")
        expect(devices.get_by_role("row").filter(has_text=house)).to_contain_text("online")
        assert rest.get(f"/api/v1/esp/devices/{mock}").json()["zone_id"] == zone
        expect(page.get_by_role("table", name="Actuators")).to_contain_text("on gpio 25")
        expect(operator.button("Remove the zone…")).to_be_disabled()
        page.get_by_label("Name", exact=True).fill("Glass house")
        operator.button("Save").click()
        expect(page.get_by_role("heading", name="Glass house")).to_be_visible()
        found = rest.get(f"/api/v1/zones/{zone}").json()
        assert (found["name"], found["version"], found["devices"]) == ("Glass house", 2, 1)
        stale = rest.patch(f"/api/v1/zones/{zone}", json={"name": "x"}, headers={"If-Match": '"1"'})
        assert (stale.status_code, stale.json()["code"]) == (412, 5414)
        expect(operator.open("devices", mock).page.locator(".facts")).to_contain_text("Glass house")
        expect(operator.open("overview").page.get_by_role("region", name="Glass house").first).to_be_visible()
        operator.open("zones", zone).button(f"Take out {house}").click()
        operator.button("Remove the zone…").click()
        operator.dialog().get_by_role("button", name="Remove").click()
        expect(page.get_by_role("heading", name="Zones")).to_be_visible()
        assert rest.get(f"/api/v1/zones/{zone}").status_code == 404
        assert rest.get(f"/api/v1/esp/devices/{mock}").json()["zone_id"] is None


def test_a_device_is_followed_both_ways_and_a_rejected_message_is_corrected_and_stored(
    operator: Person, mock: str, console_stack: Stack
):
    page = operator.page
    messages = page.get_by_role("list", name="Messages, newest first")

    def of(text: str) -> Locator:
        return messages.get_by_role("listitem").filter(has_text=text)

    operator.open("devices", mock).page.get_by_role("link", name="Its messages").click()
    expect(of("sensor/4/data").first).to_contain_text("accepted")
    with console_stack.sign_in() as rest:
        command = {"command": "ON", "duration_s": 5}
        rest.post(f"/api/v1/actuators/{mock}/25/command", json=command).raise_for_status()
        expect(of("actuator/25/command")).to_contain_text("to the device")
        expect(of("actuator/25/response").first).to_contain_text("accepted")
        at = now_ms() - 60_000
        good = reading(mock, 4, at, 19.25)
        broken = good.payload.replace(b'"value": 19.25', b'"value": "warm"')
        console_stack.publish([Message(good.topic, broken)])
        bad = of("rejected")
        expect(bad).to_contain_text("5206")
        page.locator("select[name=way]").select_option("rejected")
        bad.locator("summary").click()
        bad.get_by_role("button", name="Fix and replay…").click()
        payload = operator.dialog().get_by_label("Payload")
        operator.button("Check it").click()
        expect(operator.dialog()).to_contain_text("would be rejected")
        payload.fill(payload.input_value().replace('"warm"', "19.25"))
        operator.button("Check it").click()
        expect(operator.dialog()).to_contain_text("would be accepted")
        operator.button("Replay the corrected message").click()
        operator.says("Replayed: 1; still rejected: 0.")
        span = {"esp_id": mock, "gpio": 4, "from": at, "to": at + 1}
        [row] = wait_until(lambda: rest.get("/api/v1/sensors/data", params=span).json()["items"], "it is stored")
        assert (row["ts"], row["value"]) == (at, 19.25)
        [rejected] = rest.get("/api/v1/rejected", params={"esp_id": mock}).json()["items"]
        entry = audited(rest, "fix_rejected", str(rejected["seq"]))
        assert ("warm" in entry["before"]["payload"], "19.25" in entry["after"]["payload"]) == (True, True)


def test_a_rule_is_nested_turned_off_and_removed(
    operator: Person, console_stack: Stack, mock: str, made_rules: list[str]
):
    [esp_id] = console_stack.register(1)
    name = f"Watering {esp_id}"
    condition = {"type": "sensor_threshold", "esp_id": esp_id, "gpio": 4, "operator": "between", "min": 10, "max": 20}
    action = {"type": "actuator_command", "esp_id": esp_id, "gpio": 25, "command": "ON", "duration_s": 60}
    with console_stack.sign_in() as rest:
        rest.put(f"/api/v1/actuators/{esp_id}/25", json={"actuator_type": "pump"}).raise_for_status()
        body = {"name": name, "conditions": [condition], "actions": [action]}
        created = rest.post("/api/v1/logic/rules", json=body).json()
        made_rules.append(created["rule_id"])
        operator.open("rules", created["rule_id"])
        conditions = operator.page.get_by_role("group", name="When all of this is true")
        conditions.get_by_role("button", name="Add").click()
        conditions.get_by_label("Kind").last.select_option("compound")
        inner = conditions.get_by_role("group", name="Of these")
        inner.get_by_role("button", name="Add").click()
        inner.get_by_label("Kind").select_option("time_window")
        inner.get_by_label("Mon").check()
        actions = operator.page.get_by_role("group", name="do this")
        actions.get_by_role("button", name="Add").click()
        pump = f"Pump {mock[-4:]}"
        actions.get_by_role("combobox", name="Actuator").last.fill(pump)
        operator.page.get_by_role("option", name=pump).click()
        operator.button("Save").click()
        operator.says(f"{name} is saved.")
        saved = rest.get(f"/api/v1/logic/rules/{created['rule_id']}").json()
        window = saved["conditions"][1]["conditions"][0]
        assert (saved["conditions"][0]["min"], saved["actions"][0]["duration_s"]) == (10, 60)
        added = saved["actions"][1]
        assert (added["esp_id"], added["command"], added["duration_s"]) == (mock, "ON", 60), "it ends by itself"
        assert (window["type"], window["start"], window["days_of_week"]) == ("time_window", "06:00", [0])
    operator.open("rules").button(f"Turn off {name}").click()
    expect(operator.button(f"Turn on {name}")).to_be_visible()
    operator.page.get_by_role("link", name=name).click()
    operator.button("Remove the rule…").click()
    operator.dialog().get_by_role("button", name="Remove").click()
    operator.says(f"{name} is removed.")
    expect(operator.row(name)).to_have_count(0)


def test_a_change_is_found_in_the_audit_with_before_and_after(operator: Person, console_stack: Stack):
    [esp_id] = console_stack.register(1)
    with console_stack.sign_in() as rest:
        for limits in ({"hi": 20}, {"hi": 25}):
            rest.put(f"/api/v1/alarms/limits/{esp_id}/4/ds18b20", json=limits).raise_for_status()
    operator.open("audit").page.get_by_label("Target").fill(f"{esp_id}/4/ds18b20")
    operator.page.get_by_label("Service").select_option("alarm")
    row = operator.row("hi 20 → 25")

    def is_listed() -> bool:
        operator.button("Show").click()
        return row.count() > 0

    wait_until(is_listed, "the change is listed")
    expect(row).to_contain_text("admin")
    expect(row).to_contain_text("set limits")
    expect(row).to_contain_text("done")
    with operator.page.expect_download() as download:
        operator.button("CSV").click()
    assert f"{esp_id}/4/ds18b20" in download.value.path().read_text()
    row.get_by_role("button", name="Show…").click()
    expect(operator.dialog()).to_contain_text("127.0.0.1")
    expect(operator.dialog().get_by_role("row").filter(has_text="hi")).to_contain_text("25")
