"""The firmware of April 2026 (generation B), as seen over MQTT. Nothing of Kaiser is imported.

It publishes at QoS 1. Until a heartbeat ack with an acceptable handover_epoch has registered it, it publishes only
heartbeats, errors and answers. If no such ack comes for 120 s, its actuators go to their defaults.
"""

import json
import time
from typing import Any

from firmware_device import Actuator, Board, Flash, Heard, Refused, Sensor, as_string, compact, to_actuator, to_sensor

CONFIG_PACKET = 4351
COMMAND_PACKET = 511
SMALL_PACKET = 255
_TYPES = ("pump", "valve", "pwm", "relay")
_OWN = (
    ("system/heartbeat/ack", 1),
    ("config", 2),
    ("system/command", 2),
    ("actuator/+/command", 2),
    ("actuator/emergency", 1),
    ("zone/assign", 1),
    ("subzone/assign", 1),
    ("subzone/remove", 1),
    ("subzone/safe", 1),
    ("sensor/+/command", 2),
)
_OPEN = ("config_response", "zone/ack", "subzone/ack")
_BROADCAST_TEXTS = ("command", "action", "auth_token", "reason", "issued_by", "timestamp")


class FirmwareB:
    """A device of generation B; `board` is its hardware. production: a build that stops by broadcast or emergency only
    with a token that was set before. As a context manager it boots, and leaves with DISCONNECT."""

    def __init__(
        self,
        address: tuple[str, int],
        esp_id: str,
        kaiser_id: str = "god",
        *,
        flash: Flash | None = None,
        interval_s: float = 0.5,
        clear_refused_s: float = 5.0,
        ack_timeout_s: float = 120.0,
        production: bool = False,
        credentials: tuple[str, str] | None = None,
    ) -> None:
        self.production = production
        self.ack_timeout_s = ack_timeout_s
        self.registered = False
        self.pending = True
        self.active_epoch = 0
        self.refused_acks = 0
        self.blocked: list[str] = []
        self.rom_codes: list[str] = []
        self.log_level = "INFO"
        self._safe = False
        self._acked_at = time.monotonic()
        self._sequence = 0
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

    def __enter__(self) -> "FirmwareB":
        self.power_on()
        return self

    def __exit__(self, *_: object) -> None:
        self.board.leave()

    def power_on(self) -> None:
        """Boot; the handover epoch is lost with the power."""
        self.active_epoch, self.pending, self._safe, self._sequence = 0, True, False, 0
        self.registered = False
        self.board.power_on()

    # What the board asks

    def packet_limit(self, topic: str) -> int:
        if topic.endswith("/config"):
            return CONFIG_PACKET
        if topic.endswith(("/emergency", "/system/command")):
            return SMALL_PACKET
        return COMMAND_PACKET if "/actuator/" in topic else CONFIG_PACKET

    def will(self) -> str:
        body = {"status": "offline", "esp_id": self.board.esp_id, "reason": "unexpected_disconnect"}
        return compact({**body, "timestamp": self.board.unix()})

    def connected(self) -> None:
        self.registered = False
        self._acked_at = time.monotonic()
        epoch = max(1, self.active_epoch)
        announce = {"esp_id": self.board.esp_id, "handover_epoch": epoch, "session_epoch": epoch, "reason": "boot"}
        announce |= {"ts_ms": int(time.time() * 1000), "boot_ts": str(self.board.unix())}
        self.board.publish(f"kaiser/god/esp/{self.board.esp_id}/session/announce", json.dumps(announce), 1)
        own = [(self.board.topic(tail), qos) for tail, qos in _OWN]
        status = f"kaiser/{self.board.kaiser_id}/server/status"
        self.board.subscribe(*own, ("kaiser/broadcast/emergency", 2), (status, 1))
        self.heartbeat()

    def tick(self, number: int) -> None:
        if number % 5 == 0:
            self.heartbeat()
        if not self._safe and time.monotonic() - self._acked_at > self.ack_timeout_s:
            self._safe = True
            self.board.to_default("no heartbeat ack")
        for sensor in list(self.board.flash.sensors.values()):
            self._reading(sensor)
        if number % 10 == 0:
            for actuator in list(self.board.flash.actuators.values()):
                self._status(actuator)

    def hear(self, heard: Heard) -> None:
        if heard.topic == "kaiser/broadcast/emergency":
            self._broadcast(heard.body)
            return
        if heard.topic.endswith("/server/status"):
            if heard.body.get("status") == "offline":
                self.board.to_default(f"server offline, {heard.body.get('reason')}")
            return
        tail = heard.topic.split(f"/esp/{self.board.esp_id}/")[-1]
        body = heard.body
        levels = tail.split("/")
        if tail == "system/heartbeat/ack":
            self._ack(body)
        elif tail == "config":
            self._config(body)
        elif levels[0] == "actuator" and levels[-1] == "command":
            self._command(int(levels[1]), body)
        elif levels[0] == "sensor" and levels[-1] == "command":
            self._measure(int(levels[1]), body)
        elif tail == "actuator/emergency":
            self._emergency(body)
        elif tail == "system/command":
            self._system_command(as_string(body, "command"), body)
        elif tail == "zone/assign":
            self._zone(body)
        elif levels[0] == "subzone":
            self._subzone(levels[1], body)

    # What it says

    def heartbeat(self) -> None:
        board, flash = self.board, self.board.flash
        degraded = ("persistence", "runtime_state", "network")
        counters = ("offline_enter", "adopting_enter", "adoption_noop", "adoption_delta", "handover_abort")
        self._say(
            "system/heartbeat",
            {
                "esp_id": board.esp_id,
                "zone_id": flash.zone.zone_id,
                "master_zone_id": flash.zone.master_zone_id,
                "zone_assigned": flash.zone.assigned,
                "ts": board.unix(),
                "time_valid": True,
                "boot_sequence_id": f"{board.esp_id}-b{flash.boots}-r1",
                "reset_reason": "POWERON",
                "uptime": board.millis() // 1000,
                "heap_free": 142_336,
                "wifi_rssi": -61,
                "wifi_ip": "192.168.1.57",
                "sensor_count": len(flash.sensors),
                "actuator_count": len(flash.actuators),
                "metrics_schema_version": 1,
                "active_handover_epoch": self.active_epoch,
                "handover_contract_reject_count": self.refused_acks,
                "mqtt_circuit_breaker_open": False,
                "config_status": {"wifi_configured": True, "boot_count": flash.boots, "state": 8},
                **{f"{name}_degraded": False for name in degraded},
                **{f"{name}_count": 0 for name in counters},
            },
            qos=0,
        )

    def _say(self, tail: str, body: dict[str, Any], qos: int = 1) -> None:
        is_open = tail.startswith("system/heartbeat") or "/response" in tail or "/error" in tail or tail in _OPEN
        if not self.registered and not is_open:
            self.blocked.append(tail)
            return
        self.board.publish(self.board.topic(tail), compact(body), qos)

    def _numbered(self, body: dict[str, Any]) -> dict[str, Any]:
        self._sequence += 1
        return {**body, "seq": self._sequence}

    def _common(self) -> dict[str, Any]:
        zone_id = self.board.flash.zone.zone_id
        return self._numbered({"esp_id": self.board.esp_id, "zone_id": zone_id, "ts": self.board.unix()})

    def _reading(self, sensor: Sensor) -> None:
        is_temperature = sensor.sensor_type == "ds18b20"
        at_rail = sensor.sensor_type in ("ph", "ec", "moisture") and not 50 <= sensor.raw <= 4045
        body = self._common() | {
            "subzone_id": sensor.subzone_id,
            "gpio": sensor.gpio,
            "sensor_type": sensor.sensor_type,
            "raw": sensor.raw,
            "value": sensor.raw * 0.0625 if is_temperature else float(sensor.raw),
            "unit": "°C" if is_temperature else "raw",
            "quality": "suspect" if at_rail else "good",
            "time_valid": True,
            "raw_mode": True,
        }
        if sensor.address:
            body["onewire_address"] = sensor.address
        elif sensor.i2c_address:
            body["i2c_address"] = sensor.i2c_address
        self._say(f"sensor/{sensor.gpio}/data", body)

    def _status(self, actuator: Actuator) -> None:
        body = self._common() | {
            "subzone_id": actuator.subzone_id,
            "gpio": actuator.gpio,
            "type": actuator.actuator_type,
            "state": actuator.on,
            "pwm": actuator.pwm,
            "runtime_ms": 0,
            "emergency": "active" if actuator.stopped else "normal",
        }
        source = {"command_source": actuator.source} if actuator.source else {}
        self._say(f"actuator/{actuator.gpio}/status", body | source)

    def _alert(self, gpio: int, alert_type: str, message: str) -> None:
        self._say(
            f"actuator/{gpio}/alert", self._common() | {"gpio": gpio, "alert_type": alert_type, "message": message}
        )

    def _outcome(self, flow: str, body: dict[str, Any], outcome: str, code: str, reason: str) -> None:
        number = self.board.millis()
        self._say(
            "system/intent_outcome",
            self._numbered(
                {
                    "flow": flow,
                    "intent_id": body.get("intent_id") or f"{flow}_{number}_1",
                    "correlation_id": body.get("correlation_id") or f"corr_{number}_1",
                    "outcome": outcome,
                    "contract_version": 2,
                    "code": code,
                    "reason": reason,
                    "retryable": False,
                    "ts": self.board.unix(),
                }
            ),
        )

    def _answer_config(self, scope: str, status: str, correlation_id: str, **more: Any) -> None:
        body = {"status": status, "type": scope, **more, "correlation_id": correlation_id}
        self._say("config_response", self._numbered(body))

    # What it does

    def _ack(self, body: dict[str, Any]) -> None:
        epoch = body.get("handover_epoch")
        expected = not self.active_epoch or epoch == self.active_epoch
        if "status" not in body or type(epoch) is not int or epoch == 0 or not expected:
            self.refused_acks += 1
            self.board.note(f"ack refused: handover_epoch {epoch!r}")
            return
        self.registered, self.active_epoch = True, epoch
        self._acked_at, self._safe = time.monotonic(), False
        self.pending = body["status"] not in ("approved", "online")

    def _config(self, body: dict[str, Any]) -> None:
        correlation_id = body.get("correlation_id") or ""
        if not correlation_id:
            made = f"fw_{self.board.esp_id}_{self.board.millis()}_1"
            text = "Config contract violation: required correlation_id missing"
            self._answer_config(
                "system", "error", made, count=0, message=text, error_code="CONTRACT_MISSING_CORRELATION"
            )
            return
        if not self.registered:
            self._outcome("config", body, "rejected", "REGISTRATION_PENDING", "Config update rejected")
            return
        self._outcome("config", body, "accepted", "COMMAND_ACCEPTED", "Config intent accepted for processing")
        good = [
            self._sensors(body["sensors"], correlation_id) if "sensors" in body else True,
            self._actuators(body["actuators"], correlation_id) if "actuators" in body else True,
        ]
        if not all(good):
            text = "Config apply/persist failed"
            self._answer_config("system", "error", correlation_id, count=0, message=text, error_code="COMMIT_FAILED")
        outcome, code = ("persisted", "NONE") if all(good) else ("failed", "COMMIT_FAILED")
        self._outcome("config", body, outcome, code, "Config committed")

    def _sensors(self, items: list[dict[str, Any]], correlation_id: str) -> bool:
        if not items:
            self._answer_config("sensor", "success", correlation_id, count=0, message="No sensors configured")
            return True
        kept, failures = 0, []
        for item in items:
            try:
                sensor = to_sensor(item)
                if sensor.sensor_type == "ds18b20" and len(sensor.address) != 16:
                    raise Refused("VALIDATION_FAILED", "Sensor validation failed")
            except Refused as refused:
                code = 4010 if refused.error == "MISSING_FIELD" else 4011
                failed = {"type": "sensor", "gpio": item.get("gpio", 0), "error_code": code}
                failures.append({**failed, "error": refused.error, "detail": refused.text})
                continue
            sensor.raw = 341 if sensor.sensor_type == "ds18b20" else 2048
            self.board.keep(sensor)
            kept += 1
        status = "success" if not failures else "partial_success" if kept else "error"
        counts = {"count": kept, "failed_count": len(failures)}
        text = f"{kept} configured, {len(failures)} failed"
        more = {"failures": failures} if failures else {}
        self._answer_config("sensor", status, correlation_id, **counts, message=text, **more)
        return not failures

    def _actuators(self, items: list[dict[str, Any]], correlation_id: str) -> bool:
        good = 0
        for item in items:
            try:
                actuator = to_actuator(item)
                if actuator.actuator_type not in _TYPES:
                    raise Refused("UNKNOWN_ERROR", f"Failed to configure actuator on GPIO {actuator.gpio}")
            except Refused as refused:
                fault = {"message": refused.text, "error_code": refused.error, "failed_item": item}
                self._answer_config("actuator", "error", correlation_id, count=0, **fault)
                continue
            self.board.flash.actuators[actuator.gpio] = actuator
            good += 1
        if good == len(items):
            text = f"Configured {good} actuator(s) successfully" if items else "No actuators configured"
            self._answer_config("actuator", "success", correlation_id, count=good, message=text)
        return good == len(items)

    def _respond(self, gpio: int, body: dict[str, Any], success: bool, message: str) -> None:
        self._say(
            f"actuator/{gpio}/response",
            self._common()
            | {
                "gpio": gpio,
                "command": body.get("command", ""),
                "value": body.get("value", 0),
                "duration": body.get("duration", 0),
                "success": success,
                "message": message,
                "issued_by": body.get("issued_by") or "system:unknown",
            }
            | ({"correlation_id": body["correlation_id"]} if body.get("correlation_id") else {}),
        )

    def _command(self, gpio: int, body: dict[str, Any]) -> None:
        actuator = self.board.flash.actuators.get(gpio)
        code = "" if not self.pending else "PENDING_APPROVAL"
        code = code if self.registered else "REGISTRATION_PENDING"
        if code:
            self._respond(gpio, body, False, f"Rejected before execution (reason_code={code})")
        elif actuator is None:
            self._respond(gpio, body, False, f"Actuator not configured on GPIO {gpio}. Configure via API first.")
        elif actuator.stopped:
            text = "Actuator in emergency stop state. Clear emergency first."
            self._alert(gpio, "emergency_stop", text)
            self._status(actuator)
            self._respond(gpio, body, False, text)
        else:
            actuator.source = body.get("issued_by") or "system:unknown"
            done = self.board.carry_out(actuator, body.get("command", ""), body.get("value", 0))
            if done:
                self._status(actuator)
            text = "Command executed" if done else f"Unknown command: {body.get('command', '')}"
            self._respond(gpio, body, done, text)

    def _measure(self, gpio: int, body: dict[str, Any]) -> None:
        if not self.registered:
            self._outcome("command", body, "rejected", "REGISTRATION_PENDING", "Sensor command rejected")
            return
        found = next((sensor for key, sensor in self.board.flash.sensors.items() if key[0] == gpio), None)
        self._say(
            f"sensor/{gpio}/response",
            self._numbered(
                {
                    "request_id": body.get("request_id", ""),
                    "gpio": gpio,
                    "command": "measure",
                    "success": found is not None,
                    "reason_code": "NONE" if found else "SENSOR_NOT_FOUND",
                    "quality": "good",
                    "sensor_type": found.sensor_type if found else "",
                    "raw": found.raw if found else 0,
                    "ts": self.board.unix(),
                    "intent_id": "sensor_1_1",
                    "correlation_id": "corr_1_1",
                }
            ),
        )

    def _stop(self, reason: str) -> None:
        self.board.stop(reason)
        for actuator in self.board.flash.actuators.values():
            self._alert(actuator.gpio, "emergency_stop", "Actuator stopped")
            self._status(actuator)

    def _emergency(self, body: dict[str, Any]) -> None:
        token = self.board.flash.token
        if not token and self.production:
            self.board.note("emergency refused: no token configured")
            return
        if token and as_string(body, "auth_token") != token:
            self.board.note("emergency refused: token")
            refusal = {"error": "unauthorized", "message": "Invalid auth_token"}
            self._say("actuator/emergency/error", self._numbered(refusal))
            return
        command = as_string(body, "command")
        correlation_id = body.get("correlation_id", "corr_1_1")
        common = {"ts": self.board.unix(), "esp_id": self.board.esp_id, "correlation_id": correlation_id}
        if command == "emergency_stop":
            self._stop("device emergency")
            count = len(self.board.flash.actuators)
            ack = common | {"command": command, "gpio_count": count, "outcome": "executed"}
            self._say("actuator/emergency/ack", self._numbered(ack))
        elif command != "clear_emergency":
            self.board.note(f"emergency ignored: {command}")
            self._outcome("command", body, "rejected", "VALIDATION_FAIL", f"Unsupported emergency command: {command}")
        elif not self.board.clear():
            text = "Safety verification failed"
            self._alert(255, "verification_failed", text)
            self._say("actuator/emergency/error", self._numbered({"error": "clear_failed", "message": text}))
        else:
            cleared = {"status": "emergency_cleared", "timestamp": self.board.millis()}
            self._say("actuator/emergency/response", self._numbered(cleared))
            confirm = common | {"command": command, "state": "cleared"}
            self._say("actuator/recovery_confirm", self._numbered(confirm))

    def _broadcast(self, body: dict[str, Any]) -> None:
        command, action = body.get("command"), body.get("action")
        wrong = next((name for name in _BROADCAST_TEXTS if name in body and not isinstance(body[name], str)), "")
        if wrong in ("command", "auth_token") or (command and action and command != action):
            self._stop("broadcast that breaks the contract: fail-safe")
        elif wrong or (action if command is None else command) not in ("stop_all", "emergency_stop"):
            self.board.note(f"broadcast refused: {wrong or command}")
        elif self.production and (not self.board.flash.token or body.get("auth_token") != self.board.flash.token):
            self.board.note("broadcast refused: token")
        else:
            self._stop("broadcast")

    def _system_command(self, command: str, body: dict[str, Any]) -> None:
        if not self.registered:
            code = "REGISTRATION_PENDING"
            self._answer_command(command, success=False, error=code, reason_code=code)
            return
        given = body.get("params")
        params: dict[str, Any] = given if isinstance(given, dict) else {}
        match command:
            case "status" | "diagnostics" | "get_config":
                counts = {"sensor_count": len(self.board.flash.sensors)}
                self._answer_command(command, success=True, state=8, uptime=self.board.millis() // 1000, **counts)
            case "safe_mode":
                self._stop("safe mode")
                self._answer_command(command, success=True, message="Safe mode")
            case "exit_safe_mode":
                self.board.stopped_at = None
                self.board.clear()
                self._answer_command(command, success=True, message="Safe mode left")
            case "set_log_level":
                self.log_level = str(params.get("level", body.get("level", "")))
                self._answer_command(command, success=True)
            case "set_emergency_token":
                self.board.flash.token = str(params.get("token", body.get("token", "")))
                self._answer_command(command, success=True)
            case "onewire/scan":
                pin = params.get("pin", 4)
                found = [{"rom_code": code, "device_type": "ds18b20", "pin": pin} for code in self.rom_codes]
                self._say("onewire/scan_result", self._numbered({"devices": found, "found_count": len(found)}))
                self._answer_command(command, success=True, found_count=len(found), pin=pin)
            case "factory_reset" if body.get("confirm") is True:
                self.board.flash = Flash(boots=self.board.flash.boots)
                reset = {"status": "factory_reset_initiated", "esp_id": self.board.esp_id}
                self._say("system/command/response", self._numbered(reset))
            case _:
                self.board.note(f"system command unknown: {command}")
                self._answer_command(command, success=False, error="Unknown command")

    def _answer_command(self, command: str, **fields: Any) -> None:
        body = {"command": command, **fields, "esp_id": self.board.esp_id, "ts": self.board.unix()}
        self._say("system/command/response", self._numbered(body))

    def _zone(self, body: dict[str, Any]) -> None:
        zone_id = as_string(body, "zone_id")
        zone_id = "" if zone_id == "null" else zone_id
        zone = self.board.flash.zone
        zone.zone_id = zone_id
        zone.master_zone_id = as_string(body, "master_zone_id") if zone_id else ""
        zone.zone_name = as_string(body, "zone_name") if zone_id else ""
        self._say(
            "zone/ack",
            self._numbered(
                {
                    "esp_id": self.board.esp_id,
                    "status": "zone_assigned" if zone_id else "zone_removed",
                    "zone_id": zone_id,
                    "master_zone_id": zone.master_zone_id,
                    "ts": self.board.unix(),
                    "correlation_id": body.get("correlation_id") or f"fw_{self.board.esp_id}_1_1",
                }
            ),
        )
        self.heartbeat()

    def _subzone(self, verb: str, body: dict[str, Any]) -> None:
        subzone_id = as_string(body, "subzone_id")
        if verb == "assign":
            self.board.flash.subzones[subzone_id] = list(body.get("assigned_gpios", []))
        elif verb == "remove":
            self.board.flash.subzones.pop(subzone_id, None)
        status = {"assign": "subzone_assigned", "remove": "subzone_removed"}.get(verb, "subzone_safe")
        ack: dict[str, Any] = {"esp_id": self.board.esp_id, "status": status, "subzone_id": subzone_id}
        ack |= {"timestamp": self.board.unix(), "correlation_id": body.get("correlation_id") or "fw_1"}
        self._say("subzone/ack", self._numbered(ack))
