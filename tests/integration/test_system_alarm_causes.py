"""Each kind of alarm of devices, commands, stops, rules and channels, from its real cause to the API and the overview,
and to its end. The other kinds are in test_system_conditions.py and test_system_broker_alarms.py.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from devices import new_id, now_ms, of_device
from firmware_a import FirmwareA
from harness import Message, Stack, reading, wait_until
from mocks import PUMP, Mocks
from receivers import HttpReceiver, http_receiver

pytestmark = pytest.mark.timeout(1200)

WITHIN_S = 240.0
GPIO = 4
REFUSED_PIN = 6
UNPLUGGED, COLD = -127.0, 20.0
"""°C: what the driver of a DS18B20 reads of one that does not answer, and a measurement."""
ALARMS, RULES = "/api/v1/alarms", "/api/v1/logic/rules"


@dataclass
class Case:
    """A kind of alarm. end: what ends its condition; None: its acknowledgement closes it."""

    kind: str
    severity: str
    source: str
    begin: Callable[[], Any]
    end: Callable[[], Any] | None = None


@dataclass
class Plant:
    """A stack with the devices of the cases, which are ended with it."""

    stack: Stack
    rest: httpx.Client
    mocks: Mocks
    devices: ExitStack
    esp_ids: Iterator[str]
    at: int = field(default_factory=now_ms)

    def device(self, **options: Any) -> FirmwareA:
        """A registered device that is switched on."""
        address = (self.stack.addresses["mqtt_host"], self.stack.addresses["mqtt_port"])
        device = self.devices.enter_context(FirmwareA(address, next(self.esp_ids), **options))
        path = f"/api/v1/esp/devices/{device.board.esp_id}"
        wait_until(lambda: self.rest.get(path).json()["online"], "the device is online", WITHIN_S)
        return device

    def say(self, esp_id: str, *values: float) -> None:
        """Readings of a device, each later than the one before."""
        messages = []
        for value in values:
            self.at = max(self.at + 1, now_ms())
            messages.append(reading(esp_id, GPIO, self.at, value))
        self.stack.publish(messages)

    def ok(self, method: str, path: str, body: Any = None) -> Any:
        """The answer of the API, which must be a good one; GET and PUT are repeated while a service is too slow."""

        def answered() -> httpx.Response | None:
            answer = self.rest.request(method, path, json=body, timeout=60)
            return None if method in ("GET", "PUT") and answer.status_code in (503, 504) else answer

        answer = wait_until(answered, f"{method} {path} is answered", WITHIN_S)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def rule(self, esp_id: str, *actions: dict[str, Any]) -> str:
        """A rule that fires whenever the sensor of a device gets hot; its id."""
        sensor = {"esp_id": esp_id, "gpio": GPIO, "sensor_type": "ds18b20"}
        condition = {"type": "sensor_threshold", **sensor, "operator": ">", "value": 30}
        rule = {"name": f"of {esp_id}", "conditions": [condition], "actions": list(actions)}
        return str(self.ok("POST", RULES, rule)["rule_id"])

    def alarms(self, case: Case) -> list[dict[str, Any]]:
        """The alarms of a case, those of the past too."""
        items = self.ok("GET", f"{ALARMS}?kind={case.kind}&shown=all")["items"]
        return [one for one in items if one["source"] == case.source]

    def becomes(self, case: Case, state: str) -> dict[str, Any]:
        """The one alarm of a case, once it is in a state."""
        [alarm] = wait_until(
            lambda: [one for one in self.alarms(case) if one["state"] == state], f"{case.kind} is {state}", WITHIN_S
        )
        return dict(alarm)


@pytest.fixture(scope="module")
def own_stack(server_folder: Path) -> Iterator[Stack]:
    """A stack of this module's own, in which nothing else raises an alarm."""
    stack = Stack(server_folder / f"causes-{secrets.token_hex(3)}", KAISER_LOGIC_LOOP_FIRES="3")
    try:
        yield stack.start()
    finally:
        stack.stop()
        stack.remove()


@contextmanager
def plant_of(stack: Stack, count: int) -> Iterator[Plant]:
    """A plant with so many registered devices."""
    with stack.sign_in() as rest, ExitStack() as devices:
        mocks = Mocks(stack)
        devices.callback(mocks.end)
        yield Plant(stack, rest, mocks, devices, iter(stack.register(count)))


def of_readings(plant: Plant) -> Iterator[Case]:
    """A sensor that is out of range, one that is silent, one beyond its limit."""
    faulty, mute, warm = (next(plant.esp_ids) for _ in range(3))
    plant.ok("PUT", f"{ALARMS}/limits/{warm}/{GPIO}/ds18b20", {"hi": 30})

    def send_every(esp_id: str, interval_s: int, value: float) -> None:
        plant.ok("PUT", f"/api/v1/sensors/{esp_id}/{GPIO}/ds18b20", {"interval_s": interval_s})
        plant.say(esp_id, value)

    for kind, esp_id, interval_s, value in (
        ("sensor_fault", faulty, 3600, UNPLUGGED),
        ("sensor_silent", mute, 1, COLD),
        ("limit_hi", warm, 3600, 40.0),
    ):
        begin, end = partial(send_every, esp_id, interval_s, value), partial(send_every, esp_id, 3600, COLD)
        yield Case(kind, "warning", f"{esp_id}/{GPIO}/ds18b20", begin, end)


