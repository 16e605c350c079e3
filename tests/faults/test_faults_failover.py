"""Servers that are several: a database with a standby that is promoted, and a bus of three of which one is killed."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import nats
import pytest
from harness import Stack, wait_until
from kaiser_stack import mosquitto
from nats_cluster import ClusterServer, certified, nats_cluster, routes
from replicated import Pair, pair
from trial import RECOVERY_S, SETTINGS, trial

DETECTED_AFTER_S = 3.0
"""A cluster manager promotes no standby at the first missed heartbeat."""


@pytest.fixture
def databases(server_folder: Path) -> Iterator[Pair]:
    folder = server_folder / "pair"
    folder.mkdir()
    folder.chmod(0o711)
    with pair(folder) as both:
        yield both


@pytest.fixture
def cluster(server_folder: Path, tmp_path: Path, free_port: Callable[[], int]) -> Iterator[list[ClusterServer]]:
    with nats_cluster(tmp_path, certified(tmp_path), free_port) as servers:
        wait_until(lambda: routes(servers[0]) == {"nats-1", "nats-2"}, "the cluster has formed")
        yield servers


def started(folder: Path, missing: Callable[..., object], **settings: str) -> Iterator[Stack]:
    if not mosquitto.is_installed():
        missing("mosquitto", "mosquitto is not installed")
    stack = Stack(folder, KAISER_MQTT_BROKER="mosquitto", **SETTINGS, **settings)
    try:
        yield stack.start()
    finally:
        stack.stop()


@pytest.fixture
def stack_of_two_databases(databases: Pair, server_folder: Path, missing: Callable[..., object]) -> Iterator[Stack]:
    yield from started(server_folder / "failover", missing, KAISER_DATABASE_URL=databases.url)


@pytest.fixture
def stack_of_a_cluster(
    cluster: list[ClusterServer], server_folder: Path, missing: Callable[..., object]
) -> Iterator[Stack]:
    url = cluster[0].url
    yield from started(server_folder / "cluster", missing, KAISER_NATS_URL=url, KAISER_NATS_REPLICAS="3")


async def test_a_standby_that_is_promoted_under_load_has_every_reading(
    databases: Pair, stack_of_two_databases: Stack, verdicts: Path, seed: int
):
    async with trial(stack_of_two_databases, "failover-postgres", verdicts, seed=seed) as run:
        await asyncio.to_thread(databases.primary.kill)
        run.note("SIGKILL the primary")
        await run.flow(DETECTED_AFTER_S)
        await asyncio.to_thread(databases.promote)
        run.note("the standby is promoted")
        await run.recovered()


async def test_a_cluster_of_three_loses_nothing_when_the_leader_of_the_readings_is_killed(
    cluster: list[ClusterServer], stack_of_a_cluster: Stack, verdicts: Path, seed: int
):
    stack = stack_of_a_cluster
    async with trial(stack, "kill-nats-of-three", verdicts, seed=seed) as run:
        leader = await leader_of(cluster[0].url, "SENSORS")
        victim = next(server for server in cluster if server.name == leader)
        others = [server for server in cluster if server is not victim]
        stack.addresses["nats_url"] = others[0].url
        await asyncio.to_thread(victim.child.kill)
        run.note(f"SIGKILL {leader}, the leader of SENSORS")
        await run.recovered(within_s=2 * RECOVERY_S)


async def leader_of(url: str, stream: str) -> str:
    client = await nats.connect(url)
    try:
        cluster = (await client.jetstream().stream_info(stream)).cluster
    finally:
        await client.close()
    assert cluster is not None
    assert cluster.leader
    return cluster.leader
