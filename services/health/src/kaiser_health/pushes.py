"""What is sent to a device and awaits its answer: configurations, zones, commands; pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

Kind = Literal["config", "zone", "command"]
State = Literal["pending", "applied", "partial", "failed", "timeout"]


@dataclass(frozen=True, slots=True)
class Push:
    """One push. `tries` counts how often it was sent; the device sees `push_id` as correlation or config id."""

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


@dataclass(frozen=True, slots=True)
class Answer:
    """What a device said. `push_id` is None where its firmware does not echo it."""

    esp_id: str
    kind: Kind
    state: State
    push_id: str | None
    message: str | None
    failures: Sequence[dict[str, Any]]
    at: datetime
    content: str | None = None
    """What the answer names itself by: the zone, or the command."""


def answered(push: Push, answer: Answer) -> Push:
    """The push after an answer; one that has ended stays as it is."""
    if push.state != "pending":
        return push
    return replace(
        push, state=answer.state, message=answer.message, failures=tuple(answer.failures), ended_at=answer.at
    )


def overdue(push: Push, now: datetime, timeout: timedelta, most_tries: int) -> Push:
    """The push once its time is over: to be sent again, or ended. A command is sent once: a reboot twice is harm."""
    if push.state != "pending" or now < push.next_try_at:
        return push
    tries_left = push.kind != "command" and push.tries < most_tries
    if tries_left:
        return replace(push, tries=push.tries + 1, next_try_at=now + timeout)
    return replace(push, state="timeout", message=f"no answer after {push.tries} tries", ended_at=now)


def superseded(push: Push, now: datetime) -> Push:
    """The push after a newer one of its kind was made for the device."""
    if push.state != "pending":
        return push
    return replace(push, state="failed", message="superseded by a newer one", ended_at=now)


def match(pending: Sequence[Push], answer: Answer) -> Push | None:
    """The pending push that an answer is for: by its id, else the newest of this device and kind it can be for."""
    of_device = [push for push in pending if push.esp_id == answer.esp_id and push.kind == answer.kind]
    if answer.push_id is not None:
        return next((push for push in of_device if push.push_id == answer.push_id), None)
    fitting = [push for push in of_device if answer.content is None or _content(push) == answer.content]
    return max(fitting, key=lambda push: push.created_at, default=None)


def _content(push: Push) -> str | None:
    name = {"zone": "zone_id", "command": "command", "config": ""}[push.kind]
    return push.payload.get(name) if name else None
