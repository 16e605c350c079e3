"""Runs a file of test vectors through the pure functions: how many of each section pass, and where the others differ.

The sections are messages, commands, views, journal, subjects, covers, shift and imports; the file's own `format` says
what their keys mean.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from kaiser_common.contract.errors import Rejected

from kaiser_factory_dialect import wire
from kaiser_factory_dialect.apply import apply
from kaiser_factory_dialect.commands import FactoryCommand
from kaiser_factory_dialect.compare import Placeholders, differences
from kaiser_factory_dialect.filters import minimal_cover
from kaiser_factory_dialect.given import NOW, CountedIds, factory_given
from kaiser_factory_dialect.intake import Intake
from kaiser_factory_dialect.journal import JournalEntry, due_at, expire, queue, sent, settle
from kaiser_factory_dialect.reading import Arrival, FactoryAccepted, FactoryIgnored, read
from kaiser_factory_dialect.recordings import parse_file
from kaiser_factory_dialect.session import row_summary, stock_summary
from kaiser_factory_dialect.shift import shift_times
from kaiser_factory_dialect.steer_checks import Circumstances
from kaiser_factory_dialect.steering import plan
from kaiser_factory_dialect.subjects import topic_of, topic_subject
from kaiser_factory_dialect.timeline import order_rows
from kaiser_factory_dialect.view import rows
from kaiser_factory_dialect.world import Factory


@dataclass(slots=True)
class Report:
    """passed: vectors of each section that pass, of how many; failures: a line for each difference."""

    passed: dict[str, tuple[int, int]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def is_vectors(value: Any) -> bool:
    """Whether a JSON value is a file of vectors."""
    return isinstance(value, dict) and any(isinstance(value.get(name), list) for name in _SECTIONS)


def check_vectors(vectors: Mapping[str, Any]) -> Report:
    """Walk every vector. A vector that this version cannot take (a key is missing) fails with the reason."""
    report = Report()
    for section, check in _SECTIONS.items():
        found = vectors.get(section, [])
        failed = 0
        for number, vector in enumerate(found):
            name = vector.get("name", number) if isinstance(vector, dict) else number
            try:
                lines = check(vector)
            except (KeyError, IndexError, TypeError, ValueError, AttributeError, msgspec.MsgspecError) as error:
                lines = [f"this is no vector: {type(error).__name__} {error}"]
            failed += bool(lines)
            report.failures += [f"{section}: {name}: {line}" for line in lines]
        report.passed[section] = (len(found) - failed, len(found))
    return report


def _payload(vector: Mapping[str, Any]) -> bytes:
    text: str = vector["payload"]
    if (fill := vector.get("fill")) is not None:
        text = text.replace(fill["marker"], fill["character"] * fill["times"])
    return text.encode()


def _arrival(vector: Mapping[str, Any]) -> Arrival:
    at = vector.get("at", NOW)
    return Arrival(vector["topic"], _payload(vector), at, vector["qos"], vector["retain"])


def _check_message(vector: Mapping[str, Any]) -> list[str]:
    wanted = {name: vector[name] for name in ("expect", "kind", "normalised", "code", "reason") if name in vector}
    if "field" in vector:
        wanted["field"] = vector["field"]
    match read(_arrival(vector)):
        case FactoryAccepted(message):
            plain = msgspec.json.decode(wire.encode(message))
            found = {"expect": "accept", "kind": message.kind.value, "normalised": plain}
        case FactoryIgnored(reason):
            found = {"expect": "ignore", "reason": reason}
        case Rejected() as rejected:
            found = {"expect": "reject", "code": rejected.code.value, "field": rejected.field}
    return differences(wanted, found)


def _check_view(vector: Mapping[str, Any]) -> list[str]:
    factory, intake, now = Factory(), Intake(), vector["at"]
    for one in vector["messages"]:
        if isinstance(verdict := intake.take(_arrival(one)), FactoryAccepted):
            apply(factory, verdict.message)
    found = {
        "modules": {row.serial: row_summary(row) for row in rows(factory, now)},
        "orders": {row.order_id: msgspec.to_builtins(row) for row in order_rows(factory, now)},
        "stock": stock_summary(factory),
    }
    return differences(vector["expect"], found)


def _check_journal(vector: Mapping[str, Any]) -> list[str]:
    command = dict(vector["command"])
    at = command.pop("sent")
    unknown = sorted(command.keys() - set(FactoryCommand.__struct_fields__))
    if unknown:
        return [f"a command has no {', '.join(unknown)}"]
    entry = sent(queue(msgspec.convert(command, FactoryCommand), at), at)
    states = [entry]
    for one in vector["messages"]:
        match read(_arrival(one)):
            case FactoryAccepted(message):
                entry = _note(states, expire(entry, message.ts))
                entry = _note(states, settle(entry, message))
            case other:
                return [f"a message of the vector is not accepted: {other}"]
    if (due := due_at(entry)) is not None:
        _note(states, expire(entry, due))
    found = [[one.at, one.state, one.code and one.code.value, one.result] for one in states]
    return differences([[*one, None, None][:4] for one in vector["expect"]], found)


def _note(states: list[JournalEntry], entry: JournalEntry) -> JournalEntry:
    if entry.state != states[-1].state:
        states.append(entry)
    return entry


def _check_command(vector: Mapping[str, Any]) -> list[str]:
    given, request = vector.get("given", {}), dict(vector["request"])
    at = Circumstances(
        now=NOW,
        fresh=CountedIds(),
        env_kind=given.get("env_kind", "live"),
        armed=given.get("armed", False),
        role=request.pop("role", given.get("role", "operator")),
        order_ids=given.get("order_ids", {}),
        last_minute=given.get("last_minute", 0),
    )
    made = plan(request, factory_given(given), at)
    if made.refusal is not None:
        found = {"expect": "refuse", "status": made.refusal.status, "code": made.refusal.code.value}
        return differences({name: vector[name] for name in ("expect", "status", "code") if name in vector}, found)
    wanted = [{"after": None, **one, "payload": one["payload"]} for one in vector.get("messages", [])]
    messages = [
        {
            "topic": one.topic,
            "qos": 1,
            "retain": False,
            "payload": msgspec.json.decode(one.payload),
            "after": None if one.after is None else f"FINISHED of {one.after}",
        }
        for one in made.messages
    ]
    lines = differences({"expect": vector["expect"], "status": vector["status"]}, {"expect": "send", "status": 202})
    return lines + Placeholders().differences(wanted, messages, "messages")


def _check_subject(vector: list[str]) -> list[str]:
    topic, subject = vector
    return differences([subject, ["live", topic]], [topic_subject("live", topic), topic_of(subject)])


def _check_cover(vector: Mapping[str, Any]) -> list[str]:
    return differences(vector["cover"], minimal_cover(vector["filters"]))


def _check_shift(vector: Mapping[str, Any]) -> list[str]:
    return differences(vector["shifted"], shift_times(vector["payload"], vector["delta_ms"]))


def _check_import(vector: Mapping[str, Any]) -> list[str]:
    recording = parse_file(vector["file"], "\n".join(vector["lines"]).encode())
    begins = [reason for _, reason in vector["skipped"]]
    found = {
        "messages": [
            {
                "at_ms": one.at_ms,
                "topic": one.topic,
                "payload": one.payload.decode(errors="replace"),
                "qos": one.qos,
                "retain": one.retained,
            }
            for one in recording.messages
        ],
        "skipped": [
            [line, begin if reason.startswith(begin) else reason]
            for (line, reason), begin in zip(recording.skipped, [*begins, *[""] * recording.bad_lines], strict=False)
        ],
        "naive": recording.naive,
    }
    return differences({name: vector[name] for name in ("messages", "skipped", "naive")}, found)


_SECTIONS: Mapping[str, Callable[[Any], list[str]]] = {
    "messages": _check_message,
    "commands": _check_command,
    "views": _check_view,
    "journal": _check_journal,
    "subjects": _check_subject,
    "covers": _check_cover,
    "shift": _check_shift,
    "imports": _check_import,
}
