"""The messages of a replay, their times, and whether its end is the one expected; pure."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_common.contract.schemas.factory import FactoryModule, FactoryOrder, FactoryStore
from kaiser_factory_dialect.lanes import FactoryOutgoing, Gate, breach
from kaiser_factory_dialect.recordings import Recorded, parse_file
from kaiser_recorder.domain.replayed import MOST_BYTES, ReplayedTopics, ToSend, to_send
from kaiser_recorder.domain.schedule import Schedule
from kaiser_recorder.domain.verdict import differences_at_end, fault_of

GOLDEN = Path(__file__).parents[3] / "tests/golden"
SESSION = parse_file("session.jsonl", (GOLDEN / "factory-session.jsonl").read_bytes()).messages
EXPECTED = json.loads((GOLDEN / "factory-session.expected.json").read_text())
GATE = Gate("replay", "replay", 3)
INTERFACES = ("uagv",)


def sent(topic: str, payload: bytes = b"{}", *, shift_ms: int = 0, gate: Gate = GATE, retained: bool = False) -> Any:
    return to_send(Recorded(topic, payload, 0, 1, retained), gate, shift_ms, INTERFACES)


@pytest.mark.parametrize(
    ("topic", "recorded_retained", "retained"),
    [
        ("module/v1/ff/S/state", False, True),
        ("ccu/order/active", False, True),
        ("ccu/order/response", False, False),
        ("ccu/order/response", True, True),
        ("some/thing/else", True, True),
        ("some/thing/else", False, False),
    ],
)
def test_retained_is_what_came_so_or_is_so_at_the_factory(topic: str, recorded_retained: bool, retained: bool):
    found = sent(topic, retained=recorded_retained)
    assert (found.message.topic, found.message.retained) == (topic, retained)


@pytest.mark.parametrize(
    "topic", ["ccu/set/park", "module/v1/ff/S/order", "fts/v1/ff/A/instantAction", "/j1/txt/1/o/ptu"]
)
def test_a_command_is_left_out_unless_armed_and_then_never_retained(topic: str):
    assert sent(topic, retained=True) == "left out"
    armed = sent(topic, retained=True, gate=Gate("replay", "replay", 3, armed=True))
    assert (armed.message.topic, armed.message.retained) == (topic, False)


def test_every_time_moves_by_one_constant_and_everything_else_stays():
    payload = b'{"timestamp": "2026-02-13T16:26:40.5Z", "loads": [{"ts": 1771000000000}], "orderUpdateId": 7}'
    found = sent("module/v1/ff/S/state", payload, shift_ms=3_600_000)
    assert found.message.payload == (
        b'{"timestamp": "2026-02-13T17:26:40.5Z", "loads": [{"ts": 1771003600000}], "orderUpdateId": 7}'
    )
    assert sent("module/v1/ff/S/state", b"\xff\x00", shift_ms=5).message.payload == b"\xff\x00"


def test_a_device_is_replayed_as_a_simulated_one_in_topic_and_payload():
    payload = b'{"esp_id": "ESP_0A1B", "name": "my ESP_0A1B"}'
    found = sent("kaiser/god/esp/ESP_0A1B/sensor/4/data", payload, retained=True)
    assert found.message.topic == "kaiser/god/esp/SIM_0A1B/sensor/4/data"
    assert found.message.payload == b'{"esp_id": "SIM_0A1B", "name": "my ESP_0A1B"}'
    assert (found.serial, found.device, found.message.retained) == ("SIM_0A1B", "SIM_0A1B", False)
    for topic in (
        "kaiser/god/esp/ESP_0A1B/actuator/5/command",
        "kaiser/broadcast/emergency",
        "kaiser/god/server/status",
    ):
        assert sent(topic) == "left out"


def test_what_is_too_large_or_no_topic_has_failed_or_is_left_out():
    assert sent("a", b"x" * (MOST_BYTES + 1)) == "failed"
    assert sent("a" * 300) == "failed"
    assert sent("module/v1/ff/SVR 1/state") == "failed"
    assert sent("some/*/thing") == "failed"
    assert sent("$SYS/x") == "left out"


@given(st.sampled_from(SESSION), st.booleans())
def test_whatever_is_sent_passes_the_guard_of_ingest(recorded: Recorded, armed: bool):
    gate = Gate("replay", "replay", 3, armed)
    found = to_send(recorded, gate, 1000, INTERFACES)
    if isinstance(found, ToSend):
        outgoing = FactoryOutgoing("replay", found.message.topic, "replay", 3, 0, found.message.retained)
        assert breach(outgoing, gate, 10**13, INTERFACES) is None


def test_of_the_session_all_but_its_commands_and_a_topic_with_a_space_is_sent():
    found = [to_send(each, GATE, 0, INTERFACES) for each in SESSION]
    assert (len(found), found.count("left out"), found.count("failed")) == (566, 131, 1)


def test_filters_choose_and_exclusions_take_away():
    topics = ReplayedTopics(["module/#", "ccu/order/+"], ["module/v1/+/NodeRed/#"])
    assert topics.has("module/v1/ff/S/state")
    assert topics.has("ccu/order/active")
    assert not topics.has("module/v1/ff/NodeRed/S/state")
    assert not topics.has("fts/v1/ff/A/state")
    assert ReplayedTopics(None, []).has("anything")


@pytest.mark.parametrize(("speed", "waits"), [(1.0, 10.0), (20.0, 0.5), (100.0, 0.1), (0.1, 100.0), (None, 0.0)])
def test_a_message_waits_by_its_time_and_the_speed(speed: float | None, waits: float):
    schedule = Schedule(speed)
    assert schedule.wait_s(5_000_000, 100.0) == 0
    assert schedule.wait_s(15_000_000, 100.0) == pytest.approx(waits)
    assert schedule.wait_s(15_000_000, 100.0 + waits) == 0


def test_a_replay_that_is_late_goes_on_from_there_and_says_by_how_much():
    schedule = Schedule(1.0)
    schedule.wait_s(0, 100.0)
    assert schedule.wait_s(1_000_000, 131.0) == 0
    assert schedule.take_behind_ms() == 30_000
    assert schedule.wait_s(2_000_000, 131.0) == pytest.approx(1.0)
    assert schedule.take_behind_ms() == 0


def test_a_message_of_before_is_due_and_after_a_pause_the_next_one_is():
    schedule = Schedule(1.0)
    schedule.wait_s(10_000_000, 100.0)
    assert schedule.wait_s(9_000_000, 100.0) == 0
    schedule.restart(2.0)
    assert schedule.wait_s(50_000_000, 200.0) == 0
    assert schedule.wait_s(52_000_000, 200.0) == pytest.approx(1.0)


def end() -> dict[str, Any]:
    """The factory as it answers, in the end that the session expects."""
    modules = [
        FactoryModule.model_validate(
            {
                **{name: value for name, value in each.items() if name in FactoryModule.model_fields},
                "env": "replay",
                "ts": 0,
                "silent": True,
                "availability": "BLOCKED",
                "loads": [{"position": at, "type": kind, "id": one} for at, kind, one in each["loads"]],
                "errors": [{"type": kind, "level": level} for kind, level in each["errors"]],
            }
        )
        for each in EXPECTED["modules"]
    ]
    orders = [FactoryOrder.model_validate({**each, "env": "replay", "ts": 0}) for each in EXPECTED["orders"]]
    stores = [
        FactoryStore.model_validate(
            {
                "env": "replay",
                "hbw": hbw,
                "ts": 0,
                "bays": [
                    {"location": at, **dict(zip(("type", "id", "state"), bay or (), strict=False))}
                    for at, bay in bays.items()
                ],
            }
        )
        for hbw, bays in EXPECTED["stock"].items()
    ]
    kinds = {kind: count for kind, count in EXPECTED["accepted"].items() if not kind.endswith(("order", "instant"))}
    return {"modules": modules, "orders": orders[::-1], "stores": stores, "kinds": kinds}


def test_the_expected_end_has_no_difference_whatever_its_times():
    assert fault_of(EXPECTED) is None
    assert differences_at_end(EXPECTED, **end()) == []


def test_each_difference_is_a_line():
    found = end()
    found["modules"] = found["modules"][1:]
    found["orders"][0] = found["orders"][0].model_copy(update={"state": "ERROR"})
    found["orders"].append(found["orders"][0].model_copy(update={"order_id": "another"}))
    found["stores"][0].bays[0] = found["stores"][0].bays[0].model_copy(update={"type": "WHITE"})
    found["kinds"]["ccu.stock"] = 0
    lines = differences_at_end(EXPECTED, **found)
    assert [line.split(":")[0] for line in lines] == [
        "modules.CHRG0",
        "orders.d8ee2e55-8cf8-4dd1-897b-f8906d8a2a35.state",
        "orders.another",
        "stock.SVRT10001.A1[0]",
        "accepted.ccu.stock",
    ]


@pytest.mark.parametrize(
    "expected",
    [{}, {"modules": 1}, {"modules": [1]}, {"orders": [{}]}, {"stock": []}, {"accepted": {"ccu.stock": "3"}}],
)
def test_what_is_no_expectation_says_why(expected: dict[str, Any]):
    assert fault_of(expected) is not None
