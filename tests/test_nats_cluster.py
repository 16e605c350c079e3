"""NATS as deploy/kubernetes runs it: three servers, three copies, one may go, and no other server joins them."""

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import wait_until
from kaiser_common.bus.connection import Bus, connect
from kaiser_common.bus.declare import apply
from kaiser_common.bus.pull import ask
from kaiser_common.contract.subjects import EVENTS, SENSORS, STREAMS
from kaiser_common.runtime.settings import CommonSettings
from kaiser_deploy import certificates
from kaiser_stack.nats import binary
from kaiser_stack.process import Child, Program
from nats_cluster import ClusterServer, certified, nats_cluster, routes


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """The folder of a cluster's certificate for this machine."""
    return certified(tmp_path)


@pytest.fixture
def cluster(tmp_path: Path, certificate: Path, free_port: Callable[[], int]) -> Iterator[list[ClusterServer]]:
    with nats_cluster(tmp_path, certificate, free_port) as servers:
        yield servers


@pytest.mark.parametrize("shown", ["no certificate", "another authority's certificate"])
def test_a_server_without_a_certificate_of_the_cluster_does_not_join(
    shown: str, cluster: list[ClusterServer], certificate: Path, tmp_path: Path, free_port: Callable[[], int]
):
    wait_until(lambda: routes(cluster[0]) == {"nats-1", "nats-2"}, "the cluster has formed", 60)
    (tmp_path / "other").mkdir()
    certificates.make_cluster(tmp_path / "other", ["127.0.0.1"])
    own = tmp_path / "other" / "cluster"
    files = f'cert_file: "{own}/tls.crt", key_file: "{own}/tls.key", ca_file: "{certificate}/ca.crt"'
    tls = f"tls {{ {files} }}" if shown != "no certificate" else ""
    config, log = tmp_path / "other.conf", tmp_path / "other.log"
    config.write_text(
        f"server_name: other\nhost: 127.0.0.1\nport: {free_port()}\n"
        f"cluster {{ name: kaiser, host: 127.0.0.1, port: {free_port()}, {tls}\n"
        f'  routes: ["nats://127.0.0.1:{cluster[0].peers_port}"] }}\n'
    )
    refused = re.compile("TLS route handshake error|TLS handshake error")
    other = Child(Program("other", (binary(), "-c", str(config))), log)
    try:
        wait_until(lambda: refused.search(cluster[0].log.read_text()), "the cluster refuses the other", 60)
        assert routes(cluster[0]) == {"nats-1", "nats-2"}
    finally:
        other.kill()


async def copied(bus: Bus) -> None:
    """Wait until every server has all of SENSORS: one that dies before that leaves no majority that does."""
    async with asyncio.timeout(120):
        while True:
            cluster = (await bus.jetstream.stream_info(SENSORS.name)).cluster
            assert cluster is not None
            if cluster.leader and len(copies := cluster.replicas or []) == 2 and all(one.current for one in copies):
                return
            await asyncio.sleep(0.2)


async def without_limits(bus: Bus) -> None:
    """Make EVENTS as older versions declared it."""
    info = await ask(bus, f"$JS.API.STREAM.INFO.{EVENTS.name}", {})
    config = {**info["config"], "max_consumers": -1, "consumer_limits": {}}
    answer = await ask(bus, f"$JS.API.STREAM.UPDATE.{EVENTS.name}", config, timeout_s=20.0)
    assert "error" not in answer, answer


async def test_a_cluster_keeps_taking_messages_when_a_server_dies(cluster: list[ClusterServer]):
    url = cluster[0].url
    async with connect(CommonSettings(nats_url=url), "test") as bus:
        await apply(bus)
        assert {(await bus.jetstream.stream_info(one.name)).config.num_replicas for one in STREAMS} == {1}
        assert len(await apply(bus, replicas=3)) >= len(STREAMS)
        assert {(await bus.jetstream.stream_info(one.name)).config.num_replicas for one in STREAMS} == {3}
        await without_limits(bus)
        assert await apply(bus) == [EVENTS.name], "a stream of an older version gets its limits"
        assert await apply(bus) == [], "fewer copies than there are is no reason to change"
        await bus.publish("esp.sensor.data.god.ESP_1.4", b"{}", "first", deadline_s=20)
        await copied(bus)
        cluster[2].child.kill()
        await bus.publish("esp.sensor.data.god.ESP_1.4", b"{}", "second", deadline_s=40)
        assert (await bus.jetstream.stream_info(SENSORS.name)).state.messages == 2
