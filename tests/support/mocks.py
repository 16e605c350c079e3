"""Makes mock devices in a stack through REST, and reads what was stored from them."""

import json
import secrets
import time
from typing import Any

import httpx
import psycopg
from harness import Message, Stack, wait_until

PUMP = {"gpio": 25, "actuator_type": "pump"}
_PATH = "/api/v1/debug/mock-esp"


def ok(answer: httpx.Response) -> Any:
    """The answer's JSON; AssertionError with its text where it is a problem."""
    assert answer.is_success, f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}"
    return answer.json() if answer.content else None


class Mocks:
    """Makes mocks and asks about them; `end` deletes them."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.rest = stack.sign_in()
        self._made: list[str] = []

    def end(self) -> None:
        """Delete what was made."""
        for esp_id in self._made:
            self.rest.delete(f"{_PATH}/{esp_id}")
        self.rest.close()

    def make(self, **fields: Any) -> str:
        """Make a mock and wait until it is operational; its id."""
        body = {"esp_id": f"MOCK_{secrets.token_hex(4).upper()}", **fields}
        esp_id = str(ok(self.rest.post(_PATH, json=body))["esp_id"])
        self._made.append(esp_id)
        wait_until(lambda: self.read(esp_id)["state"] == "OPERATIONAL", f"{esp_id} is operational")
        return esp_id

    def make_many(self, count: int, **fields: Any) -> list[str]:
        """Make mocks alike; their ids."""
        run = secrets.token_hex(3).upper()
        ids = [f"MOCK_{run}_{number:03}" for number in range(count)]
        self._made += ids
        ok(self.rest.post(f"{_PATH}/many", json={"devices": [{"esp_id": esp_id, **fields} for esp_id in ids]}))
        return ids

    def ask(self, method: str, esp_id: str, path: str = "", body: Any = None) -> Any:
        """A request about a mock; its answer."""
        return ok(self.rest.request(method, f"{_PATH}/{esp_id}{path}", json=body))

    def read(self, esp_id: str) -> dict[str, Any]:
        """A mock; {} while the simulator is away."""
        answer = self.rest.get(f"{_PATH}/{esp_id}")
        return dict(answer.json()) if answer.status_code == 200 else {}

    def actuator(self, esp_id: str, gpio: int = 25) -> dict[str, Any]:
        """An actuator as the mock has it."""
        items = self.ask("GET", esp_id, "/actuators")["items"]
        return next(dict(item) for item in items if item["gpio"] == gpio)

    def said(self, esp_id: str, ending: str) -> list[dict[str, Any]]:
        """The last messages of the mock on topics that end so, newest first."""
        items = self.ask("GET", esp_id, "/messages")["items"]
        ours = [item for item in items if item["direction"] == "sent" and item["topic"].endswith(ending)]
        return [json.loads(item["payload"]) for item in ours]

    def device(self, esp_id: str) -> dict[str, Any]:
        """The device in the registry; {} where it is not."""
        answer = self.rest.get(f"/api/v1/esp/devices/{esp_id}")
        return dict(answer.json()) if answer.status_code == 200 else {}

    def command(self, esp_id: str, command: str, gpio: int = 25, **fields: Any) -> str:
        """Send an actuator command over MQTT, as Kaiser does; its correlation id."""
        correlation_id = secrets.token_hex(4)
        body = {"command": command, "timestamp": int(time.time()), "correlation_id": correlation_id, **fields}
        topic = f"kaiser/god/esp/{esp_id}/actuator/{gpio}/command"
        self.stack.publish([Message(topic, json.dumps(body).encode())], as_ingest=True)
        return correlation_id

    def rows(self, ids: list[str], gpio: int) -> list[tuple[str, int, float]]:
        """(esp_id, ts in ms, raw value) of the stored readings, by device and time; [] while the database is away."""
        try:
            with psycopg.connect(self.stack.addresses["database_url"], connect_timeout=5) as connection:
                found = connection.execute(
                    "SELECT esp_id, (extract(epoch FROM time) * 1000)::bigint, raw_value FROM sensor.data"
                    " WHERE esp_id = ANY(%s) AND gpio = %s ORDER BY 1, 2",
                    [ids, gpio],
                ).fetchall()
        except psycopg.OperationalError:
            return []
        return [(esp_id, int(ts), float(value)) for esp_id, ts, value in found]

    def readings(self, esp_id: str, gpio: int = 4) -> list[tuple[int, float]]:
        """(ts in ms, raw value) of one sensor's stored readings, oldest first."""
        return [(ts, value) for _, ts, value in self.rows([esp_id], gpio)]

    def rejected(self, esp_id: str) -> list[dict[str, Any]]:
        """Rejected messages of a device."""
        return list(ok(self.rest.get("/api/v1/rejected", params={"esp_id": esp_id, "limit": 100}))["items"])


def walk(steps: int, base: float, width: float) -> list[float]:
    """A drift, step by step: a tenth of the range up from the base, turning at base ± range."""
    value, direction, values = base, 1, []
    for _ in range(steps):
        values.append(round(value, 2))
        if value >= base + width:
            direction = -1
        elif value <= base - width:
            direction = 1
        value = min(max(value + direction * width / 10, base - width), base + width)
    return values


def assert_drift(readings: list[tuple[int, float]], interval_ms: int, base: float, width: float) -> None:
    """Every reading has the value of its step, and none lies beside the grid. What a mock said before it was let in is
    not stored: the first reading here is the first step that has its value."""
    steps = [(ts - readings[0][0]) / interval_ms for ts, _ in readings]
    assert all(step == int(step) for step in steps), steps
    begin = walk(11, base, width).index(readings[0][1])
    expected = walk(begin + int(steps[-1]) + 1, base, width)[begin:]
    assert [value for _, value in readings] == [expected[int(step)] for step in steps]
