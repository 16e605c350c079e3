"""The firmware of January 2026 (generation A), as seen over MQTT. Nothing of Kaiser is imported.

Every publish is QoS 0 and most are retained. It has no registration and no correlation ids. It answers each scope of a
configuration, with one error for each item it refuses. The real firmware sends readings through an HTTP service that no
installation has; this device behaves like one whose circuit breaker for that service is open: it publishes raw counts
with the unit "raw", negative ones as unsigned numbers.
"""

from typing import Any

from firmware_device import Board, Flash, Heard, Refused, Sensor, as_string, compact, to_actuator, to_sensor

PACKET = 2048
HEADER = 7
"""Bytes that PubSubClient's buffer needs beside topic and payload."""
_SUBSCRIPTIONS = (
    "system/command",
    "config",
    "actuator/+/command",
    "actuator/emergency",
    "zone/assign",
    "subzone/assign",
    "subzone/remove",
)


class FirmwareA:
    """A device of generation A; `board` is its hardware. As a context manager it boots, and leaves with DISCONNECT."""

    def __init__(
        self,
        address: tuple[str, int],
        esp_id: str,
        kaiser_id: str = "god",
        *,
        flash: Flash | None = None,
        interval_s: float = 0.5,
        clear_refused_s: float = 5.0,
        packet: int = PACKET,
        credentials: tuple[str, str] | None = None,
    ) -> None:
        self._packet = packet
        self.board = Board(
            address,
            esp_id,
            kaiser_id,
            lambda _board: self,
            flash=flash,
            interval_s=interval_s,
            clear_refused_s=clear_refused_s,
            credentials=credentials,
        )

    def __enter__(self) -> "FirmwareA":
        self.board.power_on()
        return self

    def __exit__(self, *_: object) -> None:
        self.board.leave()

    # What the board asks

    def packet_limit(self, topic: str) -> int:
        return self._packet - HEADER

    def will(self) -> str:
        return compact({"status": "offline", "reason": "unexpected_disconnect", "timestamp": self.board.unix()})

    def connected(self) -> None:
        self.heartbeat()
        own = [(self.board.topic(tail), 0) for tail in _SUBSCRIPTIONS]
        self.board.subscribe(*own, ("kaiser/broadcast/emergency", 0))

    def tick(self, number: int) -> None:
        for sensor in list(self.board.flash.sensors.values()):
            self._reading(sensor)
        if number % 5 == 0:
            for gpio in list(self.board.flash.actuators):
                self.status(gpio)
            self.heartbeat()

    def hear(self, heard: Heard) -> None:
        if heard.topic == "kaiser/broadcast/emergency":
            self._stop("broadcast")  # whatever it says
            return
        tail = heard.topic.split(f"/esp/{self.board.esp_id}/")[-1]
        body = heard.body
        levels = tail.split("/")
        if tail == "config":
            self._configure("sensor", body.get("sensors"))
            self._configure("actuator", body.get("actuators"))
        elif levels[0] == "actuator" and levels[-1] == "command":
            self._command(int(levels[1]), body)
        elif tail == "actuator/emergency":
            self._emergency(body)
        elif tail == "system/command":
            self._system_command(body)
        elif tail == "zone/assign":
            self._zone(body)
        elif tail in ("subzone/assign", "subzone/remove"):
            self._subzone(tail, body)

    # What it says

    def heartbeat(self) -> None:
        zone, flash = self.board.flash.zone, self.board.flash
        self._say(
            "system/heartbeat",
            {
                "esp_id": self.board.esp_id,
                "zone_id": zone.zone_id,
                "master_zone_id": zone.master_zone_id,
                "zone_assigned": zone.assigned,
                "ts": self.board.unix(),
                "uptime": self.board.millis() // 1000,
                "heap_free": 181_244,
                "wifi_rssi": -58,
                "sensor_count": len(flash.sensors),
                "actuator_count": len(flash.actuators),
            },
            retain=False,
        )

    def _say(self, tail: str, body: dict[str, Any], retain: bool = True) -> None:
        self.board.publish(self.board.topic(tail), compact(body), 0, retain)

    def _common(self) -> dict[str, Any]:
        return {"esp_id": self.board.esp_id, "zone_id": self.board.flash.zone.zone_id, "ts": self.board.unix()}

    def _reading(self, sensor: Sensor) -> None:
        raw = sensor.raw & 0xFFFF_FFFF
        body = self._common() | {
            "subzone_id": sensor.subzone_id,
            "gpio": sensor.gpio,
            "sensor_type": sensor.sensor_type,
            "raw": raw,
            "value": float(raw),
            "unit": "raw",
            "quality": "fair",
            "raw_mode": True,
        }
        if sensor.address:
            body["onewire_address"] = sensor.address
        self._say(f"sensor/{sensor.gpio}/data", body)

    def status(self, gpio: int) -> None:
        actuator = self.board.flash.actuators[gpio]
        self._say(
            f"actuator/{gpio}/status",
            {
                **self._common(),
                "subzone_id": actuator.subzone_id,
                "gpio": gpio,
                "type": actuator.actuator_type,
                "state": actuator.on,
                "pwm": actuator.pwm,
                "runtime_ms": 0,
                "emergency": "active" if actuator.stopped else "normal",
            },
        )

    def _alert(self, gpio: int, alert_type: str, message: str) -> None:
        body = {**self._common(), "gpio": gpio, "alert_type": alert_type, "message": message}
        self._say(f"actuator/{gpio}/alert", body)

    def _answer_config(self, scope: str, count: int, message: str, code: str = "", item: Any = None) -> None:
        body: dict[str, Any] = {"status": "error" if code else "success", "type": scope, "count": count}
        body["message"] = message
        if code:
            body["error_code"] = code
            body |= {"failed_item": item} if item else {}
        self._say("config_response", body)

    # What it does

    def _configure(self, scope: str, items: Any) -> None:
        if not isinstance(items, list) or not items:
            fault = "config array is empty" if items == [] else f"config missing '{scope}s' array"
            self._answer_config(scope, 0, f"{scope.title()} {fault}", "MISSING_FIELD")
            return
        good = 0
        for item in items:
            try:
                self._keep(scope, item)
            except Refused as refused:
                self._answer_config(scope, 0, refused.text, refused.error, item)
            else:
                good += 1
        if good == len(items):
            self._answer_config(scope, good, f"Configured {good} {scope}(s) successfully")

    def _keep(self, scope: str, item: dict[str, Any]) -> None:
        if item.get("gpio") in self.board.refused_pins:
            raise Refused("UNKNOWN_ERROR", f"Failed to configure {scope} on GPIO {item['gpio']}")
        if scope == "actuator":
            actuator = to_actuator(item)
            self.board.flash.actuators[actuator.gpio] = actuator
            return
        sensor = to_sensor(item)
        if item.get("active", True):
            self.board.keep(sensor)
        else:
            self.board.flash.sensors.pop(sensor.key, None)

    def _command(self, gpio: int, body: dict[str, Any]) -> None:
        actuator = self.board.flash.actuators.get(gpio)
        done = actuator is not None and self.board.carry_out(actuator, body.get("command", ""), body.get("value", 0))
        if done:
            self.status(gpio)
        self._say(
            f"actuator/{gpio}/response",
            {
                **self._common(),
                "gpio": gpio,
                "command": body.get("command", ""),
                "value": body.get("value", 0.0),
                "duration": body.get("duration", 0),
                "success": done,
                "message": "Command executed" if done else "Command failed",
            },
        )

    def _stop(self, reason: str) -> None:
        self.board.stop(reason)
        for gpio in self.board.flash.actuators:
            self._alert(gpio, "emergency_stop", "Actuator stopped")

    def _emergency(self, body: dict[str, Any]) -> None:
        if as_string(body, "auth_token") != (self.board.flash.token or self.board.esp_id):
            self.board.note("emergency refused: token")
            self._say("actuator/emergency/error", {"error": "unauthorized", "message": "Invalid auth_token"})
            return
        command = as_string(body, "command")
        if command == "emergency_stop":
            self._stop("device emergency")
        elif command != "clear_emergency":
            self.board.note(f"emergency ignored: {command}")
        elif self.board.clear():
            self._say("actuator/emergency/response", {"status": "emergency_cleared", "timestamp": self.board.millis()})
        else:
            self._alert(255, "verification_failed", "Safety verification failed")
            self._say("actuator/emergency/error", {"error": "clear_failed", "message": "Safety verification failed"})

    def _system_command(self, body: dict[str, Any]) -> None:
        if as_string(body, "command") != "factory_reset" or body.get("confirm") is not True:
            self.board.note(f"system command ignored: {body.get('command')}")
            return
        boots = self.board.flash.boots
        self.board.flash = Flash(boots=boots)
        self._say("system/command/response", {"status": "factory_reset_initiated", "esp_id": self.board.esp_id})

    def _zone(self, body: dict[str, Any]) -> None:
        zone_id = as_string(body, "zone_id")
        if not zone_id:
            self.board.note("empty zone_id ignored")
            return
        zone = self.board.flash.zone
        zone.zone_id, zone.master_zone_id = zone_id, as_string(body, "master_zone_id")
        zone.zone_name = as_string(body, "zone_name")
        ack = {"esp_id": self.board.esp_id, "status": "zone_assigned", "zone_id": zone_id}
        self._say("zone/ack", {**ack, "master_zone_id": zone.master_zone_id, "ts": self.board.unix()})
        self.heartbeat()

    def _subzone(self, tail: str, body: dict[str, Any]) -> None:
        subzone_id = as_string(body, "subzone_id")
        if tail == "subzone/assign":
            self.board.flash.subzones[subzone_id] = list(body.get("assigned_gpios", []))
        else:
            self.board.flash.subzones.pop(subzone_id, None)
        status = "subzone_assigned" if tail == "subzone/assign" else "subzone_removed"
        ack = {"esp_id": self.board.esp_id, "status": status, "subzone_id": subzone_id}
        self._say("subzone/ack", {**ack, "timestamp": self.board.millis() // 1000})
