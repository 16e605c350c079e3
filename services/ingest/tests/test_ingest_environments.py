"""The factory's environments: switched 50 times under load, with a broker that is away among them."""

import asyncio
import base64
import json
import os
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from kaiser_common.bus.connection import Bus, connect
from kaiser_common.bus.rpc import Caller, Nothing, RpcError, call
from kaiser_common.contract.schemas.api.factory import EnvironmentStatus
from kaiser_common.contract.schemas.api.system import MqttProfiles, SwitchProfile
from kaiser_common.contract.schemas.factory import FactoryOutbox
from kaiser_stack.logins import Login
from kaiser_stack.private import PrivateServer
from kaiser_stack.sandbox import Sandbox

ADMIN = Caller(user="ada", role="admin")
ESTABLISHED = "01"
AWAY_S = 3.0
SWITCHES = 50
MACHINES = {"live": "SLIVE", "mock": "SMOCK", "replay": "SREPLAY"}


@pytest.fixture
def sandbox(server_folder: Path, free_port: Callable[[], int]) -> Iterator[Sandbox]:
    """A sandbox broker as `make run` starts it."""
    home = server_folder / f"sandbox-{secrets.token_hex(3)}"
    home.mkdir()
    password = home / "password"
    password.write_text(secrets.token_hex(8))
    server = PrivateServer(Sandbox(home, free_port(), Login("mock", password)), home / "sandbox.log")
    server.start()
    yield server.server
    server.kill()


class Connections:
    """How many connections a process has to some ports, looked at again and again."""

    def __init__(self, pid: int, ports: set[int]) -> None:
        self.most = 0
        self._pid, self._ports = pid, {f"{port:04X}" for port in ports}
        self._stop = threading.Event()

    def watch(self) -> None:
        while not self._stop.wait(0.02):
            self.most = max(self.most, self._count())

    def stop(self) -> None:
        self._stop.set()

    def _count(self) -> int:
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        inodes = {
            f"socket:[{line[9]}]"
            for line in lines
            if line[3] == ESTABLISHED and line[2].rpartition(":")[2] in self._ports
        }
        if not inodes:
            return 0
        held = 0
        for descriptor in Path(f"/proc/{self._pid}/fd").iterdir():
            try:
                held += os.readlink(descriptor) in inodes
            except FileNotFoundError:
                continue
        return held


@contextmanager
def watched(pid: int, ports: set[int]) -> Iterator[Connections]:
    connections = Connections(pid, ports)
    thread = threading.Thread(target=connections.watch)
    thread.start()
    try:
        yield connections
    finally:
        connections.stop()
        thread.join()


def state_of(serial: str, action_id: str) -> bytes:
    action = {"id": action_id, "command": "PICK", "state": "RUNNING"}
    return json.dumps({"serialNumber": serial, "actionState": action}).encode()


@asynccontextmanager
async def machine_at_work(device: Any) -> AsyncIterator[list[str]]:
    """A machine that reports a new action all the time; the ids of its actions."""
    said: list[str] = []

    async def work() -> None:
        while True:
            said.append(f"a{len(said)}")
            await device.publish(len(said), f"module/v1/ff/{MACHINES['live']}/state", state_of("SLIVE", said[-1]))
            await asyncio.sleep(0.1)

    working = asyncio.create_task(work())
    try:
        yield said
    finally:
        working.cancel()


async def switch(bus: Bus, profile: str) -> None:
    request = SwitchProfile(profile=profile)
    await call(bus, "ingest-factory", "switch_profile", request, MqttProfiles, caller=ADMIN, timeout_s=90.0)


async def environment(bus: Bus) -> EnvironmentStatus:
    return await call(bus, "ingest-factory", "environment", Nothing(), EnvironmentStatus, caller=ADMIN)


