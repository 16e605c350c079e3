"""The mock factory against the reader and the state of libs/factory: what it says has the forms of the recorded
messages, twelve orders with every fault once add up, and a factory that was killed goes on with the very same."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kaiser_common.contract.errors import Rejected
from kaiser_factory_dialect.apply import apply
from kaiser_factory_dialect.intake import Intake
from kaiser_factory_dialect.reading import Arrival, FactoryAccepted
from kaiser_factory_dialect.topics import parse
from kaiser_factory_dialect.view import rows, stock_of
from kaiser_factory_dialect.world import Factory
from kaiser_simulator.domain.plant import plant as factory_of
from kaiser_simulator.domain.plant.saying import Said, Turn
from kaiser_simulator.domain.plant.state import Plant, PlantFaults

GOLDEN = Path(__file__).parents[3] / "tests/golden"
START = 1_771_000_000_000
HBW, DRILL, MILL, AIQS, DPS = "SVR3QA0022", "SVR4H76449", "SVR3QA2098", "SVR4H76530", "SVR4H73275"
STOCK = [
    (at, kind, "")
    for at, kind in zip(
        factory_of.BAYS, ["WHITE", "WHITE", "WHITE", "RED", "RED", "RED", "BLUE", "BLUE", "BLUE"], strict=True
    )
]


@dataclass
class Bench:
    """The factory with a clock of ours, a broker that delivers at once, and Kaiser's reader of what it says."""

    plant: Plant
    now: int = START
    said: list[tuple[int, Said]] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    oddities: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    factory: Factory = field(default_factory=Factory)
    intake: Intake = field(default_factory=Intake)

    def begin(self) -> None:
        self.take(factory_of.begin(self.plant, self.now))

    def take(self, turn: Turn) -> None:
        """Deliver what was said, to Kaiser and to the factory itself."""
        waiting = list(turn.said)
        while waiting:
            said = waiting.pop(0)
            self.said.append((self.now, said))
            arrival = Arrival(said.topic, said.payload.encode(), self.now)
            match self.intake.take(arrival):
                case FactoryAccepted(message, oddities, unknown):
                    self.oddities.update(oddities)
                    self.unknown.update(unknown)
                    list(apply(self.factory, message))
                case Rejected() as rejected:
                    self.rejected.append(f"{said.topic}: {rejected}")
                case _:
                    pass
            topic = parse(said.topic)
            assert topic is not None, said.topic
            if topic.row.direction in {"in", "both"}:
                waiting += factory_of.hear(self.plant, arrival).said

    def send(self, topic: str, payload: Any) -> None:
        """Send the factory something."""
        self.take(Turn(self.plant, self.now, [Said(topic, json.dumps(payload), False)]))

    def run(self, seconds: float) -> None:
        """Let time pass, from one thing that is due to the next."""
        until = self.now + round(seconds * 1000)
        while (due := factory_of.next_due(self.plant)) is not None and due <= until:
            self.now = max(self.now, due)
            self.take(factory_of.tick(self.plant, self.now))
        self.now = until

    def order(self, kind: str, order_type: str = "PRODUCTION", **more: Any) -> None:
        request = {"type": kind, "orderType": order_type, "timestamp": "2026-02-13T16:26:40.000Z", **more}
        self.send("ccu/order/request", request)

    def faults(self, **faults: Any) -> None:
        self.take(factory_of.set_faults(self.plant, PlantFaults(**faults), self.now))

    def words(self, topic: str, *keys: str) -> list[Any]:
        """The messages on a topic: the values of these keys."""
        found = [json.loads(said.payload) for _, said in self.said if said.topic == topic]
        return [tuple(one.get(key) for key in keys) if keys else one for one in found]


@pytest.fixture
def bench() -> Bench:
    setup = factory_of.default_setup("seed")
    setup.refill = False
    bench = Bench(factory_of.new_plant(setup, STOCK))
    bench.begin()
    return bench


