"""Steering against a small simulated factory: what is sent, and how the journal follows it to its end."""

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.schemas.api.factory import (
    CommandsPage,
    CommandsQuery,
    FactoryModules,
    SerialQuery,
    SteerAnswer,
    SteerPlan,
    SteerRequest,
)
from kaiser_common.contract.schemas.factory import FactoryCommandEntry, FactoryModule
from simulated_factory import AGV, MODULE, STORE, SimulatedFactory
from simulated_vehicle import VEHICLE, SimulatedVehicle
from steered import ended, sent_to, steer

SEQUENCE = {"do": "sequence", "module": MODULE, "load_type": "WHITE", "duration": 1}


async def test_steering_from_preview_to_the_end(
    plant: Any, simulated: SimulatedFactory, until: Callable[..., Any], database: str
) -> None:
    await a_preview_sends_nothing(plant, simulated)
    order_id = await each_step_of_a_sequence_waits_for_the_one_before(plant, simulated, until)
    await a_repeated_request_moves_nothing_twice(plant, simulated, until)
    [drive] = await steer(plant, do="navigate", route="DPS-HBW")
    await ended(plant, until, drive.command_id, "finished")
    await a_step_that_fails_stops_its_sequence(plant, simulated, until)
    await refusals_name_status_and_code_and_send_nothing(plant, simulated)
    await a_reset_abandons_what_is_open(plant, simulated, until)

    # The CCU says nothing.
    simulated.muted.add("ccu")
    [silent] = await steer(plant, do="order", type="BLUE")
    assert (await ended(plant, until, silent.command_id, "no_answer")).code == 5403

    page = await plant.ask("commands", CommandsQuery(limit=3), CommandsPage)
    assert (len(page.items), page.items[0].command_id) == (3, silent.command_id)
    assert page.next_cursor is not None
    with psycopg.connect(database) as connection:
        numbers = dict(connection.execute("SELECT order_id, next FROM factory.order_ids").fetchall())
    assert numbers[order_id] == 4


async def a_preview_sends_nothing(plant: Any, simulated: SimulatedFactory) -> None:
    shown = await plant.ask("preview", SteerRequest(request=SEQUENCE), SteerPlan)
    assert [each.payload["action"]["command"] for each in shown.messages] == ["PICK", "MILL", "DROP"]
    assert all(each.ok for each in shown.checks)
    assert simulated.orders == []


async def each_step_of_a_sequence_waits_for_the_one_before(
    plant: Any, simulated: SimulatedFactory, until: Callable[..., Any]
) -> str:
    """The update ids grow. Returns the id of the order."""
    for step in await steer(plant, **SEQUENCE):
        assert (await ended(plant, until, step.command_id, "finished")).result == "PASSED"
    orders = sent_to(simulated, f"module/v1/ff/{MODULE}/order")
    assert [(each["action"]["command"], each["orderUpdateId"]) for each in orders] == [
        ("PICK", 1),
        ("MILL", 2),
        ("DROP", 3),
    ]
    [order_id] = {each["orderId"] for each in orders}
    return str(order_id)


async def a_repeated_request_moves_nothing_twice(
    plant: Any, simulated: SimulatedFactory, until: Callable[..., Any]
) -> None:
    """Under the same key; with another request under that key it is refused."""
    first = await steer(plant, "one", do="order", type="WEISS")
    again = await steer(plant, "one", do="order", type="WEISS")
    assert [each.command_id for each in again] == [each.command_id for each in first]
    with pytest.raises(RpcError) as refused:
        await steer(plant, "one", do="order", type="RED")
    assert refused.value.problem.status == 409
    done = await ended(plant, until, first[0].command_id, "finished")
    assert done.order_id.startswith("ccu-")
    assert [each["type"] for each in sent_to(simulated, "ccu/order/request")] == ["WHITE"]