async def say_in(client: Any, status: EnvironmentStatus, lane: str) -> None:
    """A retained message of a mock or a replay: it names the epoch that it was made for."""
    serial = MACHINES[status.env]
    message = FactoryOutbox(
        topic=f"module/v1/ff/{serial}/state",
        payload_base64=base64.b64encode(state_of(serial, f"e{status.epoch}")).decode(),
        env=status.env,
        epoch=status.epoch,
        queued_at=int(time.time() * 1000),
        retain=True,
    )
    await client.jetstream().publish(f"mqtt.factory.{lane}.{serial}", message.model_dump_json().encode())


async def on_topics(client: Any, env: str) -> list[Any]:
    """Every message of an environment on TOPICS."""
    jetstream = client.jetstream()
    if not (await jetstream.stream_info("TOPICS", subjects_filter=f"topic.{env}.>")).state.subjects:
        return []
    found = []
    subscription = await jetstream.subscribe(f"topic.{env}.>", stream="TOPICS", ordered_consumer=True)
    while True:
        found.append(await subscription.next_msg(timeout=30.0))
        if found[-1].metadata.num_pending == 0:
            await subscription.unsubscribe()
            return found


@pytest.mark.timeout(400)
async def test_fifty_switches_under_load_lose_nothing_and_mix_nothing(
    world_at: Callable[[Any], Any],
    mosquitto_factory: Callable[[], Any],
    sandbox: Sandbox,
    free_port: Callable[[], int],
    until: Callable[..., Any],
) -> None:
    broker = mosquitto_factory()
    world = world_at(broker)
    away = {"host": "127.0.0.1", "port": free_port(), "kind": "mock"}
    ingest = world.ingest(
        KAISER_MQTT_DIALECTS='["factory"]',
        KAISER_MQTT_PROFILES=json.dumps({"away": away}),
        KAISER_SANDBOX_HOST="127.0.0.1",
        KAISER_SANDBOX_PORT=str(sandbox.port),
        KAISER_SANDBOX_PASSWORD_FILE=str(sandbox.login.file),
        KAISER_MQTT_SWITCH_S="30",
    )
    await until(ingest.ready)
    device = await world.device()
    epochs: list[int] = []
    async with connect(world.bus, "tests") as bus, world.client() as client, machine_at_work(device) as said:
        with watched(ingest.pid, {broker.port, sandbox.port}) as connections:
            order = ["mock", "replay", "live"]
            for number in range(SWITCHES):
                wanted = order[number % len(order)]
                await switch(bus, wanted)
                status = await environment(bus)
                assert (status.env, status.kind) == (wanted, wanted)
                assert status.connected_since is not None
                epochs.append(status.epoch)
                if wanted != "live":
                    await say_in(client, status, wanted)
                    seen = len(epochs)

                    async def heard(env: str = wanted, epoch: int = status.epoch) -> bool:
                        return any(each.headers["Kaiser-Epoch"] == str(epoch) for each in await on_topics(client, env))

                    if seen <= 4 or number >= SWITCHES - 3:
                        await until(heard)
            await switch(bus, "live")
            epochs.append((await environment(bus)).epoch)
        assert connections.most == 1
        # A broker that is away: the environment before is in force again, which is a new epoch.
        ingest.kill()
        ingest = world.ingest(
            KAISER_MQTT_DIALECTS='["factory"]',
            KAISER_MQTT_PROFILES=json.dumps({"away": away}),
            KAISER_MQTT_SWITCH_S=str(AWAY_S),
        )
        await until(ingest.connected)  # a standby is ready, too, while the lease of the killed one lasts
        with pytest.raises(RpcError) as failed:
            await switch(bus, "away")
        assert failed.value.problem.status == 502
        await until(ingest.ready)
        status = await environment(bus)
        assert (status.env, status.epoch) == ("live", epochs[-1] + 2)
        assert epochs == list(range(epochs[0], epochs[0] + SWITCHES + 1))

        ids = list(said)

        async def all_there() -> bool:
            found = [json.loads(each.data)["actionState"]["id"] for each in await on_topics(client, "live")]
            return set(ids) <= set(found)

        await until(all_there)
        live = [json.loads(each.data) for each in await on_topics(client, "live")]
        assert {each["serialNumber"] for each in live} == {MACHINES["live"]}
        told = [each["actionState"]["id"] for each in live]
        assert len(told) == len(set(told))
        for env in ("mock", "replay"):
            found = await on_topics(client, env)
            assert {json.loads(each.data)["serialNumber"] for each in found} == {MACHINES[env]}
            # Nothing that was retained before is heard in an epoch that began later.
            assert [
                each.headers["Kaiser-Epoch"]
                for each in found
                if json.loads(each.data)["actionState"]["id"] != f"e{each.headers['Kaiser-Epoch']}"
            ] == []
            assert await on_topics(client, "away") == []
    await device.close()
    assert "already connected" not in broker.log.read_text()
    assert "mqtt_session_lost" not in ingest.log()


