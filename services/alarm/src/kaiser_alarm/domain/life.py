"""The life of an alarm, pure: raised, acknowledged, cleared, shelved, closed. Times are ms since 1970.

An alarm is identified by its condition: kind and source. A condition has at most one alarm that is not closed, so
reporting the condition again while it holds changes nothing. An alarm is closed once it is both cleared and
acknowledged, in either order; a condition that begins after that is a new alarm. `info` needs no acknowledgement.
Nothing reports the end of a momentary condition, so its acknowledgement closes the alarm; each later occurrence raises
the alarm again, one in five minutes at most.

States follow ISA-18.2 in plain words: raised (unacknowledged), acknowledged, cleared (returned to normal,
unacknowledged), closed (normal). Shelving is beside the state: it silences an alarm until a time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

from kaiser_common.contract.schemas.api.alarms import Alarm
from kaiser_common.contract.schemas.event import AlarmSeverity, AlarmStep, Fact

MAX_MESSAGE = 500
MOMENTARY_AGAIN_MS = 300_000
"""An occurrence of a momentary condition within this time of the one before is the same."""
RANK = {"info": 0, "warning": 1, "critical": 2}


class Key(NamedTuple):
    """A condition."""

    kind: str
    source: str


@dataclass(frozen=True, slots=True)
class Raise:
    """A condition holds. momentary: nothing will report its end. facts: the figures and words of `message` by name, as
    ALARM_FACTS lists them."""

    key: Key
    severity: AlarmSeverity
    message: str
    at: int
    esp_id: str | None = None
    gpio: int | None = None
    sensor_type: str | None = None
    address: str | None = None
    momentary: bool = False
    facts: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Clear:
    """A condition has ended."""

    key: Key
    at: int


Finding = Raise | Clear


@dataclass(frozen=True, slots=True)
class LifeStep:
    """A change of an alarm: what, when, by whom (None: by Kaiser), and the alarm after it."""

    what: AlarmStep
    at: int
    alarm: Alarm
    by: str | None = None
    note: str | None = None


def alarm_id_of(key: Key, origin: str) -> str:
    """The id of an alarm: of its condition and of the event that raised it, so that the same event makes the same."""
    return blake2b(f"{key.kind}\n{key.source}\n{origin}".encode(), digest_size=8).hexdigest()


def is_active(alarm: Alarm) -> bool:
    """Whether the condition holds, as far as it is known."""
    return alarm.state in ("raised", "acknowledged")


def is_shelved(alarm: Alarm, now: int) -> bool:
    """Whether an alarm is silent now."""
    return alarm.shelved_until is not None and alarm.shelved_until > now


def raised(alarm: Alarm | None, found: Raise, origin: str) -> LifeStep | None:
    """A condition holds: a new alarm, one that is raised again, or nothing new.

    alarm: the one of this condition that is not closed. While it holds already, only a higher severity is a step: the
    alarm then wants to be acknowledged again; or a further occurrence of a momentary condition.
    """
    if alarm is None:
        fresh = Alarm(
            alarm_id=alarm_id_of(found.key, origin),
            kind=found.key.kind,
            source=found.key.source,
            severity=found.severity,
            state="raised",
            message=_stored(found.message),
            facts=dict(found.facts),
            esp_id=found.esp_id,
            gpio=found.gpio,
            sensor_type=found.sensor_type,
            address=found.address,
            raised_at=found.at,
            last_raised_at=found.at,
        )
        return LifeStep("raised", found.at, fresh)
    worse = RANK[found.severity] > RANK[alarm.severity]
    begins = not is_active(alarm) or (found.momentary and found.at - alarm.last_raised_at >= MOMENTARY_AGAIN_MS)
    if not begins and not worse:
        return None
    again = replace_alarm(
        alarm,
        state="raised",
        severity=found.severity if worse or not is_active(alarm) else alarm.severity,
        message=_stored(found.message),
        facts=dict(found.facts),
        times=alarm.times + begins,
        last_raised_at=found.at,
        acknowledged_at=None,
        acknowledged_by=None,
        cleared_at=None,
    )
    return LifeStep("raised_again", found.at, again)


def cleared(alarm: Alarm | None, at: int) -> LifeStep | None:
    """A condition no longer holds. An alarm that was acknowledged, or needs no acknowledgement, is closed."""
    if alarm is None or not is_active(alarm):
        return None
    if alarm.state == "acknowledged" or alarm.severity == "info":
        return LifeStep("closed", at, replace_alarm(alarm, state="closed", cleared_at=at, closed_at=at))
    return LifeStep("cleared", at, replace_alarm(alarm, state="cleared", cleared_at=at))


def acknowledged(alarm: Alarm, at: int, by: str, note: str, *, momentary: bool) -> LifeStep | None:
    """Acknowledge an alarm; None if it is acknowledged already."""
    if alarm.state in ("acknowledged", "closed"):
        return None
    known = {"acknowledged_at": at, "acknowledged_by": by}
    if alarm.state == "cleared" or momentary:
        ended = {"cleared_at": at if alarm.cleared_at is None else alarm.cleared_at, "closed_at": at}
        return LifeStep("acknowledged", at, replace_alarm(alarm, state="closed", **known, **ended), by, note or None)
    return LifeStep("acknowledged", at, replace_alarm(alarm, state="acknowledged", **known), by, note or None)


def shelved(alarm: Alarm, at: int, by: str, until: int, note: str) -> LifeStep:
    """Shelve an alarm until a time; one that is shelved already is shelved until the new time."""
    return LifeStep("shelved", at, replace_alarm(alarm, shelved_until=until, shelved_by=by), by, note or None)


def unshelved(alarm: Alarm, at: int, by: str | None) -> LifeStep | None:
    """End the shelving of an alarm: by a user, or because its time is over (by None)."""
    if alarm.shelved_until is None:
        return None
    return LifeStep("unshelved", at, replace_alarm(alarm, shelved_until=None, shelved_by=None), by)


def applied(open_alarms: Mapping[Key, Alarm], findings: Iterable[tuple[Finding, str]]) -> list[LifeStep]:
    """The steps that findings, each with the event it comes from, make of the alarms that are not closed."""
    current: dict[Key, Alarm | None] = dict(open_alarms)
    steps: list[LifeStep] = []
    for found, origin in findings:
        alarm = current.get(found.key)
        step = raised(alarm, found, origin) if isinstance(found, Raise) else cleared(alarm, found.at)
        if step is not None:
            steps.append(step)
            current[found.key] = None if step.alarm.state == "closed" else step.alarm
    return steps


def replace_alarm(alarm: Alarm, **changes: object) -> Alarm:
    """The alarm after a step."""
    return alarm.model_copy(update={**changes, "step": alarm.step + 1})


def _stored(text: str) -> str:
    """A message as the table takes it: bounded, without U+0000."""
    return text.replace("\0", "")[:MAX_MESSAGE]