async def a_step_that_fails_stops_its_sequence(
    plant: Any, simulated: SimulatedFactory, until: Callable[..., Any]
) -> None:
    simulated.failing.add(MODULE)
    failing = await steer(plant, **SEQUENCE)
    assert (await ended(plant, until, failing[0].command_id, "failed")).code == 5407
    for step in failing[1:]:
        await ended(plant, until, step.command_id, "abandoned")
    assert len(sent_to(simulated, f"module/v1/ff/{MODULE}/order")) == 4


async def refusals_name_status_and_code_and_send_nothing(plant: Any, simulated: SimulatedFactory) -> None:
    before = len(simulated.orders)
    for status, code, role, request in [
        (403, 5405, "viewer", {"do": "park"}),
        (422, 5206, "operator", {"do": "dance"}),
        (422, 5206, "operator", {"do": "order", "type": "RED", "retain": True}),
        (404, 5001, "operator", {"do": "instant", "serial": "NOBODY", "type": "factsheetRequest"}),
        (422, 5204, "operator", {"do": "instant", "serial": AGV, "type": "stop"}),
    ]:
        with pytest.raises(RpcError) as error:
            await steer(plant, role=role, **request)
        assert (error.value.problem.status, error.value.problem.code) == (status, code), request
    assert len(simulated.orders) == before


async def a_reset_abandons_what_is_open(plant: Any, simulated: SimulatedFactory, until: Callable[..., Any]) -> None:
    """It needs its confirmation; the CCU's answer ends it."""
    simulated.stuck.add(STORE)
    [open_one] = await steer(plant, do="command", serial=STORE, command="PICK", metadata={"type": "WHITE"})
    await ended(plant, until, open_one.command_id, "accepted")
    with pytest.raises(RpcError):
        await steer(plant, do="reset", with_storage=False)
    [reset] = await steer(plant, do="reset", with_storage=False, confirm="RESET")
    await ended(plant, until, reset.command_id, "finished")
    await ended(plant, until, open_one.command_id, "abandoned")


async def test_each_other_command_ends_as_the_factory_answers(
    plant: Any, simulated: SimulatedFactory, until: Callable[..., Any], database: str
) -> None:
    # An AGV that is not paired is paired, then charged.
    simulated.pairing(charging=False)
    [pair] = await steer(plant, do="pair", agv=AGV)
    await ended(plant, until, pair.command_id, "finished")
    for wanted in (True, False):
        [charge] = await steer(plant, do="charge", agv=AGV, charge=wanted)
        await ended(plant, until, charge.command_id, "finished")
    assert [each["charge"] for each in sent_to(simulated, "ccu/set/charge")] == [True, False]

    # What nothing answers ends when it is sent.
    for request, topic in (
        ({"do": "park"}, "ccu/set/park"),
        ({"do": "camera", "cmd": "relmove_left", "degree": 10}, "/j1/txt/1/o/ptu"),
        ({"do": "sensor_period", "sensor": "ldr", "period": 30}, "/j1/txt/1/c/ldr"),
    ):
        [command] = await steer(plant, **request)
        await ended(plant, until, command.command_id, "sent")
        await until(lambda topic=topic: len(sent_to(simulated, topic)) == 1)

    # An order that has not begun is cancelled: the cancel is finished, the request of the order has failed.
    simulated.holding = True
    [order] = await steer(plant, do="order", type="BLUE")
    accepted = await ended(plant, until, order.command_id, "accepted")
    with pytest.raises(RpcError) as unknown:
        await steer(plant, do="cancel", order_ids=["nothing"])
    assert unknown.value.problem.status == 404
    [cancel] = await steer(plant, do="cancel", order_ids=[accepted.order_id])
    await ended(plant, until, cancel.command_id, "finished")
    assert (await ended(plant, until, order.command_id, "failed")).result == "CANCELLED"

    # A second click while the first is unanswered does not move the machine twice; what is said late is noted beside.
    simulated.muted.add(STORE)
    request = {"do": "command", "serial": STORE, "command": "PICK", "metadata": {"type": "WHITE"}}
    [first] = await steer(plant, **request)
    with pytest.raises(RpcError) as twice:
        await steer(plant, **request)
    assert (twice.value.problem.status, twice.value.problem.code) == (409, 5402)

    # A request whose caller has stopped waiting sends nothing.
    with psycopg.connect(database) as another:
        another.execute("SELECT pg_advisory_xact_lock(%s)", (0x6661_6374,))
        late = SteerRequest(request={"do": "park"}, idempotency_key="late")
        with pytest.raises(RpcError) as error:
            caller = Caller(user="someone", role="operator")
            await call(plant.bus, "factory", "steer", late, SteerAnswer, caller=caller, timeout_s=0.5)
        assert error.value.problem.status == 504

    await a_module_goes_away_in_a_sequence(plant, simulated, until)

    # An AGV that never answers.
    simulated.muted.add(AGV)
    [drive] = await steer(plant, do="navigate", route="DPS-HBW")
    assert (await ended(plant, until, drive.command_id, "no_answer")).code == 5403
    assert (await ended(plant, until, first.command_id, "no_answer")).code == 5403
    assert len(sent_to(simulated, "ccu/set/park")) == 1
    assert len(sent_to(simulated, f"module/v1/ff/{STORE}/order")) == 1


