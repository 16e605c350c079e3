"""The parts of an AGV's way, by the transitions of its actions; pure, and of the recorded production."""

from pathlib import Path

from kaiser_factory.domain.drives import DriveTransition, parts_of
from kaiser_factory.domain.rows import Past, rows_of
from kaiser_factory_dialect.intake import Intake
from kaiser_factory_dialect.reading import Arrival, FactoryAccepted
from kaiser_factory_dialect.recordings import parse_file

SESSION = Path(__file__).parents[3] / "tests/golden/factory-session.jsonl"


def way(*reports: tuple[int, str, str, str], serial: str = "A") -> list[DriveTransition]:
    return [DriveTransition(serial, at, state, action_id, command) for at, state, action_id, command in reports]


def test_each_part_begins_where_the_one_before_ended() -> None:
    first = way(
        (0, "WAITING", "p", "PASS"),
        (0, "WAITING", "d", "DOCK"),
        (2000, "FINISHED", "p", "PASS"),
        (4000, "RUNNING", "d", "DOCK"),
        (4500, "FINISHED", "p", "PASS"),  # once more, as a report that was evicted from the last eight
        (9000, "FINISHED", "d", "DOCK"),
        (60_000, "WAITING", "t", "TURN"),
        (61_000, "FAILED", "t", "TURN"),
    )
    found = parts_of([*first, *way((5, "FINISHED", "e", "DOCK"), serial="B")])
    assert {dock: [(part.command, part.started, part.stopped) for part in parts] for dock, parts in found.items()} == {
        "d": [("PASS", 0, 2000), ("DOCK", 2000, 9000)],
        "e": [("DOCK", 5, 5)],
    }


def test_the_ways_of_the_recorded_production_have_the_parts_that_were_driven() -> None:
    intake, messages = Intake(), []
    for each in parse_file("session.jsonl", SESSION.read_bytes()).messages:
        verdict = intake.take(Arrival(each.topic, each.payload, each.at_ms, each.qos, each.retained, "live", 1))
        if isinstance(verdict, FactoryAccepted):
            messages.append(verdict.message)
    rows = rows_of("live", messages, Past())
    transitions = [
        DriveTransition(serial, round(at.timestamp() * 1000), value, action_id, command or "")
        for at, _, serial, what, value, action_id, command, _, _ in rows.transitions
        if what == "action" and command in {"PASS", "TURN", "DOCK"}
    ]
    ways = list(parts_of(sorted(transitions, key=lambda one: (one.serial, one.at))).values())
    assert [[part.command for part in parts] for parts in ways[:2]] == [
        ["PASS", "PASS", "DOCK"],
        ["TURN", "TURN", "DOCK"],
    ]
    assert [part.stopped - part.started for part in ways[0]] == [2400, 2400, 8600]
