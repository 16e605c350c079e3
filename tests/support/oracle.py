"""Decides whether a trial kept every promise, from the message numbers sent, stored, rejected and shown; pure."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from fleet import is_bad

NOT_OURS = -1
_MOST_SHOWN_AGAIN = 0.001
"""Share of what was sent that may be shown again: a reading that ingest has forgotten becomes one more event."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Witnessed facts by message number; -1 stands for something that nobody sent. No `shown`: nobody watched.

    `excused` may be missing: what Mosquitto acknowledged, had not written and lost when it was killed.
    `repeated` counts the messages that devices sent again because their connection ended before the PUBACK. NATS as the
    broker may deliver twice with nothing that tells so; then a rejection may be kept twice (docs/decisions/0103).
    """

    sent: int
    acknowledged: Collection[int]
    stored: Counter[int]
    rejected: Counter[int]
    shown: Counter[int] | None
    excused: frozenset[int] = frozenset()
    repeated: int = 0
    missed_by_client: int = 0
    delivers_anew: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """Counts, and every promise that was broken, in words; `lost` is what was excused and is missing."""

    sent: int
    stored: int
    rejected: int
    shown: int
    duplicates: int
    rejected_again: int
    shown_again: int
    lost: int
    broken: list[str] = field(default_factory=list)


def judge(evidence: Evidence) -> Judgement:
    """sent = stored + rejected, nothing twice, nothing that was not sent, all shown to a resuming client,
    and at most one in a thousand shown again."""
    sent = set(range(evidence.sent))
    stored, rejected = set(evidence.stored), set(evidence.rejected)
    good = {number for number in sent if not is_bad(number)}
    missing = sent - stored - rejected
    frames = Counter(good - missing) if evidence.shown is None else evidence.shown
    shown = set(frames)
    checks = [
        ("sent and never acknowledged", sent.difference(evidence.acknowledged)),
        ("acknowledged, but neither stored nor rejected", missing - evidence.excused),
        ("stored, but not to be", stored - good),
        ("rejected, but not to be", rejected - (sent - good)),
        ("stored twice", _more_than_once(evidence.stored)),
        ("never shown to the resuming client", good - shown - missing),
        ("shown, but not stored", shown - stored),
    ]
    broken = [f"{name}: {_some(numbers)}" for name, numbers in checks if numbers]
    rejected_again = sum(evidence.rejected.values()) - len(rejected)
    if rejected_again > evidence.repeated and not evidence.delivers_anew:
        broken.append(f"rejected again {rejected_again} times, sent again {evidence.repeated} times")
    shown_again = sum(frames.values()) - len(shown)
    if shown_again > _MOST_SHOWN_AGAIN * evidence.sent:
        broken.append(f"shown again {shown_again} times, {evidence.sent} were sent")
    if evidence.missed_by_client:
        broken.append(f"the client was told that it missed {evidence.missed_by_client} events")
    return Judgement(
        sent=evidence.sent,
        stored=len(stored),
        rejected=len(rejected),
        shown=0 if evidence.shown is None else len(shown),
        duplicates=len(_more_than_once(evidence.stored)),
        rejected_again=rejected_again,
        shown_again=shown_again,
        lost=len(missing & evidence.excused),
        broken=broken,
    )


def _more_than_once(counted: Counter[int]) -> set[int]:
    return {number for number, times in counted.items() if times > 1}


def _some(numbers: set[int]) -> str:
    """How many, and the first and last few."""
    ordered = sorted(numbers)
    few = ordered if len(ordered) <= 8 else [*ordered[:4], "…", *ordered[-4:]]
    return f"{len(ordered)} ({', '.join(map(str, few))})"
