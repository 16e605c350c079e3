"""The handed vectors of commands and the journal through a broker, ingest, NATS, factory and PostgreSQL; those of views
from NATS on: their receive times are given, which a broker cannot set."""

import json
import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import pytest
from kaiser_common.bus.connection import Outgoing
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.factory import (
    EnvironmentStatus,
    FactoryCommandId,
    FactoryModules,
    FactoryOrderId,
    FactoryStores,
    FactoryTimeline,
    SteerAnswer,
    SteerRequest,
)
from kaiser_common.contract.schemas.factory import FactoryCommandEntry
from kaiser_common.contract.subjects import factory_pack_subject
from kaiser_common.runtime.clock import now_ms
from kaiser_factory_dialect import wire
from kaiser_factory_dialect.compare import Placeholders, differences
from kaiser_factory_dialect.reading import Arrival, FactoryAccepted, read
from vectors_given import GOLDEN, messages_given

_ID = re.compile(r"\b([0-9a-f]{4})[0-9a-f]{4}(-[0-9a-f]{4}-)")
COMMANDS = sorted(GOLDEN["commands"], key=lambda one: ("agvs" not in one.get("given", {}), "env_kind" in str(one)))
"""Those whose only AGV is given come before the other AGV is there, that of a replay last."""
VIEWS = sorted(GOLDEN["views"], key=lambda one: "Node-RED gone" in one["name"])
"""The end of Node-RED is about every module: it is the last."""


def named_anew(vector: Mapping[str, Any], number: int) -> dict[str, Any]:
    """A vector whose serials, orders and actions are its own, so that many can be in one factory."""
    text = json.dumps(vector).replace("SVRT1000", f"SVRT{number:02}00").replace("kaiser-1", f"kaiser-{number}")
    text = text.replace("kT7a", f"kT7a{number}").replace("mW2c", f"mW2c{number}")
    return json.loads(_ID.sub(lambda found: f"{found[1]}{number:04x}{found[2]}", text))  # type: ignore[no-any-return]


@pytest.fixture
async def ready(plant: Any, until: Callable[..., Any]) -> Any:
    """The plant, once Kaiser has its state."""
    await until(lambda: plant.answers("modules", None, FactoryModules))
    return plant


class Machines:
    """The modules and AGVs of the commands' vectors: they say what is given, and finish what is asked of them."""

    def __init__(self, plant: Any) -> None:
        self.plant = plant
        self._said: dict[str, Any] = {}
        self._compared = 0
        plant.on_message = self._answer
        plant.subscribe("module/v1/ff/#", "fts/v1/ff/+/order", "fts/v1/ff/+/instantAction", "ccu/#", "/j1/txt/#")

    def say(self, given: Mapping[str, Any]) -> None:
        """Bring the factory into the state that a vector starts from."""
        for topic, value in messages_given(given):
            if self._said.get(topic) != value:
                self.plant.publish(topic, value)
                self._said[topic] = value

    def forget(self) -> None:
        """Say everything again next time."""
        self._said.clear()

    def sent(self) -> list[dict[str, Any]]:
        """The messages at the broker that no machine said, and that were not compared yet."""
        heard = [
            {"topic": topic, "payload": json.loads(payload)}
            for topic, payload in list(self.plant.heard)
            if not topic.endswith(("/state", "/connection", "/active"))
        ]
        return heard[self._compared :]

    def compared(self, count: int) -> None:
        """So many were expected: any further one, also of a refused request, is found with the next vector."""
        self._compared += count

    def _answer(self, topic: str, payload: bytes) -> None:
        if not topic.endswith("/order"):
            return
        levels, order = topic.split("/"), json.loads(payload)
        serial, node = levels[-2], order["nodes"][-1] if "nodes" in order else None
        action = order["action"] if node is None else node["action"]
        state = {
            "serialNumber": serial,
            "orderId": order["orderId"],
            "orderUpdateId": order["orderUpdateId"],
            "actionState": {"id": action["id"], "command": action.get("command", "DOCK"), "state": "FINISHED"},
        }
        where = {} if node is None else {"lastNodeId": node["id"], "driving": False}
        self._said[f"{levels[0]}/v1/ff/{serial}/state"] = None  # to be said again before the next vector
        self.plant.publish(f"{levels[0]}/v1/ff/{serial}/state", state | where)


def is_as_given(found: FactoryModules | None, given: Mapping[str, Any]) -> bool:
    """Whether each machine is shown as a vector gives it."""
    if found is None:
        return False
    rows = {each.serial: each for each in found.items}
    for topic, value in messages_given(given):
        if topic.startswith("ccu/"):
            continue
        row = rows.get(topic.split("/")[3])
        if row is None:
            return False
        if topic.endswith("/connection"):
            if row.connection != value["connectionState"]:
                return False
            continue
        state = row.action.state if row.action is not None else None
        wanted = value["actionState"] and value["actionState"]["state"]
        if (
            (row.order_id or "") != value["orderId"]
            or state != wanted
            or (row.node or "") != value.get("lastNodeId", "")
        ):
            return False
    return True