def of_messages(plant: Plant) -> Iterator[Case]:
    """Reports of devices about themselves, and messages that are of no known device or cannot be read."""
    loud, garbled, unknown = next(plant.esp_ids), next(plant.esp_ids), new_id("ESP")
    plant.ok("PUT", f"/api/v1/actuators/{loud}/25", {"actuator_type": "pump"})
    error = {"ts": now_ms(), "error_code": 4711, "severity": "critical", "message": "the pump is dry"}
    alert = {"ts": now_ms(), "gpio": 25, "alert_type": "runtime_protection", "message": "after an hour"}
    cut_off = Message(f"kaiser/god/esp/{garbled}/actuator/25/alert", b'{"gpio": 25, "alert_ty')
    for kind, severity, source, message in (
        ("device_error", "critical", f"{loud}/4711", of_device(loud, "system/error", error)),
        ("actuator_alert", "warning", f"{loud}/25/runtime_protection", of_device(loud, "actuator/25/alert", alert)),
        ("unreadable_alert", "critical", garbled, cut_off),
        ("alert_of_unknown_device", "critical", unknown, of_device(unknown, "actuator/25/alert", alert)),
    ):
        yield Case(kind, severity, source, partial(plant.stack.publish, [message]))


def of_hardware(plant: Plant) -> Iterator[Case]:
    """A device that loses its power, and one that does not take its configuration."""
    lost, stubborn = plant.device(), plant.device()
    yield Case("device_offline", "warning", lost.board.esp_id, lost.board.power_cut, lost.board.power_on)
    stubborn.board.refused_pins = {REFUSED_PIN}
    path = f"/api/v1/esp/devices/{stubborn.board.esp_id}/config"
    sensor = {"gpio": REFUSED_PIN, "sensor_type": "ds18b20", "sensor_name": "Tank"}
    pump = {"gpio": 25, "actuator_type": "pump", "actuator_name": "Pump"}

    def send() -> None:
        plant.ok("POST", path, {"sensors": [sensor], "actuators": [pump]})

    def take() -> None:
        stubborn.board.refused_pins = set()
        send()

    yield Case("config_failed", "warning", stubborn.board.esp_id, send, take)


def of_commands(plant: Plant) -> Iterator[Case]:
    """A pump that refuses a command, and takes the next one."""
    refusing = plant.mocks.make(actuators=[PUMP])
    pump = f"/api/v1/actuators/{refusing}/25"
    plant.ok("PUT", pump, {"actuator_type": "pump"})
    wait_until(lambda: plant.mocks.device(refusing)["online"], "the mock is online", WITHIN_S)

    def command() -> None:
        on = {"command": "ON", "duration_s": 600}
        wait_until(lambda: plant.rest.post(f"{pump}/command", json=on).is_success, "it is taken", WITHIN_S)

    def refuse() -> None:
        plant.mocks.ask("PUT", refusing, "/faults", {"refuse_commands": True})
        command()

    def take() -> None:
        plant.mocks.ask("DELETE", refusing, "/faults")
        command()

    yield Case("command_failed", "warning", f"{refusing}/25", refuse, take)


def of_stops(plant: Plant) -> Iterator[Case]:
    """A device that stops and is cleared, one that refuses to stop, one that refuses to be cleared."""
    sound, deaf, stuck = plant.device(), plant.device(), plant.device(clear_refused_s=float("inf"))
    for device in (sound, deaf, stuck):
        plant.ok("PUT", f"/api/v1/actuators/{device.board.esp_id}/25", {"actuator_type": "pump"})
        plant.ok("POST", f"/api/v1/esp/devices/{device.board.esp_id}/config", {})
        wait_until(partial(device.board.flash.actuators.get, 25), "its pump is configured", WITHIN_S)
    deaf.board.flash.token = "another"

    def stop(device: FirmwareA) -> None:
        plant.ok("POST", "/api/v1/actuators/emergency_stop", {"esp_id": device.board.esp_id, "reason": "leak"})

    def clear(device: FirmwareA) -> None:
        """Ask for the clear as often as the device refuses, which it does for some seconds after its stop."""
        path, body = "/api/v1/actuators/clear_emergency", {"esp_id": device.board.esp_id}
        wait_until(lambda: plant.rest.post(path, json=body).is_success, "the clear is taken", WITHIN_S)

    def stop_and_clear() -> None:
        stop(stuck)
        wait_until(lambda: stuck.board.stopped_at is not None, "the device is stopped", WITHIN_S)
        body = {"esp_id": stuck.board.esp_id}
        answer = plant.rest.post("/api/v1/actuators/clear_emergency", json=body, timeout=60)
        assert answer.status_code == 504, answer.text

    yield Case("stop_in_force", "critical", sound.board.esp_id, lambda: stop(sound), lambda: clear(sound))
    yield Case("stop_refused", "critical", deaf.board.esp_id, lambda: stop(deaf))
    yield Case("stop_not_cleared", "critical", stuck.board.esp_id, stop_and_clear)