def test_a_white_piece_goes_from_the_store_to_the_exit_in_the_time_of_the_real_factory(bench: Bench) -> None:
    bench.order("WHITE", requestId="kaiser-1")
    bench.run(400)
    (order,) = bench.factory.orders.values()
    assert order.order.state == "FINISHED"
    assert order.order.request_id == "kaiser-1"
    assert [step.command or step.target for step in order.order.steps] == [
        *("HBW", "DROP", "DRILL", "PICK", "DRILL", "DROP", "AIQS", "PICK", "CHECK_QUALITY", "DROP", "DPS", "PICK")
    ]
    assert {step.state for step in order.order.steps} == {"FINISHED"}
    lead_s = ((order.order.stopped or 0) - (order.order.started or 0)) / 1000
    assert 150 < lead_s < 260
    assert order.order.workpiece_id is not None
    assert bench.rejected == []
    assert bench.unknown == {}


def test_twelve_orders_with_every_fault_once_add_up(bench: Bench) -> None:
    made = 0
    for kind in ("WHITE", "RED", "BLUE"):
        for _ in range(3):
            bench.order(kind)
            made += 1
    agv = "5iO4"
    bench.run(20)
    bench.faults(offline=[DRILL], duplicate=1.0)
    bench.run(120)
    bench.faults(silent=[MILL], clock_offset_s={"ccu": -1_000_000.0, AIQS: 46.0})
    bench.run(120)
    bench.faults(slow=3.0, battery_low=[agv])
    bench.run(120)
    bench.faults(ccu_mute=True)
    bench.order("RED")  # nobody hears it
    bench.run(30)
    bench.faults(pick_failed=[MILL])
    while bench.plant.faults.pick_failed:
        bench.run(10)
    bench.faults(quality_failed=1.0)
    while bench.plant.failed < 2:
        bench.run(10)
    bench.faults(node_unknown=[agv])
    bench.run(60)
    bench.faults()
    for kind in ("WHITE", "RED", "BLUE"):
        bench.order(kind, "STORAGE", workpieceId=f"04{kind.lower()}")
        made += 1
    bench.run(4000)
    orders = [record.order for record in bench.factory.orders.values()]
    assert len(orders) == made == 12
    words = Counter(order.state for order in orders)
    failed = [order for order in orders if order.state == "ERROR"]
    assert words == {"FINISHED": 12 - len(failed), "ERROR": len(failed)}
    assert len(failed) == bench.plant.failed >= 2
    where = Counter(step.command for order in failed for step in order.steps if step.state == "ERROR")
    assert where["PICK"] == 1
    assert where["CHECK_QUALITY"] == len(failed) - 1
    for order in failed:
        states = [step.state for step in order.steps]
        at = states.index("ERROR")
        assert set(states[:at]) <= {"FINISHED"}
        assert set(states[at + 1 :]) == {"CANCELLED"}
    bays = stock_of(bench.factory)[HBW]
    assert sorted(bay.id or "" for bay in bays.values() if bay.type is not None) == ["04blue", "04red", "04white"]
    checked = sum(
        any(step.command == "CHECK_QUALITY" and step.state in {"FINISHED", "ERROR"} for step in one.steps)
        for one in orders
    )
    assert len(bench.factory.quality) == checked
    assert Counter(result for result, _, _ in bench.factory.quality)["FAILED"] == where["CHECK_QUALITY"]
    assert bench.rejected == []
    assert bench.unknown == {}
    found = {row.serial: row for row in rows(bench.factory, bench.now)}
    assert {row.connection for row in found.values() if row.type != "CHRG"} == {"ONLINE"}
    assert not any(row.loads for row in found.values() if row.kind == "agv")


def test_the_messages_have_the_forms_of_the_recorded_ones(bench: Bench) -> None:
    """Each topic's keys, and the types of their values, are those of the recorded session (of the vectors where the
    session has no such message)."""
    bench.order("WHITE")
    bench.run(400)
    recorded = forms_of((topic, payload) for topic, payload in recorded_messages())
    for shape, paths in forms_of((said.topic, said.payload) for _, said in bench.said).items():
        assert shape in recorded, f"nothing like {shape} was recorded"
        assert paths.keys() <= recorded[shape].keys(), shape
        for path, types in paths.items():
            assert types <= recorded[shape][path], f"{shape} {path}"


