"""Runs cases of tests/cases/field-cases.json against a stack: their steps in order, then their checks.

The steps, checks and tokens are those of the file; nothing of Kaiser is imported. A check that must come true is
repeated until it does, for at most 40 s. A check of what must not happen is made once, after the case's own waits. At
the end the checks are made once more, because what held at first may no longer hold.
"""

import json
import os
import random
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import paho.mqtt.client as paho
import psycopg
from esp32 import Device
from harness import Stack, wait_until
from leaving import leave
from paho.mqtt.enums import CallbackAPIVersion
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

_TOKEN = re.compile(r"<(?:(now_s|now_ms|i|ts_s)([+-]\d+)?|(\w+?)_(s|ms)([+-]\d+)?|hex\*(\d+))>")
_WATCHED = "kaiser/+/esp/+/actuator/#"
_TAKEN_WITHIN_S = 20.0
_WITHIN_S = 40.0
_LONGEST_WAIT_S = 21.0
"""Four rollups of this stack's five seconds; the files say 100 s where rollups are made once a minute."""
_EMERGENCY = re.compile(r"/actuator/emergency$")
_OFF = r"/actuator/\\d+/command"
"""How one actuator stops: the firmware has no emergency of one actuator, so it is sent OFF. The case of an alert is
older than that rule and asks for the device's emergency topic; either is a stop that the device hears. A stop of the
device, which a case asks for itself, is the emergency alone."""
_OF_A_DEVICE = "POST /api/v1/actuators/emergency_stop"
_OF_A_RULE = re.compile(r"POST /api/v1/logic/rules$")


class Observer:
    """Evidence for every case: each event that a WebSocket client is sent, and each message on actuator topics."""

    def __init__(self, stack: Stack, rest: httpx.Client) -> None:
        self.frames: list[dict[str, Any]] = []
        self.heard: list[tuple[str, str]] = []
        """Topic and command."""
        self._stack = stack
        self._rest = rest
        self._ended = threading.Event()

    @contextmanager
    def watching(self) -> Iterator["Observer"]:
        """Watch until the end; the WebSocket connects again when it is lost."""
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
        client.on_message = lambda _client, _data, message: self.heard.append(
            (message.topic, _command(bytes(message.payload)))
        )
        client.on_connect = lambda client, *_: client.subscribe(_WATCHED, 1)
        client.reconnect_delay_set(1, 2)
        client.connect(self._stack.addresses["mqtt_host"], self._stack.addresses["mqtt_port"])
        client.loop_start()
        reader = threading.Thread(target=self._read, daemon=True)
        reader.start()
        try:
            wait_until(lambda: self.frames, "the WebSocket client is subscribed")
            yield self
        finally:
            self._ended.set()
            reader.join(10)
            leave(client)

    def _read(self) -> None:
        token = self._rest.headers["Authorization"].removeprefix("Bearer ")
        host = self._stack.addresses["http_url"].removeprefix("http://")
        while not self._ended.is_set():
            try:
                with connect(f"ws://{host}/api/v1/ws/realtime/cases?rate=5000&token={token}") as connection:
                    connection.send(json.dumps({"action": "subscribe", "filters": {}}))
                    while not self._ended.is_set():
                        try:
                            self.frames.append(json.loads(connection.recv(timeout=0.5)))
                        except TimeoutError:
                            continue
            except (ConnectionClosed, OSError):
                self._ended.wait(0.5)


