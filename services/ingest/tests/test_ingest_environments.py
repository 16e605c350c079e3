"""The factory's environments: switched 50 times under load, with brokers that fail among them."""

import asyncio
import base64
import itertools
import json
import os
import secrets
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from kaiser_common.bus.connection import Bus, connect
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.factory import EnvironmentStatus, RestartEnvironment
from kaiser_common.contract.schemas.api.system import MqttProfiles, SwitchProfile
from kaiser_common.contract.schemas.factory import FactoryEnvironment, FactoryOutbox
from kaiser_common.contract.subjects import LEASE_BUCKET
from kaiser_stack.logins import Login
from kaiser_stack.private import PrivateServer
from kaiser_stack.sandbox import Sandbox
from nats.js.errors import NoKeysError

ADMIN = Caller(user="ada", role="admin")
RECORDER = Caller(user="recorder", role="operator")
ESTABLISHED, LISTENS = "01", "0A"
SWITCHES = 50
SWITCH_S = 20.0
FAILING = {10: "closed", 24: "mute", 38: "refuses"}
"""Which of the switches go to which broker that does not come up: from mock, from replay, from live."""
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


@pytest.fixture
async def refusing_port() -> AsyncIterator[int]:
    """A broker that answers every CONNECT with "not authorized" (MQTT 5)."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)
        writer.write(b"\x20\x03\x00\x87\x00")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


class Connections:
    """How many connections a process has to some ports, looked at again and again.

    The kernel's list of all connections of the machine is long, so it is read only if the process has a new socket, or
    if two sockets may be connected to these ports.
    """

    def __init__(self, pid: int, ports: set[int]) -> None:
        self.most = 0
        self._pid, self._ports = pid, {f"{port:04X}" for port in ports}
        self._stop = threading.Event()
        self._here: set[str] = set()
        self._elsewhere: set[str] = set()

    def watch(self) -> None:
        while not self._stop.wait(0.02):
            self.most = max(self.most, self._count())

    def stop(self) -> None:
        self._stop.set()

    def _count(self) -> int:
        held = self._held()
        self._here &= held
        self._elsewhere &= held
        if held == self._here | self._elsewhere and len(self._here) < 2:
            return len(self._here)
        self._elsewhere |= held & {f"socket:[{line[6]}]" for line in _lines("unix") if len(line) > 6}
        connected = set()
        for line in _lines("tcp"):
            inode = f"socket:[{line[9]}]"
            if inode in held and line[3] == ESTABLISHED and line[2].rpartition(":")[2] in self._ports:
                connected.add(inode)
            elif inode in held and line[3] in (ESTABLISHED, LISTENS):
                self._elsewhere.add(inode)
        self._here |= connected
        return len(connected)

    def _held(self) -> set[str]:
        """The sockets of the process."""
        found = set()
        for descriptor in Path(f"/proc/{self._pid}/fd").iterdir():
            try:
                found.add(os.readlink(descriptor))
            except FileNotFoundError:
                continue
        return {each for each in found if each.startswith("socket:")}


def _lines(kind: str) -> list[list[str]]:
    """The rows of a list of the kernel's sockets."""
    return [line.split() for line in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]]


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


async def decided(bus: Bus, profile: str, until: Callable[..., Any]) -> tuple[int, int]:
    """Switch, again where the machine is so busy that ingest loses its lease meanwhile. The status of the answer, and
    how often it was asked."""
    statuses: list[int] = []

    async def answered() -> bool:
        try:
            await switch(bus, profile)
        except RpcError as error:
            statuses.append(error.problem.status)
        else:
            statuses.append(200)
        return statuses[-1] not in (503, 504)

    await until(answered)
    return statuses[-1], len(statuses)


async def fail_to_switch(bus: Bus, profile: str, before: str, until: Callable[..., Any]) -> int:
    """Switch to a broker that does not come up, until the environment before is in force again; how often it was
    asked."""
    status, asked = await decided(bus, profile, until)
    assert status == 502

    async def back() -> bool:
        now = await environment(bus)
        return now.env == before and now.connected_since is not None

    await until(back)
    return asked


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
            # TOPICS has 32 consumers at most, and keeps one that is not deleted for five minutes.
            await jetstream.delete_consumer("TOPICS", found[-1].metadata.consumer)
            return found


