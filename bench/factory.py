"""The factory service: the time from when an AGV's state was due to be sent to its event, and the memory it uses.

The load is 1,000 states/s alongside 2,000 readings/s: each AGV drives from node to node along the roads, with another
action and another node in each state. TOPICS already keeps as many messages of each AGV's topic as it may, so each
further one deletes another. Open loop as in `latency`: a state's time counts from when it was
due. A state is shown by its own event or by one of a later state of its AGV. A state that is never shown counts with
the whole time that was waited for it, so a lost event makes the figures worse, not better. The memory is read once the
service itself says that it has every serial and every order. It uses its own stack, with the factory's dialect on.
"""

import asyncio
import json
import re
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import httpx
import nats
from harness import wait_until
from kaiser_common.contract.subjects import TOPICS
from kaiser_factory_dialect.subjects import topic_subject
from waiting import until

from bench import sender
from bench.bed import Bed, bed
from bench.latency import percentiles
from bench.load import Address, Line, Numbered, steady

AGVS = 100
RATE = 1000.0
READINGS_RATE = 2000.0
SERIALS, ORDERS = 1000, 5000
_ORDERS_A_MESSAGE = 20
"""About 90 KB, as much as the largest that was recorded."""
_MESSAGES_PER_S = 25.0
_LAST_EVENTS_S = 10.0
_KEPT = 1000
"""Messages that TOPICS keeps of a topic: KAISER_TOPICS_PER_TOPIC is not set in the bench."""
_KEPT_WITHIN_S = 60.0
"""So many together."""
_ENV = "live"
_ROUND = ("1", "2", "4", "3")
"""Nodes of the default layout, each a road from the next."""
_FILLED_WITHIN_S = 120.0
_DIALECTS = '["esp", "factory"]'
_NUMBER = re.compile(rb'"order_id":"n(\d+)"')
_MORE = int(RATE)
"""States encoded beyond the time of the run, which ends by a timer."""
_STEPS = 16
"""Of an order: a blue piece's, which has the most."""


def factory(broker: str, *, quick: bool) -> dict[str, Any]:
    """Percentiles in ms, how many events were seen, the CPU of each process, and the memory of a full factory."""
    seconds = 5.0 if quick else 30.0
    with bed(broker, KAISER_MQTT_DIALECTS=_DIALECTS) as own:
        own.register(1000)
        own.warm_up()
        before_mb = _resident_mb(own)
        kept = 0 if quick else asyncio.run(_keep(own))
        found = _at_rate(own, seconds)
        found["kept_before"] = kept
        asyncio.run(_fill(own))
        found["full"] = {"serials": _known(own, "machines"), "orders": _known(own, "orders")}
        found["memory_mb"] = {"at_start": before_mb, "full": _resident_mb(own)}
    return found


class Shown:
    """When each state was shown, of 100 AGVs whose states are numbered in turn. Times in s."""

    def __init__(self, agvs: int, rate: float) -> None:
        self._agvs = agvs
        self._rate = rate
        self._waiting: defaultdict[int, deque[int]] = defaultdict(deque)
        self.taken: list[float] = []
        self.events = 0

    def sent(self, number: int) -> None:
        """A state is on its way."""
        self._waiting[number % self._agvs].append(number)

    def event(self, number: int, after_start_s: float) -> None:
        """An event says this state: it shows it, and those of the same AGV before it that had no event of their own."""
        waiting = self._waiting[number % self._agvs]
        self.events += bool(waiting) and waiting[0] <= number
        while waiting and waiting[0] <= number:
            self.taken.append(after_start_s - waiting.popleft() / self._rate)

    def end(self, after_start_s: float) -> int:
        """How many states were never shown; each counts as if it were shown now."""
        missing = [number for waiting in self._waiting.values() for number in waiting]
        self.taken += [after_start_s - number / self._rate for number in missing]
        self._waiting.clear()
        return len(missing)


def _at_rate(own: Bed, seconds: float) -> dict[str, Any]:
    job = own.job(int(READINGS_RATE * seconds), devices=1000, rate=READINGS_RATE)
    states = [_numbered(number) for number in range(int(RATE * seconds) + _MORE)]
    with sender.start(job) as sending:
        stored_before, cpu_before = own.acknowledged(), own.usage()
        sending.go()
        started = time.time()
        sent, shown, missing = asyncio.run(_states(own, states, seconds))
        sending.result()
        stored_at = own.until_stored(job, stored_before)
        cpu_after = own.usage()
    took = stored_at - started
    return {
        "event_ms": percentiles(shown.taken),
        "sent": sent,
        "events_seen": shown.events,
        "never_shown": missing,
        "cores_by_process": {
            name: round((cpu_after[name].cpu_s - cpu_before[name].cpu_s) / took, 3)
            for name in cpu_before
            if name in cpu_after
        },
    }


async def _states(own: Bed, states: Sequence[Numbered], seconds: float) -> tuple[int, Shown, int]:
    """Send states of AGVs, each with its number as its order: how many, when they were shown, how many never were.

    They are encoded before the run, and of the events only the orders are read, so that the CPU is left to the stack.
    """
    shown = Shown(AGVS, RATE)
    started = 0.0
    client = await nats.connect(own.stack.addresses["nats_url"])

    async def on_event(message: Any) -> None:
        seen_at = time.monotonic() - started
        for number in _NUMBER.findall(message.data):
            shown.event(int(number), seen_at)

    await client.subscribe("event.factory_module.*", cb=on_event)
    await client.flush()
    address = Address(own.stack.addresses["mqtt_host"], int(own.stack.addresses["mqtt_port"]))
    lines = [Line(address, f"bench-agvs-{number}", lambda _: None) for number in range(4)]
    running = [asyncio.create_task(line.run()) for line in lines]
    await until(lambda: all(line.connections for line in lines), "the AGVs are connected")
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, stop.set)

    def offer(number: int) -> None:
        shown.sent(number)
        lines[number % AGVS % len(lines)].offer([states[number]])

    started = time.monotonic()
    sent = await steady(RATE, offer, stop)
    with suppress(AssertionError):
        await until(lambda: len(shown.taken) >= sent, within_s=_LAST_EVENTS_S)
    missing = shown.end(time.monotonic() - started)
    for task in running:
        task.cancel()
    await client.close()
    return sent, shown, missing


