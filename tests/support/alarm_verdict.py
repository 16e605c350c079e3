"""Decides whether alarms that rose and cleared during kills are each stored and delivered, none twice; pure."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

LIFE = ("raised", "cleared", "acknowledged")
"""The steps of each alarm of these trials."""


@dataclass(frozen=True, slots=True)
class AlarmEvidence:
    """The alarms that were raised, and the contents of the tables and of the receiver. `stored`: ids of alarms.
    `steps`: by alarm, in order. `notifications`: key, alarm, bundle, state. `references`: of the messages it took."""

    expected: int
    kills: int
    raised: Collection[str]
    stored: Sequence[str]
    steps: Mapping[str, Sequence[str]]
    notifications: Sequence[tuple[str, str, str, str]]
    references: Counter[str]


@dataclass(frozen=True, slots=True)
class AlarmVerdict:
    """Counts, and every promise that was broken, in words. sent_again: messages that came twice, with one reference."""

    raised: int
    stored: int
    delivered: int
    sent_again: int
    broken: list[str] = field(default_factory=list)


def judge_alarms(evidence: AlarmEvidence) -> AlarmVerdict:
    """Raised = stored = delivered, one notification a key, and a message comes again once a kill at most."""
    raised = set(evidence.raised)
    sent = {alarm for _, alarm, _, state in evidence.notifications if state == "sent"}
    bundles = {bundle for _, _, bundle, _ in evidence.notifications}
    delivered = {alarm for _, alarm, bundle, _ in evidence.notifications if evidence.references[bundle]}
    again = sum(max(0, evidence.references[bundle] - 1) for bundle in bundles)
    keys = Counter(key for key, *_ in evidence.notifications)
    lives = {alarm: tuple(steps) for alarm, steps in evidence.steps.items()}
    checks = [
        (f"raised {len(raised)} of {evidence.expected}", len(raised) == evidence.expected),
        ("stored others than were raised", set(evidence.stored) == raised),
        ("an alarm is stored twice", len(evidence.stored) == len(set(evidence.stored))),
        ("an alarm has other steps than its life", lives == dict.fromkeys(raised, LIFE)),
        ("a notification did not end as sent", sent == raised == {alarm for _, alarm, *_ in evidence.notifications}),
        ("a key has two notifications", all(times == 1 for times in keys.values())),
        ("an alarm has two notifications", len(evidence.notifications) == len(raised)),
        ("a notification did not reach the receiver", delivered == raised),
        (f"{again} messages came again after {evidence.kills} kills", again <= evidence.kills),
    ]
    return AlarmVerdict(
        len(raised), len(evidence.stored), len(delivered), again, [what for what, is_so in checks if not is_so]
    )


def alarm_line(name: str, kills: int, verdict: AlarmVerdict) -> str:
    """The one line that a trial prints."""
    counts = f"raised {verdict.raised}, stored {verdict.stored}, delivered {verdict.delivered}"
    return f"{name}: {kills} kills, {counts}, sent again {verdict.sent_again}"
