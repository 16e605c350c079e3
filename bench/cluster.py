"""NATS as a cluster of three servers on this machine: packs a second into a stream with one replica, and with three.

The servers have the configuration of deploy/kubernetes: each message is written through to the disk, and those of three
replicas are acknowledged by two servers at least. A pack is as large as one of a hundred readings.
"""

import asyncio
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import nats
import nats.errors
import nats.js.errors
from harness import wait_until
from nats.js.api import StorageType, StreamInfo
from nats.js.client import JetStreamContext
from nats_cluster import ClusterServer, certified, nats_cluster, routes
from own_ports import own_ports
from waiting import until

from bench import processes
from bench.scale_figures import READINGS_A_PACK

_PACK = b"x" * 150 * READINGS_A_PACK
_IN_FLIGHT = 16
_ALONE = 200
_WITHIN_S = 120.0
_SUBJECT = "bench.packs"


def cluster(*, quick: bool) -> dict[str, Any]:
    """By number of replicas: packs a second with sixteen on their way, the time (ms, p50) of one alone, and the CPU of
    the three servers together, µs a pack."""
    with tempfile.TemporaryDirectory(prefix="kaiser-bench-") as name:
        folder = Path(name)
        with nats_cluster(folder, certified(folder), own_ports().take) as servers:
            others = {server.name for server in servers[1:]}
            wait_until(lambda: routes(servers[0]) == others, "the cluster has formed")
            count = 2_000 if quick else 20_000
            return {str(replicas): asyncio.run(_stream(servers, replicas, count)) for replicas in (1, 3)}


async def _stream(servers: list[ClusterServer], replicas: int, count: int) -> dict[str, Any]:
    name = f"BENCH{replicas}"
    leader = await _leader_of_new(servers[0], name, replicas)
    client = await nats.connect(next(server.url for server in servers if server.name == leader))
    try:
        jetstream = client.jetstream(timeout=_WITHIN_S, publish_async_max_pending=_IN_FLIGHT)
        alone = [await _one(jetstream) for _ in range(_ALONE)]
        cpu_s = _cpu_s(servers)
        began = time.monotonic()
        for _ in range(count):
            await jetstream.publish_async(_SUBJECT, _PACK, wait_stall=_WITHIN_S)
        async with asyncio.timeout(_WITHIN_S):
            await jetstream.publish_async_completed()
        took_s = time.monotonic() - began
        used_s = _cpu_s(servers) - cpu_s
        stored = (await jetstream.stream_info(name)).state.messages
        await jetstream.delete_stream(name)
    finally:
        await client.close()
    assert stored == count + _ALONE, f"{stored} of {count + _ALONE} packs are stored"
    return {
        "packs_per_s": round(count / took_s),
        "alone_p50_ms": round(median(alone) * 1000, 2),
        "cpu_us_per_pack": round(used_s / count * 1e6),
    }


async def _leader_of_new(server: ClusterServer, name: str, replicas: int) -> str:
    """Make the stream, and the name of the server that leads it. A cluster that has just formed has no leader yet."""
    client = await nats.connect(server.url)
    jetstream = client.jetstream()

    async def made() -> StreamInfo | None:
        try:
            return await jetstream.add_stream(
                name=name, subjects=[_SUBJECT], num_replicas=replicas, storage=StorageType.FILE
            )
        except (nats.errors.TimeoutError, nats.js.errors.APIError, nats.errors.NoRespondersError):
            return None

    try:
        await until(made, f"the stream {name} is made")
        found = await until(lambda: _leader(jetstream, name), f"the stream {name} has a leader")
    finally:
        await client.close()
    return str(found)


async def _leader(jetstream: JetStreamContext, name: str) -> str | None:
    found = (await jetstream.stream_info(name)).cluster
    return found.leader if found else None


async def _one(jetstream: JetStreamContext) -> float:
    """Seconds from publishing a pack to its acknowledgement."""
    began = time.monotonic()
    await jetstream.publish(_SUBJECT, _PACK)
    return time.monotonic() - began


def _cpu_s(servers: list[ClusterServer]) -> float:
    return sum(processes.usage(server.child.pid).cpu_s for server in servers)
