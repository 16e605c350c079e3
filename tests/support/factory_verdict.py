"""Decides whether each message of a factory that was sent during faults is where its verdict says, once; pure."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

REPEATED = "retained_same"
"""The verdict on what the broker had retained and ingest, killed, read again."""


@dataclass(frozen=True, slots=True)
class FactoryEvidence:
    """The messages that were sent, and those on the bus. sent: how often each payload was sent; kept: those on TOPICS.

    unseen: payloads that no filter wants. verdicts: of each message of TOPICS its id and Kaiser-Verdict (a kind with a
    dot, a code, or the reason to ignore it). factory: ids on FACTORY. rejected: ids on REJECTED.
    """

    sent: Mapping[bytes, int]
    kept: Mapping[bytes, int]
    unseen: Collection[bytes]
    verdicts: Sequence[tuple[str, str]]
    factory: Sequence[str]
    rejected: Collection[str]


@dataclass(frozen=True, slots=True)
class FactoryVerdict:
    """Counts, and every promise that was broken, in words. stored, rejected and ignored add up to what TOPICS has."""

    sent: int
    stored: int
    rejected: int
    ignored: int
    lost: int
    broken: list[str] = field(default_factory=list)


def judge_factory(evidence: FactoryEvidence) -> FactoryVerdict:
    """Sent = FACTORY + rejected + ignored: all is on TOPICS, and each message where its verdict says, once."""
    ids = [one for one, _ in evidence.verdicts]
    accepted = {one for one, verdict in evidence.verdicts if "." in verdict}
    refused = {one for one, verdict in evidence.verdicts if verdict.isdigit()}
    repeated = {one for one, verdict in evidence.verdicts if verdict == REPEATED}
    on_factory = set(evidence.factory)
    lost = Counter(dict(evidence.sent)) - Counter(dict(evidence.kept))
    missing = sum(times for payload, times in lost.items() if payload not in evidence.unseen)
    checks = [
        (f"{missing} messages are lost", missing == 0),
        ("a message is on TOPICS twice", len(ids) == len(set(ids))),
        ("a message is on FACTORY twice", len(evidence.factory) == len(on_factory)),
        ("an accepted message is not on FACTORY", accepted <= on_factory),
        # What the broker had retained is read again by an ingest that was killed; TOPICS has it from before.
        ("FACTORY has a message that was not accepted", on_factory - accepted <= repeated),
        ("others are rejected than TOPICS says", refused == set(evidence.rejected)),
    ]
    return FactoryVerdict(
        sent=sum(evidence.sent.values()),
        stored=len(accepted),
        rejected=len(refused),
        ignored=len(evidence.verdicts) - len(accepted) - len(refused),
        lost=missing,
        broken=[what for what, is_so in checks if not is_so],
    )


def factory_line(name: str, faults: int, verdict: FactoryVerdict) -> str:
    """The one line that a trial prints."""
    counts = f"sent {verdict.sent}, FACTORY {verdict.stored}, rejected {verdict.rejected}, ignored {verdict.ignored}"
    return f"{name}: {faults} faults, {counts}, lost {verdict.lost}"
