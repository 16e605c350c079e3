"""The last check before a message is published to the factory's broker: whether its lane may send it now.

The lanes are command, mock and replay; what each may send depends on the environment in force. Source:
docs/factory-dialect.md, "Lanes".
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from kaiser_common.contract.errors import Rejected
from kaiser_common.contract.topics import SIMULATED_PREFIX, is_downlink
from kaiser_common.contract.topics import parse as parse_device_topic

from kaiser_factory_dialect.catalogue import DEFAULT_INTERFACES
from kaiser_factory_dialect.commands import SEND_WITHIN_MS
from kaiser_factory_dialect.topics import parse
from kaiser_factory_dialect.txt_readings import EnvironmentKind

Lane = Literal["command", "mock", "replay"]


@dataclass(frozen=True, slots=True)
class FactoryOutgoing:
    """A message to the factory. env and epoch: those it was made for. queued_at: ms, of commands.

    clears: it is empty and retained, of lane command: the broker deletes what it retains of the topic.
    """

    lane: Lane
    topic: str
    env: str
    epoch: int
    queued_at: int
    retain: bool = False
    free: bool = False
    clears: bool = False


@dataclass(frozen=True, slots=True)
class Gate:
    """The environment that is connected now. armed: a run of a replay may send commands."""

    kind: EnvironmentKind
    env: str
    epoch: int
    armed: bool = False


def breach(
    message: FactoryOutgoing, gate: Gate, now: int, interfaces: Iterable[str] = DEFAULT_INTERFACES
) -> str | None:
    """Why a message must not be written, None: it may. now: ms.

    Refused are messages of another environment or epoch, commands that are late or retained, commands of a replay that
    is not armed, and topics that the lane does not have.
    """
    if (message.env, message.epoch) != (gate.env, gate.epoch):
        return f"it was made for {message.env} (epoch {message.epoch}), not for {gate.env} (epoch {gate.epoch})"
    if (fault := _topic_fault(message.topic)) is not None and not _is_of_replayed_device(message):
        return fault
    topic = parse(message.topic, interfaces)
    listens = topic is not None and topic.row.direction in {"in", "both"}
    clearing = message.lane == "command" and message.retain and message.clears
    if message.retain and (listens or message.lane == "command") and not clearing:
        return "a command is never retained"
    match message.lane:
        case "command":
            if (late := too_late(message.queued_at, now)) is not None:
                return late
            if gate.kind == "replay" and not gate.armed:
                return "commands stay out of a replay that is not armed"
            return (
                None
                if listens or message.free or clearing
                else "the factory does not listen to this topic; an admin may send to it with free"
            )
        case "mock":
            if gate.kind != "mock":
                return "the lane of the mock factory is open in an environment of kind mock only"
            return None if topic is not None else "the catalogue has no such topic"
        case "replay":
            if gate.kind != "replay":
                return "replays run in an environment of kind replay only"
            return "commands stay out of a replay that is not armed" if listens and not gate.armed else None


def too_late(queued_at: int, now: int) -> str | None:
    """Why a command must not be sent any more, None: its time is not out. Times in ms.

    A command that is dated ahead of the clock by more than its time has an unknown age: a clock was set back, or two
    machines differ.
    """
    age = now - queued_at
    if age > SEND_WITHIN_MS:
        return f"it is {age} ms old: a command is sent within {SEND_WITHIN_MS} ms"
    if age < -SEND_WITHIN_MS:
        return f"it is dated {-age} ms ahead of the clock, so its age is unknown"
    return None


def _is_of_replayed_device(message: FactoryOutgoing) -> bool:
    """Whether a replay says what a device said, under the id of a simulated one; never what a device is sent."""
    if message.lane != "replay" or message.retain:
        return False
    try:
        topic = parse_device_topic(message.topic)
    except Rejected:
        return False
    return topic.esp_id.startswith(SIMULATED_PREFIX) and not is_downlink(topic.kind)


def _topic_fault(topic: str) -> str | None:
    if topic == "kaiser" or topic.startswith("kaiser/"):
        return "topics of ESP32 devices are not sent from here"
    if not topic or any(character in topic for character in "+#\x00") or topic.startswith("$"):
        return "this is no topic to publish to"
    return None