async def test_every_command_of_the_vectors_comes_to_the_broker_or_is_refused(
    ready: Any, until: Callable[..., Any]
) -> None:
    machines, failures = Machines(ready), []
    for vector in COMMANDS:
        given = vector.get("given", {})
        if given.get("env_kind") == "replay":
            await ready.switch("past")  # whose state is empty
            machines.forget()
        machines.say(given)

        async def stands(given: Mapping[str, Any] = given) -> bool:
            return is_as_given(await ready.answers("modules", None, FactoryModules), given) and await orders_stand(
                ready, given
            )

        await until(stands, vector["name"])
        failures += [f"{vector['name']}: {line}" for line in await differences_of_command(machines, vector, until)]
    assert failures == []
    assert len(COMMANDS) == 38
    assert machines.sent() == []


async def orders_stand(plant: Any, given: Mapping[str, Any]) -> bool:
    for order_id, wanted in given.get("orders", {}).items():
        found = await plant.answers("timeline", FactoryOrderId(order_id=order_id), FactoryTimeline)
        if found is None or found.order.state != wanted["state"]:
            return False
    return True


async def differences_of_command(machines: Machines, vector: dict[str, Any], until: Callable[..., Any]) -> list[str]:
    """Steer, and compare what comes to the broker. Ends when all that was sent has ended or was acknowledged."""
    plant, request = machines.plant, dict(vector["request"])
    role = request.pop("role", "operator")
    try:
        answer = await plant.ask("steer", SteerRequest(request=request), SteerAnswer, role)
    except RpcError as refused:
        found = {"expect": "refuse", "status": refused.problem.status, "code": refused.problem.code}
        wanted = {name: vector[name] for name in ("expect", "status", "code") if name in vector}
        return differences(wanted, found) + [f"sent though refused: {each}" for each in machines.sent()]
    expected = vector.get("messages", [])
    await until(lambda: len(machines.sent()) >= len(expected), vector["name"])
    for command in answer.commands:

        async def is_over(command_id: str = command.command_id) -> bool:
            entry = await plant.ask("command", FactoryCommandId(command_id=command_id), FactoryCommandEntry)
            return entry.state in {"sent", "finished", "failed", "no_answer", "timed_out"} and not (
                entry.state == "sent" and entry.do in {"navigate", "sequence", "command"}
            )

        await until(is_over, vector["name"])
    wanted = [{"topic": each["topic"], "payload": each["payload"]} for each in expected]
    lines = Placeholders().differences(
        {"expect": vector["expect"], "messages": wanted}, {"expect": "send", "messages": machines.sent()}
    )
    machines.compared(len(expected))
    return lines


async def test_every_view_of_the_vectors_is_shown(ready: Any, until: Callable[..., Any]) -> None:
    status = await call(
        ready.bus, "ingest-factory", "environment", Nothing(), EnvironmentStatus, caller=Caller(user="a", role="viewer")
    )
    failures = []
    for vector in [named_anew(each, number) for number, each in enumerate(VIEWS)]:
        lines: list[str] = []

        async def is_shown(vector: dict[str, Any] = vector, lines: list[str] = lines) -> bool:
            """Publish the messages as ingest does, so that `at` is now, and compare: a slow machine publishes again."""
            shift = now_ms() - vector["at"]
            await publish(ready, status.epoch, vector["messages"], shift)
            for _ in range(10):
                lines[:] = differences(vector["expect"], await shown(ready, vector["expect"], shift))
                if not lines:
                    return True
            return False

        try:
            await until(is_shown, within_s=30.0)
        except AssertionError:
            failures += [f"{vector['name']}: {line}" for line in lines]
    assert failures == []
    assert len(VIEWS) == 18


async def publish(plant: Any, epoch: int, messages: list[dict[str, Any]], shift: int) -> None:
    """The messages of a vector on FACTORY, as one pack of ingest."""
    lines = []
    for one in messages:
        arrival = Arrival(
            one["topic"], one["payload"].encode(), one["at"] + shift, one["qos"], one["retain"], plant.env, epoch
        )
        verdict = read(arrival)
        assert isinstance(verdict, FactoryAccepted), verdict
        body = wire.encode(verdict.message, verdict.oddities, verdict.unknown)
        lines.append(wire.to_line(body, secrets.token_hex(4)))
    outgoing = Outgoing(factory_pack_subject(plant.env), b"\n".join(lines), secrets.token_hex(8))
    await plant.bus.publish(outgoing.subject, outgoing.body, outgoing.msg_id)


