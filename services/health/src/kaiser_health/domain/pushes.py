"""Messages to a device that await its answer: configurations, zones, subzones, commands; pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from kaiser_health.domain.downlink import SET_TOKEN

Kind = Literal["config", "zone", "subzone", "command"]
State = Literal["pending", "applied", "partial", "failed", "timeout"]


@dataclass(frozen=True, slots=True)
class Push:
    """One push. `tries` counts how often it was sent; the device sees `push_id` as correlation or config id.

    answers: what the device has said so far of each scope of a configuration (sensor, actuator).
    """

    push_id: str
    esp_id: str
    kaiser_id: str
    kind: Kind
    payload: dict[str, Any]
    state: State
    tries: int
    next_try_at: datetime
    created_at: datetime
    message: str | None = None
    failures: Sequence[dict[str, Any]] = ()
    ended_at: datetime | None = None
    answers: Mapping[str, State] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeviceAnswer:
    """A device's answer. `push_id` is None if its firmware does not echo it."""

    esp_id: str
    kind: Kind | None
    """None for an intent: it names the push by its id alone."""
    state: State
    push_id: str | None
    message: str | None
    failures: Sequence[dict[str, Any]]
    at: datetime
    content: str | None = None
    """The name that the answer gives: the zone, the subzone or the command; for a configuration its scope."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """The other fields of an answer to a command, such as figures or settings."""


def answered(push: Push, answer: DeviceAnswer) -> Push:
    """The push after an answer; one that has ended stays as it is.

    A configuration that was taken in part fails where the device then says that it could not keep it: generation B says
    so of all of it (scope system) after its answers for each scope.
    """
    if push.state == "partial" and push.kind == "config" and (answer.content, answer.state) == ("system", "failed"):
        return replace(push, state="failed", message=_joined(push.message, answer.message), ended_at=answer.at)
    if push.state != "pending":
        return push
    failures = (*push.failures, *(failure for failure in answer.failures if failure not in push.failures))
    if push.kind != "config":
        return replace(push, state=answer.state, message=answer.message, failures=failures, ended_at=answer.at)
    scope = answer.content or "system"
    if scope != "system" and scope not in scopes_of(push.payload):
        return push  # generation A answers an error for each list that was not sent
    answers = {**push.answers, scope: answer.state}
    state = config_state(scopes_of(push.payload), answers)
    message = _joined(push.message, answer.message)
    ended_at = answer.at if state != "pending" else None
    return replace(push, state=state, message=message, failures=failures, answers=answers, ended_at=ended_at)


def scopes_of(payload: Mapping[str, Any]) -> frozenset[str]:
    """The scopes of a configuration that are answered separately: those of the lists that were sent."""
    return frozenset(scope for scope, items in (("sensor", "sensors"), ("actuator", "actuators")) if payload.get(items))


def config_state(scopes: frozenset[str], answers: Mapping[str, State]) -> State:
    """How a configuration stands: failed on any error, and once every scope sent is answered applied, or partial."""
    if "failed" in answers.values():
        return "failed"
    if not scopes <= answers.keys():
        return "pending"
    return "partial" if any(answers[scope] == "partial" for scope in scopes) else "applied"


def overdue(push: Push, now: datetime, timeout: timedelta, most_tries: int, silence: timedelta) -> Push:
    """The push once its time is over: to be sent again (one more try), to be waited for, or ended.

    A command is sent once: a reset twice is harm. silence: after which a device is offline.
    """
    if push.state != "pending" or now < push.next_try_at:
        return push
    tries_left = push.kind != "command" and push.tries < most_tries
    if tries_left:
        return replace(push, tries=push.tries + 1, next_try_at=now + timeout)
    if now < (until := push.created_at + _patience(push, silence)):
        return replace(push, next_try_at=until)
    return replace(push, state="timeout", message=f"no answer after {push.tries} tries", ended_at=now)


def _patience(push: Push, silence: timedelta) -> timedelta:
    """How long a push waits for an answer once it is not sent again.

    A device of generation A leaves its zone without an answer, and says so in its next heartbeat. A device that took a
    token stops for nobody without it, so its answer counts however late it comes.
    """
    if push.kind == "zone" and not push.payload.get("zone_id"):
        return silence
    return _TOKEN_ANSWER if sets_token(push) else timedelta(0)


def sets_token(push: Push) -> bool:
    """Whether the push gives its device a token for emergencies."""
    return push.kind == "command" and push.payload.get("command") == SET_TOKEN


def supersedes(kind: Kind, payload: Mapping[str, Any], older: Push) -> bool:
    """Whether a new push of this kind makes an older one of the same device pointless."""
    if kind == "command":
        return payload.get("command") == SET_TOKEN and sets_token(older)
    return older.kind == kind


def superseded(push: Push, now: datetime) -> Push:
    """The push after a newer one of its kind was made for the device."""
    if push.state != "pending":
        return push
    return replace(push, state="failed", message="superseded by a newer one", ended_at=now)


def match(pushes: Iterable[Push], answer: DeviceAnswer) -> Push | None:
    """The push that an answer is for: by its id, else the newest pending one of this device and kind it can be for."""
    of_device = [push for push in pushes if push.esp_id == answer.esp_id and answer.kind in (None, push.kind)]
    if answer.push_id is not None:
        return next((push for push in of_device if push.push_id == answer.push_id), None)
    waiting = [push for push in of_device if push.state == "pending"]
    fitting = [push for push in waiting if answer.content is None or _fits(push, answer.content)]
    return max(fitting, key=lambda push: push.created_at, default=None)


def _joined(before: str | None, text: str | None) -> str | None:
    """Both messages, each once: the device may repeat itself."""
    parts = before.split("; ") if before else []
    if text and text not in parts:
        parts.append(text)
    return "; ".join(parts)[:_MESSAGE] or None


def _fits(push: Push, content: str) -> bool:
    if push.kind == "config":
        return content == "system" or content in scopes_of(push.payload)
    return bool(push.payload.get(_NAMED_BY[push.kind]) == content)


_NAMED_BY = {"zone": "zone_id", "subzone": "subzone_id", "command": "command"}
_MESSAGE = 1000
_TOKEN_ANSWER = timedelta(days=1)
