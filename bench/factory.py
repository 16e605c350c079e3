"""The factory service: the time from when an AGV's state was due to be sent to its event, and the memory it uses.

The load is 1,000 states/s alongside 2,000 readings/s. Open loop as in `latency`: a state's time counts from when it was
due. It uses its own stack, with the factory's dialect turned on.
"""

import asyncio
import json
import time
from typing import Any

import nats

from bench import sender
from bench.bed import Bed, bed
from bench.latency import percentiles
from bench.load import Address, Line, Numbered, steady

AGVS = 100
RATE = 1000.0
READINGS_RATE = 2000.0
SERIALS, ORDERS = 1000, 5000
_ORDERS_A_MESSAGE = 500
_LAST_EVENTS_S = 3.0
_FILLED_S = 15.0
_DIALECTS = '["esp", "factory"]'
_STEPS = 10


def factory(broker: str, *, quick: bool) -> dict[str, Any]:
    """Percentiles in ms, how many events were seen, the CPU of each process, and the memory of a full factory."""
    seconds = 5.0 if quick else 30.0
    with bed(broker, KAISER_MQTT_DIALECTS=_DIALECTS) as own:
        own.register(1000)
        own.warm_up()
        before_mb = _resident_mb(own)
        found = _at_rate(own, seconds)
        asyncio.run(_fill(own))
        found["memory_mb"] = {"at_start": before_mb, "full": _resident_mb(own)}
    return found


def _at_rate(own: Bed, seconds: float) -> dict[str, Any]:
    job = own.job(int(READINGS_RATE * seconds), devices=1000, rate=READINGS_RATE)
    with sender.start(job) as sending:
        stored_before, cpu_before = own.acknowledged(), own.usage()
        sending.go()
        started = time.time()
        sent, seen = asyncio.run(_states(own, seconds))
        sending.result()
        stored_at = own.until_stored(job, stored_before)
        cpu_after = own.usage()
    took = stored_at - started
    return {
        "event_ms": percentiles(list(seen.values())),
        "sent": sent,
        "events_seen": len(seen),
        "cores_by_process": {
            name: round((cpu_after[name].cpu_s - cpu_before[name].cpu_s) / took, 3)
            for name in cpu_before
            if name in cpu_after
        },
    }


async def _states(own: Bed, seconds: float) -> tuple[int, dict[int, float]]:
    """Send states of AGVs, each with its number as its order; how many, and of each number the time to its event."""
    seen: dict[int, float] = {}
    started = 0.0
    client = await nats.connect(own.stack.addresses["nats_url"])

    async def on_event(message: Any) -> None:
        order_id = json.loads(message.data)["order_id"] or ""
        if order_id.startswith("n"):
            number = int(order_id[1:])
            seen.setdefault(number, time.monotonic() - (started + number / RATE))

    await client.subscribe("event.factory_module.*", cb=on_event)
    await client.flush()
    address = Address(own.stack.addresses["mqtt_host"], int(own.stack.addresses["mqtt_port"]))
    lines = [Line(address, f"bench-agvs-{number}", lambda _: None) for number in range(4)]
    running = [asyncio.create_task(line.run()) for line in lines]
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, stop.set)

    def offer(number: int) -> None:
        serial = f"agv{number % AGVS}"
        message = Numbered(number, f"fts/v1/ff/{serial}/state", _state(serial, number))
        lines[number % AGVS % len(lines)].offer([message])

    started = time.monotonic()
    sent = await steady(RATE, offer, stop)
    await asyncio.sleep(_LAST_EVENTS_S)
    for task in running:
        task.cancel()
    await client.close()
    return sent, seen


async def _fill(own: Bed) -> None:
    """Have the factory know 1,000 modules and 5,000 orders of ten steps."""
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
    line.offer([*modules, *orders])
    await asyncio.sleep(_FILLED_S)
    assert line.open == 0, f"{line.open} messages of the full factory are not acknowledged"
    running.cancel()


def _resident_mb(own: Bed) -> float:
    return round(own.usage()["factory"].resident / 1e6, 1)


def _state(serial: str, number: int) -> bytes:
    action = {"id": f"a{number // AGVS}-{serial}", "command": "DOCK", "state": "RUNNING"}
    return json.dumps(
        {
            "headerId": number,
            "timestamp": "2026-02-13T16:27:26.000Z",
            "serialNumber": serial,
            "orderId": f"n{number}",
            "orderUpdateId": 2,
            "lastNodeId": str(number % 4 + 1),
            "nodeStates": [],
            "edgeStates": [],
            "driving": number % 2 == 0,
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
    at = "2026-02-02T04:00:00.000Z"
    return json.dumps(
        [
            {
                "orderId": f"o{number}",
                "orderType": "PRODUCTION",
                "type": "WHITE",
                "state": "FINISHED",
                "startedAt": at,
                "stoppedAt": at,
                "productionSteps": [
                    {"id": f"s{number}-{step}", "type": "NAVIGATION", "state": "FINISHED", "target": "HBW"}
                    for step in range(_STEPS)
                ],
            }
            for number in range(first, first + _ORDERS_A_MESSAGE)
        ]
    ).encode()