async def shown(plant: Any, expect: Mapping[str, Any], shift: int) -> dict[str, Any]:
    """The answers of the service, as the vectors write them."""
    found: dict[str, Any] = {"modules": {}, "orders": {}, "stock": {}}
    for row in (await plant.ask("modules", None, FactoryModules)).items:
        found["modules"][row.serial] = {
            **row.model_dump(),
            "loads": [[each.position, each.type, each.id] for each in row.loads],
            "errors": [[each.type, each.level] for each in row.errors],
        }
    for order_id in expect.get("orders", {}):
        timeline = await plant.answers("timeline", FactoryOrderId(order_id=order_id), FactoryTimeline)
        if timeline is not None:
            since = timeline.order.missing_since
            found["orders"][order_id] = {
                **timeline.order.model_dump(),
                "missing_since": None if since is None else since - shift,
                "steps": [each.id for each in timeline.steps],
            }
    for store in (await plant.ask("stock", None, FactoryStores)).items:
        found["stock"][store.hbw] = {
            bay.location: None if bay.type is None else [bay.type, bay.id, bay.state] for bay in store.bays
        }
    return found


async def test_every_journal_of_the_vectors_is_written_so(ready: Any, until: Callable[..., Any]) -> None:
    told: list[dict[str, Any]] = []

    async def keep(message: Any) -> None:
        told.append(json.loads(message.data))

    subscription = await ready.bus.client.subscribe("event.factory_command.*", cb=keep)
    await ready.bus.client.flush()
    failures = []
    for vector in [named_anew(each, number) for number, each in enumerate(GOLDEN["journal"])]:
        failures += [f"{vector['name']}: {line}" for line in await differences_of_journal(ready, vector, told, until)]
    await subscription.unsubscribe()
    assert failures == []
    assert len(GOLDEN["journal"]) == 10


async def differences_of_journal(
    plant: Any, vector: dict[str, Any], told: list[dict[str, Any]], until: Callable[..., Any]
) -> list[str]:
    """Send the command, have the factory answer, and compare the states that were told, in order."""
    topic, payload = order_of(vector["command"])
    request = SteerRequest(request={"do": "publish", "topic": topic, "payload": payload})
    [entry] = (await plant.ask("steer", request, SteerAnswer)).commands

    def states() -> list[list[Any]]:
        """Each state once: it is reported again where more is known of it. Until the receipt is there it is open."""
        mine = [each for each in told if each["command_id"] == entry.command_id]
        found = [[each["state"], each.get("code"), each.get("result")] for each in mine]
        found = [each for each in found if each[0] not in {"queued", "unconfirmed"}]
        return [each for at, each in enumerate(found) if at == 0 or each[0] != found[at - 1][0]]

    expected = [[*one[1:], None, None][:3] for one in vector["expect"]]
    await until(lambda: states()[:1] == expected[:1], vector["name"])
    for one in vector["messages"]:
        plant.publish(one["topic"], one["payload"].encode())
        reached = [at for at, *_ in vector["expect"]].index(one["at"]) if is_step(vector, one) else -1
        await until(lambda reached=reached: len(states()) > reached, vector["name"])
    with suppress(AssertionError):
        await until(lambda: len(states()) >= len(expected), within_s=30.0)
    return differences(expected, states())


def is_step(vector: Mapping[str, Any], message: Mapping[str, Any]) -> bool:
    """Whether a message brings the journal to its next state."""
    return any(at == message["at"] for at, *_ in vector["expect"])


def order_of(command: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The message that is the command of a vector."""
    match command["what"]:
        case "ccu.request":
            return "ccu/order/request", {
                "type": command["type"],
                "orderType": command["order_type"],
                "requestId": command["request_id"],
                "timestamp": "2026-02-02T04:00:00.000Z",
            }
        case "agv.order":
            nodes = [{"id": each, "linkedEdges": []} for each in command["path"]]
            nodes[-1]["action"] = {"id": command["action_id"], "type": "DOCK"}
            order = {"nodes": nodes, "edges": []}
            topic = f"fts/v1/ff/{command['serial']}/order"
        case _:
            metadata = {} if "duration" not in command else {"duration": command["duration"]}
            order = {"action": {"id": command["action_id"], "command": command["command"], "metadata": metadata}}
            topic = f"module/v1/ff/{command['serial']}/order"
    ids = {"orderId": command["order_id"], "orderUpdateId": command["order_update_id"]}
    return topic, {"serialNumber": command["serial"], "timestamp": "2026-02-02T04:00:00.000Z", **ids, **order}
