"""A module of the model factory with a session of its own at the broker, as independent of Kaiser as the real one."""

import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import httpx
import paho.mqtt.client as paho
from harness import Stack, wait_until
from leaving import leave
from paho.mqtt.enums import CallbackAPIVersion

MACHINE = "SVRFAULT1"
_OPEN = {"queued", "sent", "unconfirmed", "accepted"}


class Machine:
    """The module of serial MACHINE: it finishes each order that it gets."""

    def __init__(self, stack: Stack) -> None:
        self.orders: Counter[str] = Counter()
        """By action how often it was published: what Mosquitto, killed, delivers once more is no second order."""
        self.acknowledged_at: dict[int, float] = {}
        self._lock = threading.Lock()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=f"machine-{secrets.token_hex(3)}", clean_session=False
        )
        self._client.username_pw_set(stack.addresses["mqtt_username"], stack.addresses["mqtt_password"])
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        self._client.reconnect_delay_set(max_delay=1)
        self._client.connect(stack.addresses["mqtt_host"], int(stack.addresses["mqtt_port"]))
        self._client.loop_start()

    def end(self) -> None:
        leave(self._client)

    def say(self, topic: str, payload: dict[str, Any] | bytes, *, retain: bool = False) -> int:
        """Publish; the message's number among those that the broker acknowledges."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        return self._client.publish(topic, body, qos=1, retain=retain).mid

    def _on_connect(self, *_: Any) -> None:
        self._client.subscribe(f"module/v1/ff/{MACHINE}/order", qos=1)
        self.introduce()

    def introduce(self) -> None:
        """Say what a module says once, as it connects: that it is online, and what it can do."""
        said = {"serialNumber": MACHINE, "connectionState": "ONLINE"}
        self.say(f"module/v1/ff/{MACHINE}/connection", said, retain=True)
        features = {"moduleActions": [{"actionType": "PICK"}]}
        kind = {"seriesName": "MOD-FF22+HBW+24V", "moduleClass": "HBW"}
        factsheet = {"serialNumber": MACHINE, "typeSpecification": kind, "protocolFeatures": features}
        self.say(f"module/v1/ff/{MACHINE}/factsheet", factsheet, retain=True)
        self.say(f"module/v1/ff/{MACHINE}/state", {"serialNumber": MACHINE, "actionState": None})

    def wait(self, sent: list[int]) -> None:
        """Wait until the broker has acknowledged these; what is said while it is away is sent once it is back."""
        wait_until(lambda: self.acknowledged_at.keys() >= set(sent), "the broker acknowledged every message")

    def _on_publish(self, _: Any, __: Any, mid: int, *___: Any) -> None:
        self.acknowledged_at[mid] = time.monotonic()

    def _on_message(self, _: Any, __: Any, message: paho.MQTTMessage) -> None:
        order = json.loads(message.payload)
        if message.dup:
            return
        with self._lock:
            self.orders[order["action"]["id"]] += 1
        action = {"id": order["action"]["id"], "command": order["action"]["command"], "state": "FINISHED"}
        self.say(f"module/v1/ff/{MACHINE}/state", {"serialNumber": MACHINE, "actionState": action, "errors": [{}]})


def pick(rest: httpx.Client) -> str | None:
    """Ask for a command; its id, None where the request failed: then it may have been made, or not."""
    request = {"do": "command", "serial": MACHINE, "command": "PICK", "metadata": {"type": "WHITE"}}
    try:
        answer = rest.post("/api/v1/factory/steering", json=request, headers={"Idempotency-Key": secrets.token_hex(8)})
    except httpx.HTTPError:
        return None
    return answer.json()["commands"][0]["command_id"] if answer.status_code == 202 else None


def until_ended(rest: httpx.Client) -> dict[str, dict[str, Any]]:
    """The machine's commands by id, from the journal, once each of them has ended."""

    def ended() -> dict[str, dict[str, Any]] | None:
        try:
            items = rest.get("/api/v1/factory/commands", params={"limit": 1000}).json().get("items", [])
        except httpx.HTTPError:
            return None
        found = {each["command_id"]: each for each in items if each["serial"] == MACHINE}
        return None if any(each["state"] in _OPEN for each in found.values()) else found

    found: dict[str, dict[str, Any]] = wait_until(ended, "every command of the machine has ended")
    return found


def check_commands(machine: Machine, ended: Iterable[dict[str, Any]], *, redelivers: bool = False) -> None:
    """No command was written twice, none after it had expired, and none has finished that the machine does not have.

    redelivers: the broker may deliver a message again without marking it as a duplicate (docs/guarantees.md).
    """
    states = {each["action_id"]: each["state"] for each in ended}
    assert redelivers or [action for action, times in machine.orders.items() if times > 1] == []
    assert machine.orders.keys() <= states.keys()
    assert [one for one in machine.orders if states[one] == "expired"] == []
    assert [one for one, state in states.items() if state == "finished" and one not in machine.orders] == []