async def a_module_goes_away_in_a_sequence(plant: Any, simulated: SimulatedFactory, until: Callable[..., Any]) -> None:
    """It comes back without the action: that has failed, and the rest of the sequence never goes."""
    simulated.stuck.add(MODULE)
    steps = await steer(plant, **SEQUENCE)
    await ended(plant, until, steps[0].command_id, "accepted")
    simulated.connection(MODULE, "CONNECTIONBROKEN")

    async def is_gone() -> bool:
        found = await plant.answers("module", SerialQuery(serial=MODULE), FactoryModule)
        return found is not None and found.connection == "CONNECTIONBROKEN"

    await until(is_gone)
    with pytest.raises(RpcError) as offline:
        await steer(plant, do="command", serial=MODULE, command="DROP")
    assert (offline.value.problem.status, offline.value.problem.code) == (409, 5007)
    assert (await ended(plant, until, steps[0].command_id, "accepted")).state == "accepted"
    simulated.connection(MODULE, "ONLINE")
    simulated.state(MODULE, None)
    await ended(plant, until, steps[0].command_id, "failed")
    for step in steps[1:]:
        await ended(plant, until, step.command_id, "abandoned")
    assert len(sent_to(simulated, f"module/v1/ff/{MODULE}/order")) == 1


async def test_a_switch_of_the_environment_abandons_what_is_open_and_nothing_of_it_goes_out_later(
    plant: Any, simulated: SimulatedFactory, until: Callable[..., Any]
) -> None:
    simulated.stuck.add(MODULE)
    steps = await steer(plant, **SEQUENCE)
    await ended(plant, until, steps[0].command_id, "accepted")
    said: list[Any] = []

    async def keep(message: Any) -> None:
        said.append(json.loads(message.data))

    subscription = await plant.bus.client.subscribe("event.factory_command.*", cb=keep)
    await plant.bus.client.flush()
    await plant.switch("other")
    simulated.stuck.clear()
    [order] = sent_to(simulated, f"module/v1/ff/{MODULE}/order")
    # The machine finishes while another environment is in force, and says so once more when ours is back.
    simulated.state(MODULE, {"id": order["action"]["id"], "command": "PICK", "state": "FINISHED"}, order)
    await plant.switch(plant.env)
    simulated.state(MODULE, {"id": order["action"]["id"], "command": "PICK", "state": "FINISHED"}, order)
    for step in steps:
        found = await ended(plant, until, step.command_id, "abandoned")
        assert found.late is False
    await until(lambda: {each["command_id"] for each in said if each["state"] == "abandoned"} == ids_of(steps))
    await subscription.unsubscribe()
    # What is steered now is of the new epoch, and goes out; of the sequence nothing more has.
    [pick] = await steer(plant, do="command", serial=STORE, command="PICK", metadata={"type": "WHITE"})
    assert (await ended(plant, until, pick.command_id, "finished")).epoch == steps[0].epoch + 2
    assert len(sent_to(simulated, f"module/v1/ff/{MODULE}/order")) == 1