def of_rules(plant: Plant) -> Iterator[Case]:
    """Rules that notify, raise an alarm, fail, and fire too often. The pump of the failing one is offline."""
    bed, noisy = next(plant.esp_ids), next(plant.esp_ids)
    plant.ok("PUT", f"/api/v1/actuators/{bed}/25", {"actuator_type": "pump"})
    name = f"hot-{bed.lower()}"
    notifies = plant.rule(bed, {"type": "notification", "severity": "warning", "message": "it is hot"})
    raises = plant.rule(bed, {"type": "alarm", "do": "raise", "name": name, "severity": "critical", "message": "hot"})
    fails = plant.rule(bed, {"type": "actuator", "esp_id": bed, "gpio": 25, "command": "ON", "duration_s": 1})
    fires = plant.rule(noisy, {"type": "notification", "severity": "info", "message": "again"})

    def get_hot() -> None:
        plant.say(bed, COLD, 40.0)

    def remove(rule_id: str) -> None:
        plant.ok("DELETE", f"{RULES}/{rule_id}")

    yield Case("rule_notification", "warning", notifies, get_hot)
    yield Case("rule_alarm", "critical", name, lambda: None, lambda: remove(raises))
    yield Case("rule_failed", "warning", fails, lambda: None, lambda: remove(fails))
    loop = Case("rule_loop", "warning", fires, lambda: wait_until(flap, "the rule pauses", WITHIN_S))

    def flap() -> bool:
        """A pair of readings sets the rule off once, unless it still acts."""
        plant.say(noisy, COLD, 40.0)
        return bool(plant.alarms(loop))

    yield loop


def test_each_kind_of_alarm_of_devices_stops_and_rules_rises_from_its_cause_and_ends(own_stack: Stack):
    """All hold at the same time, and each is on the overview."""
    with plant_of(own_stack, 12) as plant:
        subjects = (of_readings, of_messages, of_hardware, of_commands, of_stops, of_rules)
        cases = [case for subject in subjects for case in subject(plant)]
        for case in cases:
            case.begin()
        alarms = [(case, plant.becomes(case, "raised")) for case in cases]
        severities = {case.kind: alarm["severity"] for case, alarm in alarms}
        assert severities == {case.kind: case.severity for case in cases}
        listed = plant.ok("GET", "/api/v1/overview")
        assert {case.kind for case in cases} <= set(listed["alarm_kinds"])
        for case, alarm in alarms:
            if case.end is None:
                plant.ok("POST", f"{ALARMS}/{alarm['alarm_id']}/acknowledge", {})
            else:
                case.end()
        for case, alarm in alarms:
            after = plant.becomes(case, "closed" if case.end is None else "cleared")
            assert after["alarm_id"] == alarm["alarm_id"], case.kind
        left = plant.ok("GET", "/api/v1/overview")["alarms"]
        assert not {one["alarm_id"] for one in left} & {alarm["alarm_id"] for _, alarm in alarms}


@pytest.fixture
def hook() -> Iterator[HttpReceiver]:
    with http_receiver() as receiver:
        yield receiver


def test_a_severity_without_a_channel_and_a_channel_that_refuses_are_alarms_until_messages_arrive(
    own_stack: Stack, hook: HttpReceiver
):
    missing = Case("no_channel", "warning", "warning", bool)
    refused = Case("delivery_failed", "critical", "hook", bool)
    hook.status = 500
    with plant_of(own_stack, 1) as plant:
        esp_id = next(plant.esp_ids)
        plant.ok("PUT", f"{ALARMS}/limits/{esp_id}/{GPIO}/ds18b20", {"hi": 30})
        plant.say(esp_id, 40.0)
        assert plant.becomes(missing, "raised")["severity"] == missing.severity
        assert "no_channel" in plant.ok("GET", "/api/v1/overview")["alarm_kinds"]
        plant.ok("PUT", "/api/v1/notifications/channels/hook", {"name": "Hook", "url": hook.url})
        plant.ok("PUT", "/api/v1/notifications/routes/hook", {"channels": ["hook"]})
        plant.becomes(missing, "cleared")
        assert plant.becomes(refused, "raised")["severity"] == refused.severity
        assert "delivery_failed" in plant.ok("GET", "/api/v1/overview")["alarm_kinds"]
        hook.status = 200
        wait_until(lambda: [one for one in hook.taken if esp_id in one["message"]], "the alarm arrives", WITHIN_S)
        plant.becomes(refused, "cleared")
