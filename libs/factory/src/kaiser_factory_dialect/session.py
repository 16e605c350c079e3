"""Applies a recording to an empty factory, and returns the final state in the form of a `*.expected.json` file."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from kaiser_common.contract.errors import Rejected

from kaiser_factory_dialect.apply import apply
from kaiser_factory_dialect.ccu_messages import StockItem
from kaiser_factory_dialect.facts import ConnectionChanged, Fact, MachineHeard, NodeReached
from kaiser_factory_dialect.intake import Intake
from kaiser_factory_dialect.messages import TxtSensor
from kaiser_factory_dialect.reading import FactoryAccepted, FactoryIgnored
from kaiser_factory_dialect.recordings import Recorded, Recording
from kaiser_factory_dialect.snapshot import arrival_of, snapshot_at
from kaiser_factory_dialect.timeline import StepRow, order_rows, timeline_of
from kaiser_factory_dialect.txt_readings import TxtReading, readings_of
from kaiser_factory_dialect.view import MachineRow, rows, stock_of
from kaiser_factory_dialect.world import Factory


@dataclass(slots=True)
class Walk:
    """The result of applying a recording. Times in it are ms of receipt."""

    factory: Factory = field(default_factory=Factory)
    accepted: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    oddities: Counter[str] = field(default_factory=Counter)
    retained_commands: set[str] = field(default_factory=set)
    breaks: list[tuple[str, int, int | None]] = field(default_factory=list)
    metres: dict[str, float] = field(default_factory=dict)
    readings: Counter[int] = field(default_factory=Counter)
    last_readings: dict[int, TxtReading] = field(default_factory=dict)
    end: int = 0


def walk(messages: list[Recorded]) -> Walk:
    """Read each message and apply what is accepted, in the order of the recording."""
    found, intake = Walk(), Intake()
    for message in messages:
        found.end = message.at_ms
        match intake.take(arrival_of(message)):
            case FactoryAccepted(read, oddities):
                found.accepted[read.kind] += 1
                for odd in oddities:
                    found.oddities[odd] += 1
                for fact in apply(found.factory, read):
                    _note(found, fact)
                if isinstance(read, TxtSensor):
                    for reading in readings_of(read, "replay"):
                        found.readings[reading.gpio] += 1
                        found.last_readings[reading.gpio] = reading
            case FactoryIgnored(reason):
                found.ignored[reason] += 1
                if reason == "retained_command":
                    found.retained_commands.add(message.topic)
            case Rejected() as rejected:
                found.rejected[str(rejected.code.value)] += 1
    return found


def _note(found: Walk, fact: Fact) -> None:
    match fact:
        case MachineHeard():
            pass
        case ConnectionChanged(serial=serial, before=before, after=after, at=at):
            if before == "ONLINE":
                found.breaks.append((serial, at, None))
            elif after == "ONLINE":
                found.breaks = [
                    (s, start, at if s == serial and end is None else end) for s, start, end in found.breaks
                ]
        case NodeReached(serial=serial, length=length) if length is not None:
            found.metres[serial] = found.metres.get(serial, 0) + length
        case _:
            pass


def summary_of(recording: Recording, expected: dict[str, Any]) -> dict[str, Any]:
    """The end of a recording in the form of an expectation; `expected` says which order's timeline, and where to seek.

    *_ms are since the first message, as received; started_ms and stopped_ms since the start of the order by the
    CCU's clock; metres to the decimetre.
    """
    found = walk(recording.messages)
    start = recording.messages[0].at_ms if recording.messages else 0
    factory, now = found.factory, found.end
    clocks = expected.get("skew_ms", {})
    return {
        "lines": recording.lines,
        "messages": len(recording.messages),
        "skipped": skipped_summary(recording, expected.get("skipped", [])),
        "end_ms": now - start,
        "accepted": {str(kind): count for kind, count in found.accepted.items()},
        "rejected": dict(found.rejected),
        "ignored": dict(found.ignored),
        "modules": [_module(one, start) for one in rows(factory, now)],
        "orders": [{name: getattr(one, name) for name in one.__struct_fields__} for one in order_rows(factory, now)],
        "timeline": _timeline(factory, expected.get("timeline", []), start),
        "stock": stock_summary(factory),
        "quality": [[result, classification] for result, classification, _ in factory.quality],
        "connection_breaks": [
            [one, begin - start, None if end is None else end - start] for one, begin, end in found.breaks
        ],
        "readings": {
            "device": next((one.device for one in found.last_readings.values()), None),
            "count_by_gpio": {str(gpio): count for gpio, count in sorted(found.readings.items())},
            "last": {str(gpio): one.value for gpio, one in sorted(found.last_readings.items())},
        },
        "agv_metres": {serial: round(length / 1000, 1) for serial, length in found.metres.items()},
        "skew_ms": {clock: factory.clocks.skew_ms(clock) for clock in clocks},
        "seek": _seek(recording, expected.get("seek", {}).get("to_ms"), start),
        "retained_commands": sorted(found.retained_commands),
        "oddities": dict(found.oddities),
    }


def skipped_summary(recording: Recording, expected: list[list[Any]]) -> list[list[Any]]:
    """The bad lines; an expectation gives the beginning of a reason, and only that is compared."""
    begins = [str(reason) for _, reason in expected] + [""] * len(recording.skipped)
    return [
        [line, begin if begin and reason.startswith(begin) else reason]
        for (line, reason), begin in zip(recording.skipped, begins, strict=False)
    ]


def _module(row: MachineRow, start: int) -> dict[str, Any]:
    return row_summary(row) | {"last_seen_ms": None if row.last_seen is None else row.last_seen - start}


def row_summary(row: MachineRow) -> dict[str, Any]:
    """A row as expectations write it: loads are [position, type, id], errors [type, level]."""
    action = row.action
    return {name: getattr(row, name) for name in row.__struct_fields__} | {
        "action": None
        if action is None
        else {"id": action.id, "command": action.command, "state": action.state, "result": action.result},
        "loads": [[load.position, load.type, load.id] for load in row.loads],
        "errors": [[error.type, error.level] for error in row.errors],
    }


def stock_summary(factory: Factory) -> dict[str, dict[str, Any]]:
    """Bays as expectations write them: [type, id, state], or null where empty."""
    return {hbw: {at: _bay(item) for at, item in bays.items()} for hbw, bays in stock_of(factory).items()}


def _bay(item: StockItem) -> list[str | None] | None:
    return None if item.type is None else [item.type, item.id, item.state]


def _timeline(factory: Factory, expected: list[dict[str, Any]], start: int) -> list[dict[str, Any]]:
    """The steps of the order to which the first expected step belongs."""
    wanted = expected[0].get("id") if expected else None
    for record in factory.orders.values():
        if any(step.id == wanted for step in record.order.steps):
            began = record.order.started or 0
            return [_step(one, began, start) for one in timeline_of(factory, record.order)]
    return []


def _step(row: StepRow, began: int, start: int) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__struct_fields__} | {
        "started_ms": None if row.started is None else row.started - began,
        "stopped_ms": None if row.stopped is None else row.stopped - began,
        "running_received_ms": None if row.running_at is None else row.running_at - start,
        "finished_received_ms": None if row.finished_at is None else row.finished_at - start,
    }


def _seek(recording: Recording, to_ms: int | None, start: int) -> dict[str, Any]:
    if to_ms is None:
        return {}
    return {"to_ms": to_ms, "snapshot_topics": sorted(snapshot_at(recording.messages, (start + to_ms) * 1000))}
