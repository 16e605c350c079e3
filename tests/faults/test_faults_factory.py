"""The factory under faults: a recorded production and commands go on while each part is killed, or stands still.

What was sent is on FACTORY, rejected or ignored, each message once; the end is the recorded one; no command is written
twice, and the journal says of each how it ended. Only Mosquitto, killed, may lose what it acknowledged shortly before
(docs/decisions/0010): those messages are sent again, as their senders would.
"""

import asyncio
import json
import os
import secrets
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import nats
import nats.aio.msg
import pytest
from factory_verdict import FactoryEvidence, FactoryVerdict, factory_line, judge_factory
from freezing import tree
from harness import ROOT, Stack, wait_until
from kaiser_factory_dialect.compare import differences
from kaiser_factory_dialect.recordings import Recorded, parse_file
from kaiser_stack import mosquitto
from machine import MACHINE, Machine, check_commands, pick, until_ended
from nats.js.api import StreamSource
from trial import IS_FULL, versions

GOLDEN = ROOT / "tests/golden"
EXPECTED = json.loads((GOLDEN / "factory-session.expected.json").read_text())
FAULTS = [
    ("kill", "factory"),
    ("freeze", "ingest"),
    ("kill", "ingest"),
    ("kill", "mosquitto"),
    ("freeze", "factory"),
    ("kill", "nats"),
    ("kill", "postgres"),
]
COPY = "COPY_OF_FACTORY"
FROZEN_S = 8.0 if IS_FULL else 3.0
"""In the full form longer than a lease lasts."""
LOST_BY_MOSQUITTO_S = 11.5
"""Messages acknowledged so long before the kill may be lost: it writes every 10 s."""
NOT_WANTED = ("omf/", "j1/")
"""Roots that no filter of the factory wants."""
TIMED = {"silent", "last_seen_ms", "skew_ms", "availability", "stale"}
"""Columns that follow from when a message came, which is now and not as recorded."""


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