@pytest.mark.timeout(400)
async def test_fifty_switches_under_load_lose_nothing_and_mix_nothing(
    world_at: Callable[[Any], Any],
    mosquitto_factory: Callable[[], Any],
    sandbox: Sandbox,
    mute_port: int,
    refusing_port: int,
    free_port: Callable[[], int],
    until: Callable[..., Any],
) -> None:
    broker = mosquitto_factory()
    world = world_at(broker)
    failing = {
        "closed": {"host": "127.0.0.1", "port": free_port(), "kind": "mock"},
        "mute": {"host": "127.0.0.1", "port": mute_port, "kind": "mock"},
        "refuses": {"host": "127.0.0.1", "port": refusing_port, "kind": "replay"},
    }
    ingest = world.ingest(
        KAISER_MQTT_DIALECTS='["factory"]',
        KAISER_MQTT_PROFILES=json.dumps(failing),
        KAISER_SANDBOX_HOST="127.0.0.1",
        KAISER_SANDBOX_PORT=str(sandbox.port),
        KAISER_SANDBOX_PASSWORD_FILE=str(sandbox.login.file),
        KAISER_MQTT_SWITCH_S=str(SWITCH_S),
    )
    await until(ingest.ready)
    device = await world.device()
    order = itertools.cycle(["mock", "replay", "live"])
    wanted = ["live", *(FAILING.get(number) or next(order) for number in range(SWITCHES))]
    async with connect(world.bus, "tests") as bus, world.client() as client, machine_at_work(device) as said:
        with watched(ingest.pid, {broker.port, sandbox.port, mute_port, refusing_port}) as connections:
            last = await switch_fifty_times(bus, client, wanted, failing.keys(), until)
        assert connections.most == 1

        ids = list(said)

        async def all_there() -> bool:
            found = [json.loads(each.data)["actionState"]["id"] for each in await on_topics(client, "live")]
            return set(ids) <= set(found)

        await until(all_there)
        await check_live(client)
        for env in ("mock", "replay"):
            await check_epoch(client, env, last[env])
        for env in failing:
            assert await on_topics(client, env) == []
    await device.close()
    assert "already connected" not in broker.log.read_text()
    assert "mqtt_session_lost" not in ingest.log()
    # The broker that is left is not connected to once more on the way out.
    assert "the profile was switched in the meantime" not in ingest.log()


async def switch_fifty_times(
    bus: Bus, client: Any, wanted: list[str], failing: Collection[str], until: Callable[..., Any]
) -> dict[str, int]:
    """Switch to each environment in turn, and publish in it. Returns the last epoch of each."""
    status = await environment(bus)
    last: dict[str, int] = {}
    for number, name in enumerate(wanted[1:]):
        before = status
        if name in failing:
            asked = await fail_to_switch(bus, name, before.env, until)
        else:
            succeeded, asked = await decided(bus, name, until)
            assert succeeded == 200
        status = await environment(bus)
        # A broker that does not come up: the environment before is in force again, which is a new epoch.
        least = before.epoch + (2 if name in failing else 1)
        assert status.epoch == least if asked == 1 else status.epoch >= least
        in_force = before.env if name in failing else name
        assert (status.env, status.kind) == (in_force, in_force)
        assert status.connected_since is not None
        last[in_force] = status.epoch
        if in_force != "live":
            await say_in(client, status, in_force)

            async def heard(env: str = in_force, epoch: int = status.epoch) -> bool:
                return any(each.headers["Kaiser-Epoch"] == str(epoch) for each in await on_topics(client, env))

            if number < 6 or name in failing or number >= SWITCHES - 3:
                await until(heard)
    if status.env != "live":
        await switch(bus, "live")
    return last


async def check_live(client: Any) -> None:
    """Nothing of another environment came, and nothing came twice."""
    live = [json.loads(each.data) for each in await on_topics(client, "live")]
    assert {each["serialNumber"] for each in live} == {MACHINES["live"]}
    told = [each["actionState"]["id"] for each in live]
    assert len(told) == len(set(told))


