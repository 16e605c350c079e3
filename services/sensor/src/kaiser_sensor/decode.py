"""From messages of the bus to readings; what is no reading is told apart, never raised."""

from collections.abc import Sequence

import msgspec
from kaiser_common.pull import Delivery
from kaiser_common.schemas.sensor import Reading as ReadingModel
from pydantic import ValidationError

from kaiser_sensor.reading import Reading

_to_reading = msgspec.json.Decoder(Reading).decode

Decoded = tuple[list[tuple[Delivery, Reading]], list[tuple[Delivery, str]]]


def decode(batch: Sequence[Delivery]) -> Decoded:
    """The readings of a batch, and beside them the messages that are none, each with the reason.

    What msgspec refuses the model judges: it has the last word on what a reading is.
    """
    readings: list[tuple[Delivery, Reading]] = []
    unreadable: list[tuple[Delivery, str]] = []
    for delivery in batch:
        try:
            readings.append((delivery, _to_reading(delivery.body)))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            try:
                readings.append((delivery, by_model(delivery.body)))
            except ValidationError as error:
                unreadable.append((delivery, str(error.errors(include_url=False)[0]["msg"])))
    return readings, unreadable


def by_model(body: bytes) -> Reading:
    """A reading that has its types another way ("4" as a gpio). ValidationError: it is none."""
    return Reading(**ReadingModel.model_validate_json(body).model_dump())
