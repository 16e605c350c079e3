"""The factory under faults: a recorded production and commands go on while each process and server is killed.

Nothing that the broker acknowledged is lost, no command reaches the machine twice, and the journal says of each how it
ended.
"""

import asyncio
import json
import secrets
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import nats
import paho.mqtt.client as paho
import pytest
from harness import ROOT, Stack, wait_until
from kaiser_factory_dialect.recordings import parse_file
from kaiser_stack import mosquitto

GOLDEN = ROOT / "tests/golden"
EXPECTED = json.loads((GOLDEN / "factory-session.expected.json").read_text())
MACHINE = "SVRFAULT1"
VICTIMS = ["factory", "ingest", "nats", "postgres"]
OPEN = {"queued", "sent", "unconfirmed", "accepted"}
NOT_WANTED = ("omf/", "j1/")
"""Roots that no filter of the factory wants."""


class Machine:
    """A module with a session of its own at the broker, as independent of Kaiser as the real one."""

    def __init__(self, stack: Stack) -> None:
        self.orders: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id=f"machine-{secrets.token_hex(3)}", clean_session=False
        )
        self._client.username_pw_set(stack.addresses["mqtt_username"], stack.addresses["mqtt_password"])
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.connect(stack.addresses["mqtt_host"], int(stack.addresses["mqtt_port"]))
        self._client.loop_start()

    def end(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def say(self, topic: str, payload: dict[str, Any] | bytes, *, retain: bool = False) -> paho.MQTTMessageInfo:
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        return self._client.publish(topic, body, qos=1, retain=retain)

    def _on_connect(self, *_: Any) -> None:
        self._client.subscribe(f"module/v1/ff/{MACHINE}/order", qos=1)
        said = {"serialNumber": MACHINE, "connectionState": "ONLINE"}
        self.say(f"module/v1/ff/{MACHINE}/connection", said, retain=True)
        features = {"moduleActions": [{"actionType": "PICK"}]}
        kind = {"seriesName": "MOD-FF22+HBW+24V", "moduleClass": "HBW"}
        factsheet = {"serialNumber": MACHINE, "typeSpecification": kind, "protocolFeatures": features}
        self.say(f"module/v1/ff/{MACHINE}/factsheet", factsheet, retain=True)
        self.say(f"module/v1/ff/{MACHINE}/state", {"serialNumber": MACHINE, "actionState": None})

    def _on_message(self, _: Any, __: Any, message: paho.MQTTMessage) -> None:
        order = json.loads(message.payload)
        with self._lock:
            self.orders[order["action"]["id"]] += 1
        action = {"id": order["action"]["id"], "command": order["action"]["command"], "state": "FINISHED"}
        self.say(f"module/v1/ff/{MACHINE}/state", {"serialNumber": MACHINE, "actionState": action, "errors": [{}]})


@pytest.fixture
def stack_of_a_factory(tmp_path_factory: pytest.TempPathFactory, missing: Any) -> Iterator[Stack]:
    if not mosquitto.is_installed():
        missing("mosquitto", "mosquitto is not installed")
    folder = tmp_path_factory.mktemp("factory") / "stack"
    stack = Stack(
        folder,
        KAISER_MQTT_BROKER="mosquitto",
        KAISER_MQTT_DIALECTS='["esp", "factory"]',
        KAISER_REQUEST_PER_SECOND="1000",
        KAISER_TOKEN_MINUTES="600",
    )
    try:
        yield stack.start()
    finally:
        stack.stop()


def pick(rest: httpx.Client) -> str | None:
    """Ask for a command; its id, None where the request failed: then it may have been made, or not."""
    request = {"do": "command", "serial": MACHINE, "command": "PICK", "metadata": {"type": "WHITE"}}
    try:
        answer = rest.post("/api/v1/factory/steering", json=request, headers={"Idempotency-Key": secrets.token_hex(8)})
    except httpx.HTTPError:
        return None
    return answer.json()["commands"][0]["command_id"] if answer.status_code == 202 else None


async def kept_on_topics(stack: Stack) -> Counter[bytes]:
    """The payloads that TOPICS holds, each as often as it came."""
    client = await nats.connect(stack.addresses["nats_url"])
    try:
        found: Counter[bytes] = Counter()
        subscription = await client.jetstream().subscribe(
            "topic.live.>", stream="TOPICS", ordered_consumer=True, pending_msgs_limit=-1, pending_bytes_limit=-1
        )
        while True:
            message = await subscription.next_msg(timeout=30.0)
            found[message.data] += 1
            if message.metadata.num_pending == 0:
                return found
    finally:
        await client.close()


def test_a_production_goes_on_while_each_part_is_killed(stack_of_a_factory: Stack) -> None:
    stack = stack_of_a_factory
    session = parse_file("factory-session.jsonl", (GOLDEN / "factory-session.jsonl").read_bytes()).messages
    size = len(session) // len(VICTIMS) + 1
    parts = [session[place : place + size] for place in range(0, len(session), size)]
    machine = Machine(stack)
    commands: list[str] = []
    try:
        with stack.sign_in() as rest:
            wait_until(
                lambda: rest.get(f"/api/v1/factory/modules/{MACHINE}").json().get("connection") == "ONLINE",
                "the factory knows the machine",
            )
            for victim, part in zip(VICTIMS, parts, strict=True):
                published = []
                for number, message in enumerate(part):
                    published.append(machine.say(message.topic, message.payload))
                    if number == len(part) // 2:
                        stack.kill(victim)
                    if number % 10 == 0 and (command := pick(rest)) is not None:
                        commands.append(command)
                for each in published:
                    each.wait_for_publish(60.0)
                wait_until(lambda: (made := pick(rest)) is not None and not commands.append(made), f"{victim} is back")
            wanted = {each["order_id"]: each["state"] for each in EXPECTED["orders"]}

            def orders() -> dict[str, str]:
                items = rest.get("/api/v1/factory/orders", params={"limit": 1000}).json().get("items", [])
                return {each["order_id"]: each["state"] for each in items}

            wait_until(lambda: orders() == wanted, "the orders ended as recorded")

            def journal() -> list[dict[str, Any]]:
                items = rest.get("/api/v1/factory/commands", params={"limit": 1000}).json().get("items", [])
                return [each for each in items if each["serial"] == MACHINE]

            wait_until(
                lambda: (found := journal()) and not any(each["state"] in OPEN for each in found),
                "every command has ended",
                within_s=120.0,
            )
            ended = {each["command_id"]: each for each in journal()}
    finally:
        machine.end()
    assert set(commands) <= ended.keys()
    assert [action for action, times in machine.orders.items() if times > 1] == []
    states = {each["action_id"]: each["state"] for each in ended.values()}
    assert machine.orders.keys() <= states.keys()
    assert [one for one in machine.orders if states[one] == "expired"] == []
    assert [one for one, state in states.items() if state == "finished" and one not in machine.orders] == []

    sent = Counter(each.payload for each in session)
    kept = asyncio.run(kept_on_topics(stack))
    lost = {payload for payload, times in sent.items() if kept[payload] < times}
    unseen = {each.payload for each in session if each.topic.startswith(NOT_WANTED)}
    assert lost - unseen == set()
