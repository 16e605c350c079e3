"""Steering where something goes wrong: how each command ends, and what a restart or another process keeps."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from kaiser_common.bus.rpc import RpcError
from kaiser_common.contract.schemas.api.factory import FactoryModules
from simulated_factory import MODULE, STORE, SimulatedFactory
from steered import ended, is_known, sent_to, steer

SEQUENCE = {"do": "sequence", "module": MODULE, "load_type": "WHITE", "duration": 1}
PICK = {"do": "command", "serial": STORE, "command": "PICK", "metadata": {"type": "WHITE"}}
PUBACK = 4


async def test_a_reset_in_the_middle_of_a_sequence_ends_it_and_no_step_follows(
    plant: Any, simulated: SimulatedFactory, until: Callable[..., Any]
) -> None:
    simulated.stuck.add(MODULE)
    steps = await steer(plant, **SEQUENCE)
    await ended(plant, until, steps[0].command_id, "accepted")
    [reset] = await steer(plant, do="reset", with_storage=False, confirm="RESET")
    await ended(plant, until, reset.command_id, "finished")
    for step in steps:
        await ended(plant, until, step.command_id, "abandoned")
    # The module finishes its step after all: nothing follows it, also not while something else is steered.
    topic = f"module/v1/ff/{MODULE}/order"
    [order] = sent_to(simulated, topic)
    simulated.state(MODULE, {"id": order["action"]["id"], "command": "PICK", "state": "FINISHED"}, order)
    [other] = await steer(plant, **PICK)
    await ended(plant, until, other.command_id, "finished")
    assert len(sent_to(simulated, topic)) == 1
    assert [(await ended(plant, until, step.command_id, "abandoned")).late for step in steps[1:]] == [False, False]


async def test_an_order_id_grows_over_restarts_and_a_used_or_unknown_one_is_refused(
    plant: Any, simulated: SimulatedFactory, until: Callable[..., Any]
) -> None:
    [first] = await steer(plant, **PICK)
    await ended(plant, until, first.command_id, "finished")
    for number in (2, 3):
        plant.factory.kill()
        plant.factory.start()
        await until(lambda: is_known(plant, simulated))
        [again] = await steer(plant, **PICK, order_id=first.order_id)
        await ended(plant, until, again.command_id, "finished")
        assert again.payload["orderUpdateId"] == number
    updates = [(each["orderId"], each["orderUpdateId"]) for each in sent_to(simulated, f"module/v1/ff/{STORE}/order")]
    assert updates == [(first.order_id, 1), (first.order_id, 2), (first.order_id, 3)]
    for status, code, request in (
        (409, 5208, {"order_id": first.order_id, "order_update_id": 3}),
        (404, 5001, {"order_id": "nothing"}),
    ):
        with pytest.raises(RpcError) as refused:
            await steer(plant, **PICK, **request)
        assert (refused.value.problem.status, refused.value.problem.code) == (status, code)
    [another] = await steer(plant, **PICK)
    assert another.order_id != first.order_id


async def test_a_command_times_out_or_expires_and_nothing_is_sent_late(
    plant: Any, simulated: SimulatedFactory, until: Callable[..., Any]
) -> None:
    # The CCU hears the reset, and does not announce it within 5 s.
    simulated.muted.add("ccu")
    [reset] = await steer(plant, do="reset", with_storage=False, confirm="RESET")
    assert (await ended(plant, until, reset.command_id, "timed_out", "finished")).code == 5403
    assert len(sent_to(simulated, "ccu/set/reset")) == 1

    # The broker is away for longer than a command may wait.
    plant.broker.stop()
    [park] = await steer(plant, do="park")
    expired = await ended(plant, until, park.command_id, "expired", "sent")
    assert (expired.state, expired.code) == ("expired", 5101)
    plant.broker.start()

    topic = "/j1/txt/1/o/ptu"

    ends: list[str] = []

    async def is_heard() -> bool:
        [camera] = await steer(plant, do="camera", cmd="home")
        end = await ended(plant, until, camera.command_id, "sent", "expired")
        ends[:] = [*ends[-4:], f"{end.state}: {plant.link()}"]
        return bool(sent_to(simulated, topic))

    # A command that is heard: the expired one, which was before it, has not come. Seldom: 60 a minute may be given.
    await until(is_heard, ends, every_s=3.0)
    assert sent_to(simulated, "ccu/set/park") == []


class Swallowing:
    """A relay before a broker that ends the connection with the next PUBACK of the broker, and does not pass it on."""

    def __init__(self, broker: Any) -> None:
        self._broker = broker
        self.armed = False

    @asynccontextmanager
    async def listening(self, port: int) -> AsyncIterator[None]:
        """Accept connections at a port of 127.0.0.1."""
        async with await asyncio.start_server(self._on_client, "127.0.0.1", port):
            yield

    async def _on_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        of_broker, to_broker = await asyncio.open_connection(self._broker.host, self._broker.port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, to_broker))
                group.create_task(self._pass_frames(of_broker, writer))
        except* (OSError, EOFError):
            pass
        finally:
            writer.close()
            to_broker.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        raise EOFError

    async def _pass_frames(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass what the broker says, one MQTT packet at a time: a PUBACK may follow other packets in one read."""
        while True:
            frame, length, shift = await reader.readexactly(1), 0, 0
            while True:
                digit = await reader.readexactly(1)
                frame += digit
                length |= (digit[0] & 127) << shift
                shift += 7
                if digit[0] < 128:
                    break
            frame += await reader.readexactly(length)
            if self.armed and frame[0] >> 4 == PUBACK:
                self.armed = False
                raise EOFError
            writer.write(frame)
            await writer.drain()


