"""A process that publishes pre-encoded readings: as fast as they are acknowledged, or at a fixed rate.

`start` starts it. It needs about 1 µs of CPU per message, so it is not a bottleneck and leaves the CPU to what is
measured.
"""

import asyncio
import bisect
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from bench import mqtt_packets

GPIO = 4
BARE = "ccu/bench"
"""Topics for a receiver that is not Kaiser's: the broker lets every client of this machine use the factory's, to which
ingest does not subscribe without that dialect."""
_RAW_OF_A_FAULT = 1360
"""85 °C: what a DS18B20 says that has lost power, which makes a reading bad and raises an alarm."""
_CHUNK = 50
_WINDOW = 1_000
_CONNECTIONS = 4
_TICK_S = 0.001
_ALL_WITHIN_S = 300.0


@dataclass(frozen=True, slots=True)
class Job:
    """Messages to send. Number n is of device n mod len(devices) and of time base_ms + n; rate 0 is as fast as it goes.

    With a `prefix` the topics are not Kaiser's but `<prefix>/<esp_id>`: for a bare receiver.
    """

    host: str
    port: int
    devices: Sequence[str]
    base_ms: int
    count: int
    rate: float = 0.0
    prefix: str = ""
    bad: bool = False
    """Of a type that ingest rejects (5206)."""


def payload(esp_id: str, ts_ms: int, number: int) -> bytes:
    """A reading as a device sends it, about 150 bytes."""
    return (
        b'{"ts":%d,"esp_id":"%b","gpio":%d,"sensor_type":"DS18B20","raw":%d,"raw_value":21.5,"raw_mode":false,'
        b'"value":%d.5,"unit":"\xc2\xb0C","quality":"good"}'
        % (ts_ms, esp_id.encode(), GPIO, number % _RAW_OF_A_FAULT, number % 100)
    )


def numbers(job: Job, place: int) -> list[int]:
    """The messages of one connection: every device has one connection, so its order is kept."""
    return [number for number in range(job.count) if number % len(job.devices) % _CONNECTIONS == place]


def dues(job: Job, place: int) -> list[float]:
    """When each message of one connection is due, in seconds after the start. Made before the run: of 15,000 messages
    it takes 4 ms, which would count as latency of each."""
    return [number / job.rate for number in numbers(job, place)] if job.rate else []


def packets(job: Job, place: int) -> list[bytes]:
    """The packets of one connection."""
    encoded: list[bytes] = []
    for number in numbers(job, place):
        esp_id = job.devices[number % len(job.devices)]
        topic = f"{job.prefix}/{esp_id}" if job.prefix else f"kaiser/god/esp/{esp_id}/sensor/{GPIO}/data"
        packet_id = len(encoded) % mqtt_packets.MAX_PACKET_ID + 1
        body = payload(esp_id, job.base_ms + number, number)
        if job.bad:
            body = body.replace(b'"raw_mode":false', b'"raw_mode":"no"')
        encoded.append(mqtt_packets.publish(topic, body, packet_id))
    return encoded


class _Connection(asyncio.Protocol):
    """Counts acknowledgements; PUBACKs are four bytes each."""

    transport: asyncio.Transport

    def __init__(self, name: str) -> None:
        self._name = name
        self._bytes = -4  # the CONNACK
        self.changed = asyncio.Event()

    @property
    def acknowledged(self) -> int:
        return self._bytes // 4

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(mqtt_packets.connect(self._name))

    def data_received(self, data: bytes) -> None:
        self._bytes += len(data)
        self.changed.set()

    async def more(self) -> None:
        """Wait for something to arrive."""
        self.changed.clear()
        async with asyncio.timeout(_ALL_WITHIN_S):
            await self.changed.wait()


async def _fast(connection: _Connection, encoded: list[bytes]) -> None:
    for start in range(0, len(encoded), _CHUNK):
        while start - connection.acknowledged > _WINDOW:
            await connection.more()
        connection.transport.write(b"".join(encoded[start : start + _CHUNK]))


async def _paced(connection: _Connection, encoded: list[bytes], due_s: list[float], started: float) -> None:
    """By the clock, whatever is acknowledged: a stall of the receiver does not slow the sender down. `due_s`: when each
    packet is to be sent, after `started` (monotonic); nothing is sent before."""
    sent = 0
    while sent < len(encoded):
        due = bisect.bisect_right(due_s, time.monotonic() - started)
        if due > sent:
            connection.transport.write(b"".join(encoded[sent:due]))
            sent = due
        await asyncio.sleep(_TICK_S)


async def _send(job: Job) -> None:
    loop = asyncio.get_running_loop()
    prepared = [packets(job, place) for place in range(_CONNECTIONS)]
    due_s = [dues(job, place) for place in range(_CONNECTIONS)]
    connections = []
    for place in range(_CONNECTIONS):
        named = partial(_Connection, f"bench-{job.base_ms}-{place}")
        _, connection = await loop.create_connection(named, job.host, job.port)
        while connection.acknowledged < 0:  # the CONNACK
            await connection.more()
        connections.append(connection)
    print(json.dumps("ready"), flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    started, began, cpu_before = time.time(), time.monotonic(), time.process_time()
    async with asyncio.TaskGroup() as tasks:
        for connection, encoded, due in zip(connections, prepared, due_s, strict=True):
            tasks.create_task(_paced(connection, encoded, due, began) if job.rate else _fast(connection, encoded))
    for connection, encoded in zip(connections, prepared, strict=True):
        while connection.acknowledged < len(encoded):
            await connection.more()
    cpu_s = time.process_time() - cpu_before
    print(json.dumps({"started": started, "acknowledged": time.time(), "cpu_s": cpu_s}), flush=True)


class Sending:
    """A sender at work."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def go(self) -> None:
        """Begin."""
        assert self._process.stdin
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def result(self) -> dict[str, Any]:
        """Wait until all is acknowledged: `started` and `acknowledged`, in seconds since 1970."""
        assert self._process.stdout
        return dict(json.loads(self._process.stdout.readline()))


@contextmanager
def start(job: Job) -> Iterator[Sending]:
    """A sender that has everything encoded and is connected."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.sender"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        try:
            process.stdin.write(json.dumps(asdict(job)) + "\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline()) == "ready"
            yield Sending(process)
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(_send(Job(**json.loads(sys.stdin.readline()))))