def recorded_messages() -> list[tuple[str, str]]:
    found = []
    for line in (GOLDEN / "factory-session.jsonl").read_text().splitlines():
        try:
            one = json.loads(line)
        except ValueError:
            continue
        if isinstance(one, dict) and isinstance(one.get("topic"), str) and isinstance(one.get("payload"), str):
            found.append((one["topic"], one["payload"]))
    vectors = json.loads((GOLDEN / "factory-messages.json").read_text())
    found += [(one["topic"], one["payload"]) for one in vectors["messages"] if one["expect"] == "accept"]
    for view in vectors["views"]:
        found += [(one["topic"], one["payload"]) for one in view.get("messages", [])]
    return found


def forms_of(messages: Any) -> dict[str, dict[str, set[str]]]:
    """By the form of the topic the paths in its payloads, and which JSON types were there."""
    forms: dict[str, dict[str, set[str]]] = {}
    for topic, payload in messages:
        found = parse(topic)
        try:
            value = json.loads(payload)
        except ValueError:
            continue
        if found is not None:
            note(forms.setdefault(found.row.template, {}), "", value)
    return forms


FREE = (".metadata", ".actionParameters")
"""Fields that may differ from message to message."""


def note(paths: dict[str, set[str]], path: str, value: Any) -> None:
    name = "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
    paths.setdefault(path, set()).add(name)
    if path.endswith(FREE):
        return
    if isinstance(value, dict):
        for key, one in value.items():
            note(paths, f"{path}.{key}", one)
    elif isinstance(value, list):
        for one in value:
            note(paths, f"{path}[]", one)


def test_the_odd_forms_are_there(bench: Bench) -> None:
    bench.order("WHITE")
    bench.run(400)
    dps = bench.words(f"module/v1/ff/{DPS}/state", "actionState", "orderUpdateId")
    running = [(action, update) for action, update in dps if action and action["state"] == "RUNNING"]
    assert [(sorted(action), update) for action, update in running] == [(["id", "state"], 0)]
    assert {update for (update,) in bench.words(f"module/v1/ff/{AIQS}/state", "orderUpdateId")} == {0}
    assert [{}] in [errors for (errors,) in bench.words(f"module/v1/ff/{DRILL}/state", "errors")]
    node_red = [a["state"] for (a,) in bench.words(f"module/v1/ff/NodeRed/{DPS}/state", "actionState")]
    assert node_red == ["FINISHED", "WAITIING", "RUNNING", "FINISHED"]
    actions = [
        one["actions"][0]["metadata"]["loadDropped"]
        for agv in bench.plant.agvs
        for one in bench.words(f"fts/v1/ff/{agv}/instantAction")
    ]
    assert actions == [False, True, False, True, False, True]