async def test_a_command_whose_acknowledgement_is_lost_is_unconfirmed_until_the_factory_answers(
    plant: Any, simulated: SimulatedFactory, until: Callable[..., Any]
) -> None:
    relay = Swallowing(plant.broker)
    async with relay.listening(plant.relay_port):
        await plant.switch("behind")
        await until(lambda: is_known(plant, simulated))
        simulated.muted.add(STORE)
        relay.armed = True
        [pick] = await steer(plant, **PICK)
        topic = f"module/v1/ff/{STORE}/order"
        await until(lambda: len(sent_to(simulated, topic)) == 1)
        await until(lambda: not relay.armed)
        await ended(plant, until, pick.command_id, "unconfirmed")
        [order] = sent_to(simulated, topic)
        action = {"id": order["action"]["id"], "command": "PICK", "state": "FINISHED"}
        simulated.state(STORE, action, order)  # ingest reads it once it is connected again
        assert (await ended(plant, until, pick.command_id, "finished", "no_answer")).state == "finished"
        assert len(sent_to(simulated, topic)) == 1
        await plant.switch(plant.env)


async def test_a_second_process_goes_on_when_the_first_is_killed(
    plant: Any, simulated: SimulatedFactory, process: Callable[[str], Any], until: Callable[..., Any]
) -> None:
    simulated.stuck.add(MODULE)
    steps = await steer(plant, **SEQUENCE)
    await ended(plant, until, steps[0].command_id, "accepted")
    standby = process("kaiser-factory")
    await until(lambda: "bus_connected" in standby.log())
    plant.factory.kill()  # SIGKILL: it gives nothing back, the lease ends by itself

    async def answered() -> bool:
        return await plant.answers("modules", None, FactoryModules) is not None

    await until(answered)
    simulated.stuck.clear()
    [order] = sent_to(simulated, f"module/v1/ff/{MODULE}/order")
    simulated.state(MODULE, {"id": order["action"]["id"], "command": "PICK", "state": "FINISHED"}, order)
    for step in steps:
        await ended(plant, until, step.command_id, "finished")
    commands = [each["action"]["command"] for each in sent_to(simulated, f"module/v1/ff/{MODULE}/order")]
    assert commands == ["PICK", "MILL", "DROP"]