class Case:
    """One case of the file on its stack. `run` returns what did not hold, in words; nothing: the case holds."""

    def __init__(self, stack: Stack, observer: Observer, rest: httpx.Client, case: dict[str, Any]) -> None:
        self._stack = stack
        self._observer = observer
        self._rest = rest
        self._case = case
        self._notes: dict[str, int] = {}
        self._devices: dict[str, Device] = {}
        self._pids: dict[str, int] = {}
        self._random = random.Random(case["name"])
        self._open = ExitStack()

    def run(self) -> list[str]:
        """Do the steps, then the checks."""
        self._pids = {check["lives"]: self._stack.pid(check["lives"]) for check in self._checks("lives")}
        with self._open:
            for step in self._case["steps"]:
                self._step(step)
            faults = [fault for check in self._case["expected"] for fault in self._check(check)]
            # Once more: what held at the first look, such as one event or a process that lives, may be over by now.
            # A check of commands (`at_most`) has sent readings, which count as rows.
            again = self._checks("lives") if self._checks("at_most") else self._case["expected"]
            return faults or [f"later: {fault}" for check in again for fault in self._check(check)]

    def _checks(self, kind: str) -> list[dict[str, Any]]:
        return [check for check in self._case["expected"] if kind in check]

    # Steps

    def _step(self, step: dict[str, Any]) -> None:
        match step:
            case {"rest": request, "body": body}:
                self._request(request, body)
            case {"wait_s": seconds}:
                time.sleep(min(seconds, _LONGEST_WAIT_S))
            case {"publish": topic, "payload": payload}:
                for number in range(step.get("repeat", 1)):
                    self._send([(topic, self._filled(payload, number), bool(step.get("retain")))])
                    time.sleep(step.get("every_s", 0))
            case {"publish_together": messages}:
                repeat = step.get("repeat", 1)
                self._send([(t, self._filled(p, i), False) for i in range(repeat) for t, p in messages])
            case {"publish_series": series}:
                begin = int(time.time()) + series["from_s"]
                times = [begin + number * series["every_s"] for number in range(series["count"])]
                topic, payload = series["topic"], series["payload"]
                self._send([(topic, payload.replace("<ts_s>", str(ts)).encode(), False) for ts in times])
            case {"note_s": name}:
                self._notes[name] = int(time.time())
            case {"note_minute_ms": name}:
                self._notes[name] = (int(time.time()) // 60 - 3) * 60_000
            case {"device": esp_id}:
                self._devices[esp_id] = self._open.enter_context(Device(self._stack, esp_id))
            case {"forget_commands": esp_id}:
                self._devices[esp_id].heard.clear()
            case {"restart": name}:
                self._restart(name)
            case {"freeze": name}:
                os.kill(self._stack.pid(name), signal.SIGSTOP)
            case {"thaw": name}:
                os.kill(self._stack.pid(name), signal.SIGCONT)
            case {"watch": _} | {"listen": _}:
                pass  # the observer watches all of them from the beginning
            case _:
                raise AssertionError(f"a step that the runner does not know: {step}")

    def _request(self, request: str, body: dict[str, Any]) -> None:
        method, path = request.split()

        def taken() -> bool:
            answer = self._rest.request(method, path, json=body)
            assert answer.status_code < 500 or answer.status_code in (503, 504), f"{request}: {answer.text}"
            return answer.is_success

        wait_until(taken, f"{request} is taken", _TAKEN_WITHIN_S)

    def _restart(self, name: str) -> None:
        before = self._stack.pid(name)
        self._stack.kill(name)
        wait_until(lambda: self._stack.pid(name) != before, f"{name} runs again")

    def _filled(self, payload: str, number: int) -> bytes:
        def value(found: re.Match[str]) -> str:
            name, plus, noted, unit, noted_plus, digits = found.groups()
            if digits:
                return f"{self._random.getrandbits(4 * int(digits)):0{digits}x}"
            if name == "i":
                return str(number)
            if name:
                return str(int(time.time() * (1 if name == "now_s" else 1000)) + int(plus or 0))
            assert unit == "s" or noted in self._notes
            return str(self._notes[noted] + int(noted_plus or 0))

        return _TOKEN.sub(value, payload).encode()

    def _send(self, messages: list[tuple[str, bytes, bool]]) -> None:
        send_together(self._stack.addresses["mqtt_host"], self._stack.addresses["mqtt_port"], messages)

    # Checks: each yields what does not hold

    def _check(self, check: dict[str, Any]) -> Iterator[str]:
        if "at_most" in check:
            commands = [command for _, command, _ in self._devices[check["commands"]].commands()]
            found = [command for command in commands if command == check.get("command", command)]
            if len(found) > check["at_most"]:
                yield f"{check}: {found}"
            else:
                yield from self._rule_at_work(check["commands"])
            return
        deadline = time.monotonic() + _WITHIN_S
        while not self._holds(self._seen(check), check):
            if time.monotonic() > deadline:
                yield f"{check}: {self._seen(check)!r}"[:600]
                return
            time.sleep(0.3)

    def _rule_at_work(self, pump: str) -> Iterator[str]:
        """That no command came says something only of a rule that is at work: a good reading makes it send one ON."""
        [rule] = [step["body"] for step in self._case["steps"] if _OF_A_RULE.match(step.get("rest", ""))]
        [condition] = rule["conditions"]
        assert condition["operator"] == "<"
        place = {name: condition[name] for name in ("esp_id", "gpio", "sensor_type")}
        topic = f"kaiser/god/esp/{place['esp_id']}/sensor/{place['gpio']}/data"
        for value in (condition["value"] + 20, condition["value"] - 1):
            body = {**place, "ts": int(time.time() * 1000), "raw": 100, "raw_mode": False, "value": value}
            self._send([(topic, json.dumps(body).encode(), False)])
            time.sleep(0.1)
        heard = self._devices[pump].heard
        deadline = time.monotonic() + _WITHIN_S
        while not (ids := {body["correlation_id"] for _, _, body in list(heard) if body.get("command") == "ON"}):
            if time.monotonic() > deadline:
                yield f"{rule['name']}: a reading of {value} sent no command, so the rule was not at work"
                return
            time.sleep(0.3)
        if len(ids) > 1:
            yield f"{rule['name']}: {len(ids)} commands, one of them for what moves no rule"

    def _holds(self, seen: Any, check: dict[str, Any]) -> bool:
        for name, compare in _COMPARISONS.items():
            if name in check:
                return compare(seen, check[name])
        return bool(seen)

    def _seen(self, check: dict[str, Any]) -> Any:
        match check:
            case {"lives": name}:
                return self._pids[name] == self._stack.pid(name)
            case {"rows": esp_id}:
                return self._rows(esp_id)
            case {"rejected": esp_id}:
                return self._rejected(esp_id)
            case {"rows_and_rejected": esp_id}:
                return self._rows(esp_id) + len(self._rejected(esp_id))
            case {"get": path, "path": inner}:
                return _inner(self._rest.get(path), inner)
            case {"status": path}:
                return self._rest.get(path).status_code
            case {"text_lacks": request}:
                return self._rest.get(request.split()[1]).text
            case {"events": kind, "esp_id": esp_id}:
                return len([frame for frame in list(self._observer.frames) if _is(frame, kind, esp_id, check)])
            case {"heard": topic}:
                return self._stops(topic)
            case {"sql": statement}:
                with psycopg.connect(self._stack.addresses["database_url"], connect_timeout=5) as connection:
                    row = connection.execute(self._filled(statement, 0)).fetchone()
                return row[0] if row else None
        raise AssertionError(f"a check that the runner does not know: {check}")

    def _stops(self, topic: str) -> int:
        """How many stops a device heard on its emergency topic, or as OFF where no stop of the device was asked for."""
        heard = list(self._observer.heard)
        stops = heard.count((topic, "emergency_stop"))
        if any(step.get("rest") == _OF_A_DEVICE for step in self._case["steps"]):
            return stops
        off = re.compile(_EMERGENCY.sub(_OFF, topic))
        return stops + sum(command == "OFF" and bool(off.fullmatch(topic)) for topic, command in heard)

    def _rows(self, esp_id: str) -> int:
        return self._stack.rows([esp_id])

    def _rejected(self, esp_id: str) -> list[int]:
        """The codes of a device's rejections, by number. A page may be short and have a cursor."""
        items: list[dict[str, Any]] = []
        query: dict[str, Any] = {"esp_id": esp_id, "limit": 200}
        while True:
            answer = self._rest.get("/api/v1/rejected", params=query)
            page = answer.json() if answer.is_success else {"items": [], "next_cursor": None}
            items += page["items"]
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
        return [item["code"] for item in sorted(items, key=lambda item: item["seq"])]


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "count": lambda seen, wanted: seen == wanted,
    "codes": lambda seen, wanted: sorted(seen) == sorted(wanted),  # those of one batch are kept by device and code
    "is": lambda seen, wanted: seen == wanted,
    "at_least": lambda seen, wanted: seen >= wanted,
    "length_at_least": lambda seen, wanted: isinstance(seen, list) and len(seen) >= wanted,
    "text": lambda seen, unwanted: bool(seen) and unwanted not in seen,
}


