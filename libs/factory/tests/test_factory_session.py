"""A whole recorded production with noise: it ends as handed, and the comparison looks at every field."""

import copy
import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kaiser_factory_dialect.apply import apply
from kaiser_factory_dialect.ccu_messages import OrderRequest
from kaiser_factory_dialect.commands import command_of
from kaiser_factory_dialect.compare import differences
from kaiser_factory_dialect.intake import Intake
from kaiser_factory_dialect.journal import JournalEntry, expire, queue, sent, settle_all
from kaiser_factory_dialect.messages import AgvOrder, FactoryMessage, ModuleOrder
from kaiser_factory_dialect.reading import FactoryAccepted
from kaiser_factory_dialect.recordings import Recorded, Recording, parse_file
from kaiser_factory_dialect.session import summary_of, walk
from kaiser_factory_dialect.shift import shift_times
from kaiser_factory_dialect.snapshot import arrival_of
from kaiser_factory_dialect.timeline import order_rows
from kaiser_factory_dialect.view import rows, stock_of
from kaiser_factory_dialect.world import Factory
from msgspec.structs import replace

DATA = Path(__file__).parents[3] / "tests/golden"
EXPECTED = json.loads((DATA / "factory-session.expected.json").read_text())
EXPECTED.pop("about")


@pytest.fixture(scope="module")
def recording() -> Recording:
    return parse_file("session.jsonl", (DATA / "factory-session.jsonl").read_bytes())


@pytest.fixture(scope="module")
def summary(recording: Recording) -> dict[str, Any]:
    return msgspec.to_builtins(summary_of(recording, EXPECTED))


def test_the_session_ends_as_expected(summary: dict[str, Any]):
    assert differences(EXPECTED, summary) == []


def test_every_message_is_accepted_rejected_or_ignored(summary: dict[str, Any]):
    counts = [sum(summary[verdict].values()) for verdict in ("accepted", "rejected", "ignored")]
    assert sum(counts) == EXPECTED["messages"]


def leaves(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [leaf for key, value in items for leaf in leaves(value, (*path, key))] or [path]


def test_no_field_of_the_expectation_goes_uncompared(summary: dict[str, Any]):
    """Each leaf is changed once; the comparison has to say so."""
    unseen = []
    for path in leaves(EXPECTED):
        changed = copy.deepcopy(EXPECTED)
        holder = changed
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = "another"
        if not differences(changed, summary):
            unseen.append(path)
    assert unseen == []


def test_a_session_that_is_moved_in_time_ends_the_same(recording: Recording):
    delta_ms = 86_400_123
    moved = Recording(
        messages=[
            Recorded(one.topic, shifted(one.payload, delta_ms), one.at_us + delta_ms * 1000, one.qos, one.retained)
            for one in recording.messages
        ],
        skipped=recording.skipped,
        lines=recording.lines,
    )
    found = msgspec.to_builtins(summary_of(moved, EXPECTED))
    assert differences(EXPECTED, found) == []


def shifted(payload: bytes, delta_ms: int) -> bytes:
    try:
        return shift_times(payload.decode(), delta_ms).encode()
    except UnicodeDecodeError:
        return payload


def test_each_order_of_the_session_ends_in_the_journal_when_its_step_ended(recording: Recording):
    """As if Kaiser had sent them: the journal must see the end that the expected timeline has."""
    intake, start = Intake(), recording.messages[0].at_ms
    entries: list[JournalEntry] = []
    types = {step["serial"]: step["module_type"] for step in EXPECTED["timeline"]}
    for one in recording.messages:
        entries = [expire(entry, one.at_ms) for entry in entries]
        verdict = intake.take(arrival_of(one))
        if not isinstance(verdict, FactoryAccepted):
            continue
        message = verdict.message
        entries = settle_all(entries, message)
        if isinstance(message, ModuleOrder | AgvOrder | OrderRequest):
            command = command_of(message, types.get(message.serial))
            entries.append(sent(queue(command, message.ts), message.ts))
    ends = {entry.command.action_id: (entry.state, entry.at - start, entry.result) for entry in entries}
    steps = {step["id"]: step for step in EXPECTED["timeline"]}
    assert set(ends) >= set(steps)
    for step_id, step in steps.items():
        assert ends[step_id] == ("finished", step["finished_received_ms"], step["result"]), step
    requests = [entry for entry in entries if entry.command.what == "ccu.request"]
    assert [(entry.state, entry.order_id) for entry in requests] == [("finished", EXPECTED["orders"][1]["order_id"])]


def test_the_last_message_of_each_topic_makes_the_same_factory_at_any_time(recording: Recording):
    """As after a restart. An order between active and completed is known less well, as is the last module of an AGV on
    its way: no topic has them."""
    intake, factory, last = Intake(), Factory(), dict[str, FactoryMessage]()
    for number, one in enumerate(recording.messages):
        verdict = intake.take(arrival_of(one))
        if isinstance(verdict, FactoryAccepted):
            apply(factory, verdict.message)
            last.pop(one.topic, None)
            last[one.topic] = verdict.message
        if number % 9 and number < len(recording.messages) - 1:
            continue
        again = Factory()
        for message in last.values():
            apply(again, message)
        found, known = ([replace(row, at=None) for row in rows(each, one.at_ms)] for each in (again, factory))
        assert found == known, number
        assert stock_of(again) == stock_of(factory), number
        if all(record.missing_since is None for record in factory.orders.values()):
            assert order_rows(again, one.at_ms) == order_rows(factory, one.at_ms), number


@pytest.mark.speed
def test_168_000_messages_take_less_than_20_s(recording: Recording):
    """The session again and again, each time 5 minutes later, so that no time comes twice."""
    messages = [
        Recorded(one.topic, shifted(one.payload, turn * 300_000), one.at_us + turn * 300_000_000, one.qos, one.retained)
        for turn in range(168_000 // len(recording.messages) + 1)
        for one in recording.messages
    ][:168_000]
    began = time.process_time()
    found = walk(messages)
    took = time.process_time() - began
    print(f"168,000 messages in {took:.1f} s of CPU")
    assert sum(sum(one.values()) for one in (found.accepted, found.rejected, found.ignored)) == 168_000
    assert took < 20