@pytest.mark.parametrize(
    ("case", "topic", "first", "second", "word"),
    [
        (
            "an update id that was used",
            f"module/v1/ff/{MILL}/order",
            {"orderId": "o", "orderUpdateId": 2, "action": {"id": "a", "command": "MILL"}},
            {"orderId": "o", "orderUpdateId": 2, "action": {"id": "b", "command": "DROP"}},
            "Validation",
        ),
        (
            "not idle",
            f"module/v1/ff/{MILL}/order",
            {"orderId": "o", "orderUpdateId": 1, "action": {"id": "a", "command": "MILL"}},
            {"orderId": "p", "orderUpdateId": 1, "action": {"id": "b", "command": "DROP"}},
            "Validation",
        ),
        (
            "no such command",
            f"module/v1/ff/{MILL}/order",
            None,
            {"orderId": "p", "orderUpdateId": 1, "action": {"id": "b", "command": "BAKE"}},
            "Validation",
        ),
        (
            "AGV: another order is in force",
            "fts/v1/ff/5iO4/order",
            {
                "orderId": "o",
                "orderUpdateId": 1,
                "nodes": [{"id": DPS, "action": {"id": "a", "type": "DOCK"}}],
                "edges": [],
            },
            {
                "orderId": "p",
                "orderUpdateId": 1,
                "nodes": [{"id": DPS, "action": {"id": "b", "type": "DOCK"}}],
                "edges": [],
            },
            "orderError",
        ),
        (
            "AGV: a lower update id",
            "fts/v1/ff/5iO4/order",
            {
                "orderId": "o",
                "orderUpdateId": 4,
                "nodes": [{"id": DPS, "action": {"id": "a", "type": "DOCK"}}],
                "edges": [],
            },
            {
                "orderId": "o",
                "orderUpdateId": 3,
                "nodes": [{"id": DPS, "action": {"id": "b", "type": "DOCK"}}],
                "edges": [],
            },
            "orderUpdateError",
        ),
        (
            "AGV: the same again is nothing",
            "fts/v1/ff/5iO4/order",
            {
                "orderId": "o",
                "orderUpdateId": 4,
                "nodes": [{"id": DPS, "action": {"id": "a", "type": "DOCK"}}],
                "edges": [],
            },
            {
                "orderId": "o",
                "orderUpdateId": 4,
                "nodes": [{"id": DPS, "action": {"id": "a", "type": "DOCK"}}],
                "edges": [],
            },
            None,
        ),
    ],
)
def test_a_machine_refuses_as_the_real_one(
    bench: Bench, case: str, topic: str, first: Any, second: Any, word: str | None
) -> None:
    if first is not None:
        bench.send(topic, first)
    before = len(bench.said)
    bench.send(topic, second)
    said = [json.loads(one.payload) for _, one in bench.said[before + 1 :]]
    errors = [error["errorType"] for one in said for error in one.get("errors", []) if error]
    assert errors == ([] if word is None else [word]), case


def test_an_agv_that_cannot_go_there_fails_every_action(bench: Bench) -> None:
    nodes = [
        {"id": HBW},
        {"id": "1", "action": {"id": "p", "type": "PASS"}},
        {"id": DPS, "action": {"id": "d", "type": "DOCK"}},
    ]
    bench.send("fts/v1/ff/5iO4/order", {"orderId": "o", "orderUpdateId": 0, "nodes": nodes, "edges": []})
    (last,) = bench.words("fts/v1/ff/5iO4/state", "actionStates")[-1]
    assert [one["state"] for one in last] == ["FAILED", "FAILED"]


def test_the_ccu_says_nothing_to_what_it_cannot_make(bench: Bench) -> None:
    for kind in ["WHITE"] * 3:
        bench.order(kind)
    answers = len(bench.words("ccu/order/response"))
    bench.order("WHITE")
    bench.order("GREEN")
    bench.order("RED", "STORAGE")
    assert len(bench.words("ccu/order/response")) == answers == 3


def test_only_an_order_that_has_not_begun_is_cancelled(bench: Bench) -> None:
    for _ in range(3):
        bench.order("WHITE")
    ids = [order.id for order in bench.plant.active]
    assert [order.state for order in bench.plant.active] == ["IN_PROGRESS", "ENQUEUED", "ENQUEUED"]
    bench.send("ccu/order/cancel", ids)
    bench.run(600)
    assert Counter(one.order.state for one in bench.factory.orders.values()) == {"CANCELLED": 2, "FINISHED": 1}


def test_a_reset_clears_orders_and_with_storage_the_stock(bench: Bench) -> None:
    bench.order("WHITE")
    bench.run(30)
    bench.send("ccu/set/reset", {"timestamp": "2026-02-13T16:26:40.000Z", "withStorage": True})
    bench.run(60)
    assert [one.order.state for one in bench.factory.orders.values()] == ["CANCELLED"]
    assert all(bay.type is None for bay in stock_of(bench.factory)[HBW].values())
    bench.order("RED", "STORAGE", workpieceId="04aa")
    bench.run(300)
    assert [bay.id for bay in stock_of(bench.factory)[HBW].values() if bay.id] == ["04aa"]