async def _keep(own: Bed) -> int:
    """Put as many messages of each AGV's topic on TOPICS as it keeps, past the broker: how many it has then.

    They are marked as messages that are kept alone, so nothing is built from them.
    """
    client = await nats.connect(own.stack.addresses["nats_url"])
    jetstream = client.jetstream(timeout=_KEPT_WITHIN_S)
    for serial in (f"agv{number}" for number in range(AGVS)):
        topic = f"fts/v1/ff/{serial}/state"
        subject, body = topic_subject(_ENV, topic), _state(serial, 0)
        headers = {"Mqtt-Topic": topic, "Kaiser-Verdict": "observed"}
        await asyncio.gather(*(jetstream.publish(subject, body, headers=headers) for _ in range(_KEPT)))
    found = (await jetstream.stream_info(TOPICS.name)).state.messages
    await client.close()
    return int(found)


async def _fill(own: Bed) -> None:
    """Have the factory know 1,000 serials and 5,000 orders of sixteen steps; returns once it says that it does."""
    address = Address(own.stack.addresses["mqtt_host"], int(own.stack.addresses["mqtt_port"]))
    line = Line(address, "bench-fill", lambda _: None)
    running = asyncio.create_task(line.run())
    modules = [
        Numbered(number, f"module/v1/ff/M{number}/state", _module(f"M{number}")) for number in range(SERIALS - AGVS)
    ]
    orders = [
        Numbered(SERIALS + first, "ccu/order/completed", _orders(first))
        for first in range(0, ORDERS, _ORDERS_A_MESSAGE)
    ]
    line.offer(modules)
    try:
        for message in orders:  # a flood would leave the memory of its peak
            line.offer([message])
            await asyncio.sleep(1 / _MESSAGES_PER_S)
        await asyncio.to_thread(
            wait_until,
            lambda: (_known(own, "machines"), _known(own, "orders")) == (SERIALS, ORDERS),
            "the factory has every serial and every order",
            _FILLED_WITHIN_S,
        )
    finally:
        running.cancel()


def _known(own: Bed, what: str) -> int:
    """How many machines or orders the service has in memory, by its own gauge."""
    port = own.stack.addresses["metrics_ports"]["factory"]
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
    return int(sum(float(found) for found in re.findall(rf"^kaiser_factory_{what}\{{.*\}} (\S+)$", text, re.MULTILINE)))


def _resident_mb(own: Bed) -> float:
    return round(own.usage()["factory"].resident / 1e6, 1)


def _numbered(number: int) -> Numbered:
    serial = f"agv{number % AGVS}"
    return Numbered(number, f"fts/v1/ff/{serial}/state", _state(serial, number))


def _state(serial: str, number: int) -> bytes:
    action = {"id": f"a{number // AGVS}-{serial}", "command": "DOCK", "state": "RUNNING"}
    return json.dumps(
        {
            "headerId": number,
            "timestamp": "2026-02-13T16:27:26.000Z",
            "serialNumber": serial,
            "orderId": f"n{number}",
            "orderUpdateId": 2,
            "lastNodeId": _ROUND[number // AGVS % len(_ROUND)],
            "nodeStates": [],
            "edgeStates": [],
            "driving": number // AGVS % 2 == 0,
            "waitingForLoadHandling": False,
            "paused": False,
            "batteryState": {"percentage": 71, "currentVoltage": 8.7, "charging": False},
            "load": [{"loadId": None, "loadType": None, "loadPosition": str(bay)} for bay in (1, 2, 3)],
            "actionState": action,
            "errors": [],
        }
    ).encode()


def _module(serial: str) -> bytes:
    action = {"id": f"a-{serial}", "command": "PICK", "state": "RUNNING"}
    return json.dumps({"serialNumber": serial, "orderId": f"o-{serial}", "actionState": action, "errors": []}).encode()


def _orders(first: int) -> bytes:
    """Orders of sixteen steps as the central control lists them, their ids as long as the real ones."""
    at = "2026-02-02T04:00:00.000Z"
    return json.dumps(
        [
            {
                "orderId": f"{number:08}-0000-4000-8000-000000000000",
                "orderType": "PRODUCTION",
                "type": "BLUE",
                "timestamp": at,
                "receivedAt": at,
                "startedAt": at,
                "stoppedAt": at,
                "workpieceId": f"04{number:012x}",
                "state": "FINISHED",
                "productionSteps": [_step(number, step, at) for step in range(_STEPS)],
            }
            for number in range(first, first + _ORDERS_A_MESSAGE)
        ]
    ).encode()


def _step(order: int, step: int, at: str) -> dict[str, Any]:
    known = {
        "id": f"{order:08}-{step:04}-4000-8000-000000000000",
        "state": "FINISHED",
        "startedAt": at,
        "stoppedAt": at,
    }
    if step % 2 == 0:
        return known | {"type": "NAVIGATION", "source": "HBW", "target": "DRILL"}
    return known | {"type": "MANUFACTURE", "command": "PICK", "moduleType": "DRILL", "serialNumber": "SVR4H76449"}
