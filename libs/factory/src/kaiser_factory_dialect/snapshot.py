"""The snapshot that a replay sends first: the values that the broker would have held at a point of a recording."""

from collections.abc import Iterable

from kaiser_factory_dialect.catalogue import COMMAND_KINDS, DEFAULT_INTERFACES
from kaiser_factory_dialect.intake import Intake
from kaiser_factory_dialect.reading import Accepted, Arrival, Ignored, Verdict
from kaiser_factory_dialect.recordings import Recorded
from kaiser_factory_dialect.topics import parse


def snapshot_at(
    messages: Iterable[Recorded], at_us: int, interfaces: tuple[str, ...] = DEFAULT_INTERFACES
) -> dict[str, Recorded]:
    """By topic the last message before at_us that was accepted or observed, of topics that the broker keeps.

    These are the topics that the factory publishes retained and those that came retained; an empty payload takes one
    away. A command is never among them.
    """
    intake, kept, held = Intake(interfaces), set[str](), dict[str, Recorded]()
    for message in messages:
        if message.at_us >= at_us:
            break
        topic = parse(message.topic, interfaces)
        if topic is None or topic.kind in COMMAND_KINDS:
            continue
        if message.retained or topic.row.kept:
            kept.add(message.topic)
        verdict = intake.take(arrival_of(message))
        if isinstance(verdict, Ignored) and verdict.reason == "cleared":
            held.pop(message.topic, None)
        elif _is_value(verdict):
            held[message.topic] = message
    return {topic: message for topic, message in held.items() if topic in kept}


def arrival_of(message: Recorded, env: str = "live", epoch: int = 0) -> Arrival:
    """A recorded message as if it came now, by the recorder's clock."""
    return Arrival(message.topic, message.payload, message.at_ms, message.qos, message.retained, env, epoch)


def _is_value(verdict: Verdict) -> bool:
    return isinstance(verdict, Accepted) or (isinstance(verdict, Ignored) and verdict.reason == "observed")