def test_an_agv_charges_when_it_is_told_and_when_its_battery_is_low(bench: Bench) -> None:
    bench.send("ccu/set/charge", {"serialNumber": "5iO4", "charge": True})
    bench.run(60)
    assert bench.plant.agvs["5iO4"].charging
    bench.send("ccu/set/charge", {"serialNumber": "5iO4", "charge": False})
    assert not bench.plant.agvs["5iO4"].charging
    bench.faults(battery_low=["leJ4"])
    bench.run(60)
    assert bench.plant.agvs["leJ4"].charging
    bench.run(600)
    assert not bench.plant.agvs["leJ4"].charging
    assert bench.plant.agvs["leJ4"].battery >= 90


def test_a_lost_agv_finds_its_place_again(bench: Bench) -> None:
    bench.faults(node_unknown=["5iO4"])
    assert bench.words("fts/v1/ff/5iO4/state", "lastNodeId")[-1] == ("UNKNOWN",)
    action = {"actionId": "a", "actionType": "findInitialDockPosition", "metadata": {"nodeId": DPS}}
    bench.send("fts/v1/ff/5iO4/instantAction", {"serialNumber": "5iO4", "actions": [action]})
    assert bench.words("fts/v1/ff/5iO4/state", "lastNodeId")[-1] == (DPS,)


def test_a_factory_that_was_killed_goes_on_with_the_very_same(bench: Bench) -> None:
    """Stored and read again at any moment, it says the same to the last byte."""
    other = Bench(again(bench.plant))
    for one in (bench, other):
        one.said.clear()
        one.order("BLUE")
    for _ in range(40):
        for one in (bench, other):
            one.run(11)
        other.plant = again(other.plant)
    for mine, others in zip(bench.said, other.said, strict=True):
        assert mine == others
    assert len(bench.said) > 300


def again(plant: Plant) -> Plant:
    return msgspec.json.decode(msgspec.json.encode(plant), type=Plant)


SERIALS = st.sampled_from([HBW, DRILL, MILL, AIQS, DPS, "5iO4", "leJ4", "nobody"])
ACTS = st.one_of(
    st.tuples(st.just("run"), st.floats(0.01, 90)),
    st.tuples(st.just("order"), st.sampled_from(["WHITE", "RED", "BLUE", "GREEN"])),
    st.tuples(st.just("storage"), st.sampled_from(["WHITE", "RED"])),
    st.tuples(st.just("offline"), SERIALS),
    st.tuples(st.just("silent"), SERIALS),
    st.tuples(st.just("pick_failed"), SERIALS),
    st.tuples(st.just("well"), st.none()),
    st.tuples(st.just("reset"), st.booleans()),
    st.tuples(st.just("garbage"), st.binary(max_size=40)),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(ACTS, max_size=25), st.integers(0, 2**32))
def test_whatever_happens_it_stays_bounded_and_readable_and_comes_to_rest(acts: list[Any], seed: int) -> None:
    setup = factory_of.default_setup(str(seed), speed=10)
    setup.refill = False
    bench = Bench(factory_of.new_plant(setup, STOCK))
    bench.begin()
    for what, value in acts:
        match what:
            case "run":
                bench.run(value)
            case "order":
                bench.order(value)
            case "storage":
                bench.order(value, "STORAGE", workpieceId=f"04{len(bench.said):012x}")
            case "well":
                bench.faults()
            case "reset":
                bench.send("ccu/set/reset", {"timestamp": "2026-02-13T16:26:40.000Z", "withStorage": value})
            case "garbage":
                for topic in (f"module/v1/ff/{MILL}/order", "fts/v1/ff/5iO4/order", "ccu/set/flows"):
                    factory_of.hear(bench.plant, Arrival(topic, value, bench.now))
            case _:
                bench.faults(**{what: [value]})
    bench.faults()
    bench.run(600)
    assert bench.rejected == []
    assert bench.plant.active == []
    assert set(bench.plant.reserved) <= {"CHRG0"}
    assert len(bench.plant.timers) < 20
    states = {record.order.state for record in bench.factory.orders.values()}
    assert states <= {"FINISHED", "ERROR", "CANCELLED"}
