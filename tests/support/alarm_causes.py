"""Causes of alarms in the fault trials: each begins and ends a condition at several devices, by message or request."""

import json
import time
from functools import partial
from typing import Protocol

import httpx
from devices import heartbeat
from harness import Message, Stack, reading, wait_until

GPIO, PUMP_GPIO = 4, 25
HIGH, LOW = 50.0, 20.0
WITHIN_S = 240.0


class Cause(Protocol):
    """A kind of alarm, whose sources it has by device, and how it begins and ends."""

    kind: str
    severity: str

    def source(self, esp_id: str) -> str:
        """The source of a device's alarm."""
        ...

    def begin(self, devices: list[str]) -> None:
        """The condition begins at these devices. May be called again: it then holds already."""
        ...

    def end(self, devices: list[str]) -> None:
        """The condition ends at these devices; may be called again."""
        ...

    def close(self) -> None:
        """Remove what was set up."""
        ...


class Readings:
    """Readings of devices, each later than the one before."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._ts = 0

    def say(self, devices: list[str], value: float) -> None:
        self._ts = max(self._ts + 1, time.time_ns() // 1_000_000)
        publish(self._stack, [reading(esp_id, GPIO, self._ts, value) for esp_id in devices])


class Limit:
    """A sensor beyond its limit: ingest, sensor and alarm are on the way."""

    kind, severity = "limit_hi_hi", "critical"

    def __init__(self, stack: Stack, devices: list[str]) -> None:
        self._readings = Readings(stack)
        with stack.sign_in() as rest:
            for esp_id in devices:
                path = f"/api/v1/alarms/limits/{esp_id}/{GPIO}/ds18b20"
                wait_until(partial(_is_put, rest, path, {"hi_hi": 40}), "a limit is set", WITHIN_S)

    def source(self, esp_id: str) -> str:
        return f"{esp_id}/{GPIO}/ds18b20"

    def begin(self, devices: list[str]) -> None:
        self._readings.say(devices, HIGH)

    def end(self, devices: list[str]) -> None:
        self._readings.say(devices, LOW)

    def close(self) -> None:
        """Limits may stay."""


class OfRule:
    """A rule of each device raises an alarm by its name, and another one clears it."""

    kind, severity = "rule_alarm", "critical"

    def __init__(self, stack: Stack, devices: list[str]) -> None:
        self._stack = stack
        self._readings = Readings(stack)
        self._rules: list[str] = []
        self._readings.say(devices, LOW)
        with stack.sign_in() as rest:
            for esp_id in devices:
                raised = {"do": "raise", "name": self.source(esp_id), "severity": self.severity, "message": "too warm"}
                for operator, value, action in (
                    (">", 40.0, raised),
                    ("<", 30.0, {"do": "clear", "name": self.source(esp_id)}),
                ):
                    sensor = {"esp_id": esp_id, "gpio": GPIO, "sensor_type": "ds18b20"}
                    condition = {"type": "sensor_threshold", **sensor, "operator": operator, "value": value}
                    rule = {
                        "name": f"{esp_id} {action['do']}",
                        "conditions": [condition],
                        "actions": [{"type": "alarm", **action}],
                    }
                    answer = rest.post("/api/v1/logic/rules", json=rule)
                    assert answer.is_success, answer.text
                    self._rules.append(answer.json()["rule_id"])

    def source(self, esp_id: str) -> str:
        return esp_id.lower()

    def begin(self, devices: list[str]) -> None:
        self._readings.say(devices, HIGH)

    def end(self, devices: list[str]) -> None:
        self._readings.say(devices, LOW)

    def close(self) -> None:
        with self._stack.sign_in() as rest:
            for rule_id in self._rules:
                rest.delete(f"/api/v1/logic/rules/{rule_id}").raise_for_status()


class Stop:
    """An emergency stop of one actuator of each device."""

    kind, severity = "stop_in_force", "critical"

    def __init__(self, stack: Stack, devices: list[str]) -> None:
        self._stack = stack

    def source(self, esp_id: str) -> str:
        return f"{esp_id}/{PUMP_GPIO}"

    def begin(self, devices: list[str]) -> None:
        self._press("emergency_stop", devices, {"reason": "fault trial"})

    def end(self, devices: list[str]) -> None:
        self._press("clear_emergency", devices, {})

    def close(self) -> None:
        """All stops are cleared."""

    def _press(self, path: str, devices: list[str], more: dict[str, str]) -> None:
        """Press until it is accepted: a killed actuator cannot say so."""
        for esp_id in devices:
            body = {"esp_id": esp_id, "gpio": PUMP_GPIO, **more}
            wait_until(partial(self._accepted, path, body), f"{path} is accepted", WITHIN_S)

    def _accepted(self, path: str, body: dict[str, object]) -> bool:
        try:
            with self._stack.sign_in() as rest:
                answer = rest.post(f"/api/v1/actuators/{path}", json=body)
        except httpx.HTTPError:
            return False
        assert answer.status_code < 500 or answer.status_code in (502, 503, 504), answer.text
        return answer.is_success or answer.status_code == 404  # nothing is stopped any more: the answer before was lost


class Offline:
    """The broker publishes a device's will, and the device comes back."""

    kind, severity = "device_offline", "warning"

    def __init__(self, stack: Stack, devices: list[str]) -> None:
        self._stack = stack
        self.end(devices)
        with stack.sign_in() as rest:
            for esp_id in devices:
                path = f"/api/v1/esp/devices/{esp_id}"
                wait_until(partial(_is_online, rest, path), "the device is online", WITHIN_S)

    def source(self, esp_id: str) -> str:
        return esp_id

    def begin(self, devices: list[str]) -> None:
        now = int(time.time())
        publish(self._stack, [will(esp_id, now) for esp_id in devices])

    def end(self, devices: list[str]) -> None:
        publish(self._stack, [heartbeat(esp_id) for esp_id in devices])

    def close(self) -> None:
        """The devices are online."""


def will(esp_id: str, at_s: int) -> Message:
    """The will that the broker publishes for a lost device."""
    body = {"status": "offline", "esp_id": esp_id, "reason": "unexpected_disconnect", "timestamp": at_s}
    return Message(f"kaiser/god/esp/{esp_id}/system/will", json.dumps(body).encode())


def publish(stack: Stack, messages: list[Message]) -> None:
    """Publish as devices do: again while the broker does not take the connection."""

    def is_published() -> bool:
        try:
            stack.publish(messages)
        except (OSError, RuntimeError):  # no connection, or it was lost under way
            return False
        return True

    wait_until(is_published, "the broker has the messages", WITHIN_S)


def _is_put(rest: httpx.Client, path: str, body: dict[str, float]) -> bool:
    return rest.put(path, json=body).is_success


def _is_online(rest: httpx.Client, path: str) -> bool:
    return bool(rest.get(path).json()["online"])
