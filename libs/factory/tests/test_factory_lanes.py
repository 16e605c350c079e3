"""The guard of the lanes: never retained, never late, never from another environment, never a command in a replay."""

from itertools import product

import pytest
from kaiser_factory_dialect.catalogue import ROWS
from kaiser_factory_dialect.lanes import FactoryOutgoing, Gate, Lane, breach

NOW = 1_771_000_000_000
FILLED = {"{m}": "ff", "{s}": "S1", "{n}": "1", "{i}": "uagv", "{v}": "v2", "{x}": "S1", "#": "any"}
DIRECTIONS = {"/".join(FILLED.get(level, level) for level in row.template.split("/")): row.direction for row in ROWS}
TOPICS = (
    *DIRECTIONS,
    "omf/x",
    "kaiser/god/esp/ESP_1/actuator/5/command",
    "kaiser/god/esp/ESP_1/system/heartbeat",
    "kaiser/god/esp/SIM_1/system/heartbeat",
    "kaiser/god/esp/SIM_1/actuator/5/command",
    "kaiser/broadcast/emergency",
    "kaiser",
    "",
    "a/+",
    "#",
    "$SYS/x",
)
HEARTBEAT_OF_SIMULATED = "kaiser/god/esp/SIM_1/system/heartbeat"
LANES: tuple[Lane, ...] = ("command", "mock", "replay")
AGES_MS = (-20_000, -10_001, -10_000, 0, 10_000, 10_001, 20_000)
FLAGS = (False, True)
GATES = [Gate(kind, "live", 1, armed) for kind in ("live", "mock", "replay") for armed in FLAGS]


@pytest.mark.parametrize("lane", LANES)
def test_nothing_leaves_that_must_not(lane: Lane):
    """Every combination of kind, topic, environment, epoch, age and flags: the one that must not leave may be rare."""
    passed = 0
    places = [("live", 1), ("live", 2), ("live", 0), ("mock", 1)]
    for topic, (env, epoch), age, retain, free, clears in product(TOPICS, places, AGES_MS, FLAGS, FLAGS, FLAGS):
        message = FactoryOutgoing(lane, topic, env, epoch, NOW - age, retain, free, clears)
        for gate in GATES:
            if breach(message, gate, NOW) is None:
                passed += 1
                may_leave(message, gate)
    assert passed


def may_leave(message: FactoryOutgoing, gate: Gate) -> None:
    """Assert all that must hold of a message that leaves."""
    assert (message.env, message.epoch) == (gate.env, gate.epoch)
    assert not message.topic.startswith("$")
    if message.topic.startswith("kaiser"):
        assert (message.lane, message.topic, message.retain) == ("replay", HEARTBEAT_OF_SIMULATED, False)
    assert message.topic
    assert not set(message.topic) & set("+#")
    listens = DIRECTIONS.get(message.topic) in {"in", "both"}
    clearing = message.lane == "command" and message.retain and message.clears
    assert not (message.retain and listens) or clearing
    match message.lane:
        case "command":
            assert not message.retain or clearing
            assert abs(NOW - message.queued_at) <= 10_000
            assert gate.kind != "replay" or gate.armed
            assert listens or message.free or clearing
        case "mock":
            assert gate.kind == "mock"
            assert message.topic in DIRECTIONS
        case "replay":
            assert gate.kind == "replay"
            assert gate.armed or not listens


@pytest.mark.parametrize(
    ("lane", "topic", "kind", "passes"),
    [
        ("command", "ccu/set/park", "live", True),
        ("command", "ccu/set/park", "mock", True),
        ("command", "ccu/set/park", "replay", False),
        ("command", "ccu/order/active", "live", False),
        ("mock", "ccu/order/active", "mock", True),
        ("mock", "ccu/order/active", "live", False),
        ("replay", "omf/x", "replay", True),
        ("replay", "ccu/order/active", "live", False),
        ("replay", "ccu/set/park", "replay", False),
        ("replay", "fts/v1/ff/5iO4/order", "replay", False),
        ("replay", "kaiser/god/esp/SIM_1/sensor/4/data", "replay", True),
        ("replay", "kaiser/god/esp/SIM_1/sensor/4/data", "live", False),
        ("replay", "kaiser/god/esp/SIM_1/actuator/4/command", "replay", False),
        ("replay", "kaiser/god/esp/ESP_1/sensor/4/data", "replay", False),
        ("mock", "kaiser/god/esp/SIM_1/sensor/4/data", "mock", False),
    ],
)
def test_each_lane_has_its_topics_and_environments(lane: str, topic: str, kind: str, passes: bool):
    message, gate = FactoryOutgoing(lane, topic, "live", 1, NOW), Gate(kind, "live", 1)  # type: ignore[arg-type]
    assert (breach(message, gate, NOW) is None) is passes


def test_a_run_that_is_armed_may_send_commands():
    for lane in ("command", "replay"):
        message = FactoryOutgoing(lane, "ccu/set/park", "r", 1, NOW)  # type: ignore[arg-type]
        assert breach(message, Gate("replay", "r", 1, armed=True), NOW) is None