async def test_a_command_goes_out_of_a_replay_only_while_it_is_armed(
    world_at: Callable[[Any], Any], mosquitto_factory: Callable[[], Any], until: Callable[..., Any]
) -> None:
    broker = mosquitto_factory()
    world = world_at(broker)
    replay = {"host": broker.host, "port": broker.port, "kind": "replay"}
    ingest = world.ingest(KAISER_MQTT_DIALECTS='["factory"]', KAISER_MQTT_PROFILES=json.dumps({"replay": replay}))
    await until(ingest.ready)
    module = await world.device()
    await module.subscribe("module/v1/ff/S/order")

    async def ask(profile: str, arm: str | None = None) -> EnvironmentStatus:
        request = SwitchProfile(profile=profile, arm=arm)
        await call(bus, "ingest-factory", "switch_profile", request, MqttProfiles, caller=ADMIN, timeout_s=90.0)
        return await environment(bus)

    async def outcome_of(command_id: str, status: EnvironmentStatus) -> str:
        message = FactoryOutbox(
            topic="module/v1/ff/S/order",
            payload_base64=base64.b64encode(command_id.encode()).decode(),
            env=status.env,
            epoch=status.epoch,
            queued_at=int(time.time() * 1000),
            command_id=command_id,
        )
        jetstream = client.jetstream()
        await jetstream.publish("mqtt.factory.command.S", message.model_dump_json().encode())
        subscription = await jetstream.subscribe(f"factory.{status.env}.sent.{command_id}", stream="FACTORY")
        while True:
            receipt = json.loads((await subscription.next_msg(timeout=60.0)).data)
            if receipt["outcome"] != "unconfirmed":
                return str(receipt["outcome"])

    async with connect(world.bus, "tests") as bus, world.client() as client:
        for profile, arm, status_code in (("live", "live", 409), ("replay", "Replay", 422)):
            with pytest.raises(RpcError) as refused:
                await ask(profile, arm)
            assert refused.value.problem.status == status_code
        assert await outcome_of("closed", await ask("replay")) == "refused"
        armed = await ask("replay", "replay")
        assert armed.armed
        assert await outcome_of("armed", armed) == "sent"
        ingest.kill()
        ingest.start()
        await until(ingest.connected)
        assert (await environment(bus)).armed
        assert await outcome_of("disarmed", await ask("replay")) == "refused"
        await ask("replay", "replay")
        await ask("live")
        assert await outcome_of("later", await ask("replay")) == "refused"
    await until(lambda: [payload for _, payload in module.heard] == [b"armed"])
    await module.close()


async def test_the_sandbox_takes_the_filters_of_both_dialects(
    world: Any, sandbox: Sandbox, until: Callable[..., Any]
) -> None:
    """NATS refuses filters once the sum of what they may have unacknowledged is over 65,535."""
    ingest = world.ingest(
        KAISER_MQTT_DIALECTS='["esp", "factory"]',
        KAISER_MQTT_PROFILE="mock",
        KAISER_SANDBOX_HOST="127.0.0.1",
        KAISER_SANDBOX_PORT=str(sandbox.port),
        KAISER_SANDBOX_PASSWORD_FILE=str(sandbox.login.file),
    )
    await until(ingest.ready)
    assert "refused filters" not in ingest.log()