def ids_of(steps: list[FactoryCommandEntry]) -> set[str]:
    return {each.command_id for each in steps}


async def test_a_killed_service_sends_nothing_twice_and_takes_its_journal_up(
    plant: Any, simulated: SimulatedFactory, until: Callable[..., Any]
) -> None:
    simulated.stuck.add(MODULE)
    steps = await steer(plant, **SEQUENCE)
    await ended(plant, until, steps[0].command_id, "accepted")
    plant.factory.kill()
    simulated.stuck.clear()
    [order] = sent_to(simulated, f"module/v1/ff/{MODULE}/order")
    action = {"id": order["action"]["id"], "command": "PICK", "state": "FINISHED"}
    simulated.state(MODULE, action, order)  # the end comes while nobody is there
    plant.factory.start()
    for step in steps:
        await ended(plant, until, step.command_id, "finished")
    orders = sent_to(simulated, f"module/v1/ff/{MODULE}/order")
    assert [each["action"]["command"] for each in orders] == ["PICK", "MILL", "DROP"]

    # ingest is killed with a command on its way: at most once.
    for number in range(3):
        [command] = await steer(plant, do="command", serial=STORE, command="PICK", metadata={"type": "WHITE"})
        if number == 1:
            plant.ingest.kill()
            plant.ingest.start()
        await ended(plant, until, command.command_id, "finished", "expired", "no_answer", "timed_out")

    async def connected() -> bool:
        found = await plant.answers("modules", None, FactoryModules)
        return found is not None

    await until(connected)
    picks = [each["action"]["id"] for each in sent_to(simulated, f"module/v1/ff/{STORE}/order")]
    assert len(picks) == len(set(picks))


async def test_a_vda_5050_vehicle_is_sent_orders_and_actions_whose_numbers_grow(
    plant: Any, until: Callable[..., Any]
) -> None:
    vehicle = SimulatedVehicle(plant)

    async def known() -> bool:
        vehicle.stand()  # what is said before ingest has subscribed is heard by nobody
        found = await plant.answers("module", SerialQuery(serial=VEHICLE), FactoryModule)
        return found is not None and found.availability == "READY"

    await until(known)
    wanted = {"do": "navigate", "agv": VEHICLE, "path": ["N1", "N2", "N3"], "action": {"type": "drop"}}
    shown = await plant.ask("preview", SteerRequest(request=wanted), SteerPlan)
    assert [each.topic for each in shown.messages] == [f"uagv/v2/ACME/{VEHICLE}/order"]
    assert vehicle.heard == []

    [drive] = await steer(plant, **wanted)
    assert (await ended(plant, until, drive.command_id, "finished")).result == "dropped"
    [pause] = await steer(plant, do="instant", serial=VEHICLE, type="startPause")
    await ended(plant, until, pause.command_id, "finished")

    # Killed: the numbers of its messages go on.
    plant.factory.kill()
    plant.factory.start()
    await until(known)
    [again] = await steer(plant, do="instant", serial=VEHICLE, type="stopPause")
    await ended(plant, until, again.command_id, "finished")
    assert [(topic.rpartition("/")[2], each["headerId"], each["version"]) for topic, each in vehicle.heard] == [
        ("order", 1, "2.0.0"),
        ("instantActions", 1, "2.0.0"),
        ("instantActions", 2, "2.0.0"),
    ]

    # A vehicle that refuses says so by an error that names the order.
    vehicle.refusing = True
    [refused] = await steer(plant, **(wanted | {"path": ["N3", "N2"]}))
    assert (await ended(plant, until, refused.command_id, "refused")).code == 5407