async def check_epoch(client: Any, env: str, epoch: int) -> None:
    """Nothing but messages of this epoch, and none that was retained before it began."""
    found = await on_topics(client, env)
    assert {json.loads(each.data)["serialNumber"] for each in found} == {MACHINES[env]}
    assert {each.headers["Kaiser-Epoch"] for each in found} == {str(epoch)}
    assert [
        each.headers["Kaiser-Epoch"]
        for each in found
        if json.loads(each.data)["actionState"]["id"] != f"e{each.headers['Kaiser-Epoch']}"
    ] == []


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


async def test_a_switch_that_the_loss_of_the_lease_interrupts_is_answered_and_changes_nothing(
    world: Any, mute_port: int, until: Callable[..., Any]
) -> None:
    mute = {"host": "127.0.0.1", "port": mute_port, "kind": "mock"}
    ingest = world.ingest(KAISER_MQTT_DIALECTS='["factory"]', KAISER_MQTT_PROFILES=json.dumps({"mute": mute}))
    await until(ingest.ready)
    async with connect(world.bus, "tests") as bus, world.client() as client:
        leases = await client.jetstream().key_value(LEASE_BUCKET.name)

        async def all_gone() -> bool:
            try:
                return not await leases.keys()
            except NoKeysError:
                return True

        async def back() -> bool:
            try:
                now = await environment(bus)
            except RpcError:
                return False
            return now.env == "live" and now.connected_since is not None

        switching = asyncio.create_task(switch(bus, "mute"))
        await until(lambda: "profile_switch_started" in ingest.log())
        os.kill(ingest.pid, signal.SIGSTOP)
        await until(all_gone)
        os.kill(ingest.pid, signal.SIGCONT)
        with pytest.raises(RpcError) as failed:
            await switching
        problem = failed.value.problem
        # The broker's time may be over first, if ingest stands still for longer than that.
        assert (problem.status, problem.code) in {(504, 5403), (502, 5106)}
        assert problem.status == 502 or "whether it was done is not known" in problem.detail
        await until(back)


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


async def test_an_environment_begins_anew_with_an_empty_sandbox_and_a_live_one_never_does(
    world: Any, sandbox: Sandbox, until: Callable[..., Any]
) -> None:
    ingest = world.ingest(
        KAISER_MQTT_DIALECTS='["factory"]',
        KAISER_SANDBOX_HOST="127.0.0.1",
        KAISER_SANDBOX_PORT=str(sandbox.port),
        KAISER_SANDBOX_PASSWORD_FILE=str(sandbox.login.file),
    )
    await until(ingest.ready)

    async def restart(env: str, epoch: int, arm: str | None = None) -> FactoryEnvironment:
        request = RestartEnvironment(env=env, epoch=epoch, arm=arm)
        service, method = "ingest-factory", "restart_environment"
        return await call(bus, service, method, request, FactoryEnvironment, caller=RECORDER, timeout_s=90.0)

    async with connect(world.bus, "tests") as bus, world.client() as client:
        live = await environment(bus)
        with pytest.raises(RpcError) as refused:
            await restart("live", live.epoch)
        assert (refused.value.problem.status, refused.value.problem.code) == (409, 5405)
        await switch(bus, "replay")
        before = await environment(bus)
        await say_in(client, before, "replay")

        async def heard() -> bool:
            return bool(await on_topics(client, "replay"))

        await until(heard)
        after = await restart("replay", before.epoch, "replay")
        assert (after.env, after.epoch, after.armed) == ("replay", before.epoch + 1, True)
        with pytest.raises(RpcError) as refused:
            await restart("replay", before.epoch)
        assert refused.value.problem.status == 409
        await call(bus, "ingest-factory", "disarm_environment", Nothing(), Nothing, caller=RECORDER)
        status = await environment(bus)
        assert (status.epoch, status.armed, status.env) == (after.epoch, False, "replay")
        assert status.connected_since is not None
        await say_in(client, status, "replay")

        async def heard_again() -> bool:
            return any(each.headers["Kaiser-Epoch"] == str(after.epoch) for each in await on_topics(client, "replay"))

        await until(heard_again)
        # What was retained before is not there any more: it would have come again. TOPICS has forgotten it too.
        assert [each.headers["Kaiser-Epoch"] for each in await on_topics(client, "replay")] == [str(after.epoch)]