def _command(payload: bytes) -> str:
    """The command of a message to a device; empty where it has none."""
    try:
        body = json.loads(payload)
    except ValueError:
        return ""
    return str(body.get("command", "")) if isinstance(body, dict) else ""


def _is(frame: dict[str, Any], kind: str, esp_id: str, check: dict[str, Any]) -> bool:
    data = frame.get("data") or {}
    return (
        kind in ("*", frame["type"])
        and data.get("esp_id") == esp_id
        and all(data.get(name) == check[name] for name in ("event", "severity") if name in check)
    )


def _inner(answer: httpx.Response, path: str) -> Any:
    """A value in the answer's JSON by its path; None where there is none."""
    if not answer.is_success:
        return None
    value = answer.json()
    for step in path.split("."):
        if isinstance(value, list):
            value = value[int(step)] if int(step) < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def send_together(host: str, port: int, messages: list[tuple[str, bytes, bool]]) -> None:
    """Publish (topic, payload, retain) at QoS 1 in one write; returns when the broker has acknowledged every one."""
    with socket.create_connection((host, port), timeout=20) as connection:
        connection.sendall(_packet(0x10, b"\0\4MQTT\4\2\0\x3c" + b"\0\0"))
        _read_packet(connection)
        packets = [
            _packet(
                0x33 if retain else 0x32, _text(topic.encode()) + (number % 65_535 + 1).to_bytes(2, "big") + payload
            )
            for number, (topic, payload, retain) in enumerate(messages)
        ]
        connection.sendall(b"".join(packets))
        for _ in packets:
            assert _read_packet(connection) == 0x40, "the broker acknowledged"
        connection.sendall(_packet(0xE0, b""))


def _packet(first: int, body: bytes) -> bytes:
    length, size = b"", len(body)
    while True:
        size, low = size >> 7, size & 0x7F
        length += bytes([low | 0x80 if size else low])
        if not size:
            return bytes([first]) + length + body


def _text(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


def _read_packet(connection: socket.socket) -> int:
    """The type of the next packet, all of which are short."""
    head = _exactly(connection, 2)
    _exactly(connection, head[1])
    return head[0] & 0xF0


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        assert part, "the broker closed the connection"
        data += part
    return data
