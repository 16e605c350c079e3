"""NATS as deploy/kubernetes runs it: three servers, three copies, one may go."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kaiser_common.bus import Bus, connect
from kaiser_common.declare import apply
from kaiser_common.settings import CommonSettings
from kaiser_common.subjects import SENSORS, STREAMS
from kaiser_stack.nats import _binary
from kaiser_stack.process import Child, Program

CONF = Path(__file__).parents[1] / "deploy/kubernetes/base/nats/nats.conf"


@pytest.fixture
def cluster(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[list[tuple[str, Child]]]:
    """Three servers with the shipped configuration on ports of their own, without users: (url, process) each."""
    clients, peers = [free_port() for _ in range(3)], [free_port() for _ in range(3)]
    servers = []
    for number in range(3):
        text = CONF.read_text().replace('include "users.conf"', "").replace("$POD_NAME", f"nats-{number}")
        text = text.replace("0.0.0.0", "127.0.0.1").replace("port: 4222", f"port: {clients[number]}")
        text = text.replace(":8222", f":{free_port()}").replace("port: 6222", f"port: {peers[number]}")
        for other in range(3):
            text = text.replace(f"nats-{other}.nats-peers:6222", f"127.0.0.1:{peers[other]}")
        text = text.replace("  host:", f"  port: {peers[number]}\n  host:").replace('"/data"', f'"{tmp_path}/{number}"')
        config = tmp_path / f"nats-{number}.conf"
        config.write_text(text)
        child = Child(Program(f"nats-{number}", (_binary(), "-c", str(config))), tmp_path / f"nats-{number}.log")
        servers.append((f"nats://127.0.0.1:{clients[number]}", child))
    yield servers
    for _, child in servers:
        child.kill()


async def copied(bus: Bus) -> None:
    """Wait until every server has all of SENSORS: one that dies before that leaves no majority that does."""
    async with asyncio.timeout(40):
        while True:
            cluster = (await bus.jetstream.stream_info(SENSORS.name)).cluster
            assert cluster is not None
            if cluster.leader and len(copies := cluster.replicas or []) == 2 and all(one.current for one in copies):
                return
            await asyncio.sleep(0.2)


async def test_a_cluster_keeps_taking_messages_when_a_server_dies(cluster: list[tuple[str, Child]]):
    url = cluster[0][0]
    async with connect(CommonSettings(nats_url=url), "test") as bus:
        await apply(bus)
        assert {(await bus.jetstream.stream_info(one.name)).config.num_replicas for one in STREAMS} == {1}
        assert len(await apply(bus, replicas=3)) >= len(STREAMS)
        assert {(await bus.jetstream.stream_info(one.name)).config.num_replicas for one in STREAMS} == {3}
        assert await apply(bus) == [], "fewer copies than there are is no reason to change"
        await bus.publish("esp.sensor.data.god.ESP_1.4", b"{}", "first", deadline_s=20)
        await copied(bus)
        cluster[2][1].kill()
        await bus.publish("esp.sensor.data.god.ESP_1.4", b"{}", "second", deadline_s=40)
        assert (await bus.jetstream.stream_info(SENSORS.name)).state.messages == 2
