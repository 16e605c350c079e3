"""Which messages are an event of a module: those that change its row, and, every 5 s, that it was heard."""

import json
from collections.abc import Sequence
from typing import Any

from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_factory.domain.live import Changes, FactoryState
from kaiser_factory_dialect.reading import Arrival, read

NOW = 1_771_000_000_000


class Heard:
    """The state of a factory, and the events that messages at some ms after NOW make."""

    def __init__(self, since: int = 0) -> None:
        self.state = FactoryState(FactoryEnvironment(env="live", kind="live", epoch=1, since=since), ("uagv",))

    def take(self, at: int, *, retained: bool = False, **fields: Any) -> list[Any]:
        payload = {"serialNumber": "S1", "errors": [], "actionState": None, **fields}
        arrival = Arrival("module/v1/ff/S1/state", json.dumps(payload).encode(), NOW + at, 1, retained)
        changes = Changes()
        found = read(arrival, ())
        self.state.take(found.message, found.oddities, found.unknown, changes)
        return [module for _, _, module in self.state.news(changes, NOW + at)]


def action(state: str, at: str) -> dict[str, Any]:
    return {"id": "a1", "command": "PICK", "state": state, "timestamp": at}


def test_the_same_state_again_is_told_every_5_s_alone():
    heard = Heard()
    assert [len(heard.take(at)) for at in (0, 1000, 4999, 5000, 6000, 9999, 10_000)] == [1, 0, 0, 1, 0, 0, 1]
    assert heard.take(15_000)[0].last_seen == NOW + 15_000


def test_another_state_is_told_at_once_and_another_time_of_the_same_action_is_not():
    heard = Heard()
    heard.take(0, actionState=action("RUNNING", "2026-02-02T04:10:00Z"))
    assert heard.take(100, actionState=action("RUNNING", "2026-02-02T04:10:01Z")) == []
    assert heard.take(150, actionState=action("RUNNING", "2026-02-02T04:10:01Z")) == []
    [module] = heard.take(200, actionState=action("FINISHED", "2026-02-02T04:10:02Z"))
    assert (module.action.state, module.last_seen) == ("FINISHED", NOW + 200)


def test_a_module_that_was_stale_is_told_when_it_is_heard():
    heard = Heard(since=NOW + 500)
    assert [module.stale for module in heard.take(0, retained=True)] == [True]
    assert [module.stale for module in heard.take(100)] == []
    assert [module.stale for module in heard.take(600)] == [False]


def state_of(messages: Sequence[tuple[str, Any, str]]) -> tuple[FactoryState, Changes]:
    """The state after messages: topic, payload and verdict of each."""
    state, changes = FactoryState(FactoryEnvironment(env="live", kind="live", epoch=1, since=0), ("uagv",)), Changes()
    for topic, payload, verdict in messages:
        found = read(Arrival(topic, json.dumps(payload).encode(), NOW), ("uagv",))
        assert found.message.kind.value == verdict
        state.take(found.message, found.oddities, found.unknown, changes)
    return state, changes


def state_from(topic: str, payload: Any, verdict: str) -> FactoryState:
    """The state from the last value of a topic."""
    state = FactoryState(FactoryEnvironment(env="live", kind="live", epoch=1, since=0), ("uagv",))
    state.take_last(Arrival(topic, json.dumps(payload).encode(), NOW), verdict)
    return state


def test_what_the_broker_has_repeated_counts_as_the_last_value_from_before():
    repeated = ("module/v1/ff/S1/state", {"serialNumber": "S1", "actionState": None}, "retained_same")
    assert state_from(*repeated).factory.machines.keys() == {"S1"}


def test_what_was_rejected_or_only_kept_is_no_part_of_the_state():
    for verdict in ("5205", "observed", "retained_command", "uncatalogued"):
        assert state_from("module/v1/ff/S1/state", {"serialNumber": "S1"}, verdict).factory.machines == {}


def test_of_what_factory_has_the_messages_long_before_the_last_value_of_their_topic_are_left_out():
    state = state_from("module/v1/ff/S1/state", {"serialNumber": "S1", "actionState": None}, "module.state")
    told = [state.has("module/v1/ff/S1/state", NOW + at) for at in (-10_001, -10_000, 0, 1)]
    assert told == [True, False, False, False]
    assert not state.has("module/v1/ff/S2/state", NOW - 10_001), "TOPICS has none of this topic"


def test_a_reset_a_pairing_and_the_state_of_node_red_are_about_every_machine():
    for topic, payload, verdict in (
        ("ccu/global", {"type": "reset"}, "ccu.global"),
        ("ccu/pairing/state", {"modules": []}, "ccu.pairing"),
        ("module/v1/ff/NodeRed/status", {"connectionState": "OFFLINE"}, "nodered.status"),
    ):
        assert state_of([(topic, payload, verdict)])[1].all_serials


def test_of_txts_and_unknown_fields_a_bounded_number_is_remembered():
    climate = [(f"/j1/txt/{number}/i/bme680", {"t": 20.0}, "txt.sensor") for number in range(40)]
    assert len(state_of(climate)[0].txts) == 16
    odd = [
        ("module/v1/ff/S1/state", {"serialNumber": "S1", f"field{number}": 1}, "module.state")
        for number in [*range(300), 0]
    ]
    unknown = state_of(odd)[0].coverage.unknown["module.state"]
    assert (len(unknown), unknown["field0"], unknown["field99"]) == (100, 2, 1)