class Ledger:
    """The factory's messages on the bus."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def follow_factory(self) -> None:
        """From now on NATS copies each message of FACTORY, which is purged behind the store."""
        asyncio.run(self._follow())

    def topics(self) -> list[nats.aio.msg.Msg]:
        """Everything on TOPICS."""
        return asyncio.run(self._topics())

    def kept(self) -> Counter[bytes]:
        """The payloads on TOPICS, each as often as it came."""
        return Counter(each.data for each in self.topics())

    def on_factory(self) -> list[str]:
        """The ids of the messages that were read."""
        return asyncio.run(self._on_factory())

    def rejected(self, topics: set[str]) -> set[str]:
        """The deliveries that were rejected."""
        return {each["delivery"] for each in asyncio.run(self._stack.rejected(topics))}

    async def _follow(self) -> None:
        client = await nats.connect(self._stack.addresses["nats_url"])
        try:
            await client.jetstream().add_stream(name=COPY, mirror=StreamSource(name="FACTORY"))
        finally:
            await client.close()

    async def _topics(self) -> list[nats.aio.msg.Msg]:
        client = await nats.connect(self._stack.addresses["nats_url"])
        try:
            found: list[nats.aio.msg.Msg] = []
            subscription = await client.jetstream().subscribe(
                "topic.live.>", stream="TOPICS", ordered_consumer=True, pending_msgs_limit=-1, pending_bytes_limit=-1
            )
            while True:
                found.append(await subscription.next_msg(timeout=30.0))
                if found[-1].metadata.num_pending == 0:
                    return found
        finally:
            await client.close()

    async def _on_factory(self) -> list[str]:
        client = await nats.connect(self._stack.addresses["nats_url"])
        try:
            jetstream = client.jetstream()
            last = (await jetstream.stream_info("FACTORY")).state.last_seq
            subscription = await jetstream.subscribe(
                "factory.>", stream=COPY, ordered_consumer=True, pending_msgs_limit=-1, pending_bytes_limit=-1
            )
            found: list[str] = []
            while True:
                each = await subscription.next_msg(timeout=60.0)
                found += ids_of(each)
                if each.metadata.sequence.stream >= last:
                    return found
        finally:
            await client.close()


def ids_of(message: nats.aio.msg.Msg) -> list[str]:
    """The ids of the deliveries that a message of FACTORY holds; a receipt has none."""
    if message.subject.startswith("factory.=."):
        return [json.loads(line)["delivery"] for line in message.data.split(b"\n")]
    return [] if message.subject.startswith("factory.live.sent.") else [id_of(message)]


def id_of(message: nats.aio.msg.Msg) -> str:
    """The id by which a message is on each stream once."""
    return str((message.headers or {})["Nats-Msg-Id"])


def disturb(stack: Stack, fault: str, victim: str) -> None:
    """Kill a part, which the stack starts again, or have it stand still for some seconds."""
    if fault == "kill":
        stack.kill(victim)
        return
    pids = tree(stack.pid(victim))
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    threading.Timer(FROZEN_S, lambda: [os.kill(pid, signal.SIGCONT) for pid in pids]).start()


def say_lost_again(machine: Machine, ledger: Ledger, said: list[tuple[Recorded, int]], killed_at: float) -> None:
    """Send again all from the first message that the killed Mosquitto had acknowledged and then lost, in order: a lone
    old state after newer ones would be the newest. AssertionError: something older is lost."""
    marker = {"serialNumber": MACHINE, "actionState": None, "orderId": secrets.token_hex(8)}
    machine.say(f"module/v1/ff/{MACHINE}/state", marker)
    body = json.dumps(marker).encode()
    wait_until(lambda: ledger.kept()[body], "what was sent before has come")
    kept = ledger.kept()
    lost = [
        place
        for place, (message, _) in enumerate(said)
        if not kept[message.payload] and not message.topic.startswith(NOT_WANTED)
    ]
    for place in lost:
        message, number = said[place]
        assert machine.acknowledged_at[number] >= killed_at - LOST_BY_MOSQUITTO_S, f"lost: {message.topic}"
    for message, _ in said[min(lost, default=len(said)) :]:
        machine.say(message.topic, message.payload)


def row_of(module: dict[str, Any]) -> dict[str, Any]:
    """A module as the expectation writes it."""
    loads = [[each["position"], each["type"], each["id"]] for each in module["loads"]]
    errors = [[each["type"], each["level"]] for each in module["errors"]]
    action = module["action"] and {name: module["action"][name] for name in ("id", "command", "state", "result")}
    return {**module, "loads": loads, "errors": errors, "action": action}


def the_end(rest: httpx.Client) -> dict[str, Any]:
    """The factory as it is shown, of what the recording expects."""
    found = {each["serial"]: row_of(each) for each in rest.get("/api/v1/factory/modules").json()["items"]}
    bays = {
        store["hbw"]: {
            bay["location"]: [bay["type"], bay["id"], bay["state"]] if bay.get("type") else None
            for bay in store["bays"]
        }
        for store in rest.get("/api/v1/factory/stock").json()["items"]
    }
    quality = rest.get("/api/v1/factory/quality").json()["items"]
    return {
        "modules": [
            {name: found[each["serial"]].get(name) for name in each if name not in TIMED}
            for each in EXPECTED["modules"]
        ],
        "stock": bays,
        "quality": [[each["result"], each["classification"]] for each in quality],
    }


class Production:
    """A recorded production, in parts, with commands beside it."""

    def __init__(self, stack: Stack, rest: httpx.Client, machine: Machine, ledger: Ledger) -> None:
        self._stack, self._rest, self._machine, self._ledger = stack, rest, machine, ledger
        self.commands: list[str] = []

    def part(self, messages: list[Recorded], fault: str, victim: str) -> None:
        """Send a part, and disturb something in the middle of it."""
        sent: list[tuple[Recorded, int]] = []
        disturbed_at = 0.0
        for number, message in enumerate(messages):
            sent.append((message, self._machine.say(message.topic, message.payload)))
            if number == len(messages) // 2:
                disturb(self._stack, fault, victim)
                disturbed_at = time.monotonic()
            if number % 10 == 0:
                self._pick()
        self._machine.wait([number for _, number in sent])
        wait_until(self._pick, f"{victim} is back")
        if victim == "mosquitto":
            say_lost_again(self._machine, self._ledger, sent, disturbed_at)

    def _pick(self) -> bool:
        command = pick(self._rest)
        if command is not None:
            self.commands.append(command)
        return command is not None

    def orders(self) -> dict[str, str]:
        """The orders with their states."""
        items = self._rest.get("/api/v1/factory/orders", params={"limit": 1000}).json().get("items", [])
        return {each["order_id"]: each["state"] for each in items}


def test_a_production_goes_on_while_each_part_is_killed_or_stands_still(
    stack_of_a_factory: Stack, verdicts: Path
) -> None:
    stack = stack_of_a_factory
    name = "factory-mosquitto"
    started_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    session = parse_file("factory-session.jsonl", (GOLDEN / "factory-session.jsonl").read_bytes()).messages
    size = len(session) // len(FAULTS) + 1
    ledger = Ledger(stack)
    ledger.follow_factory()  # before anything is said
    machine = Machine(stack)
    try:
        with stack.sign_in() as rest:
            wait_until(
                lambda: rest.get(f"/api/v1/factory/modules/{MACHINE}").json().get("connection") == "ONLINE",
                "the factory knows the machine",
            )
            production = Production(stack, rest, machine, ledger)
            for number, (fault, victim) in enumerate(FAULTS):
                production.part(session[number * size : (number + 1) * size], fault, victim)
            wanted = {each["order_id"]: each["state"] for each in EXPECTED["orders"]}
            wait_until(lambda: production.orders() == wanted, "the orders ended as recorded")
            ended = until_ended(rest)
            end = the_end(rest)
    finally:
        machine.end()
    assert set(production.commands) <= ended.keys()
    check_commands(machine, ended.values())
    modules = [{name: value for name, value in each.items() if name not in TIMED} for each in EXPECTED["modules"]]
    wanted_end = {"modules": modules, "stock": EXPECTED["stock"], "quality": EXPECTED["quality"]}
    found = judge_factory(evidence_of(session, ledger))
    found.broken.extend(differences(wanted_end, end))
    write(verdicts / f"{name}.json", name, started_at, versions(stack), found)
    print(factory_line(name, len(FAULTS), found))
    assert not found.broken, f"{name}: " + "; ".join(found.broken)
    assert sum(EXPECTED["rejected"].values()) <= found.rejected


def evidence_of(session: list[Recorded], ledger: Ledger) -> FactoryEvidence:
    """The messages that were sent, and those on the bus."""
    topics = ledger.topics()
    return FactoryEvidence(
        sent=Counter(each.payload for each in session),
        kept=Counter(each.data for each in topics),
        unseen={each.payload for each in session if each.topic.startswith(NOT_WANTED)},
        verdicts=[(id_of(each), (each.headers or {})["Kaiser-Verdict"]) for each in topics],
        factory=ledger.on_factory(),
        rejected=ledger.rejected({each.topic for each in session}),
    )


def write(path: Path, name: str, started_at: str, ran: dict[str, str], found: FactoryVerdict) -> None:
    """Keep the verdict for `make faults-results`."""
    body = {"name": name, "started_at": started_at, "versions": ran, "faults": len(FAULTS), "factory": asdict(found)}
    path.write_text(json.dumps(body, indent=2) + "\n")
