"""Decodes bus messages to readings; invalid lines are returned separately, never raised."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.pack import NotAPack, checked_count
from kaiser_common.contract.schemas.sensor import Reading as ReadingModel
from pydantic import ValidationError

from kaiser_sensor.domain.reading import SensorReading

_to_readings = msgspec.json.Decoder(SensorReading).decode_lines
_to_reading = msgspec.json.Decoder(SensorReading).decode


class Pack(NamedTuple):
    """The readings of a message, and the number of each one's line."""

    delivery: Delivery
    readings: Sequence[SensorReading]
    numbers: Sequence[int]

    def line(self, index: int) -> Delivery:
        """The message with the line of one of the readings alone."""
        return _line(self.delivery, self.delivery.lines(), self.numbers[index])


Decoded = tuple[list[Pack], list[tuple[Delivery, str]]]


def decode(batch: Sequence[Delivery]) -> Decoded:
    """The readings of a batch, and the invalid lines, each with the reason.

    If msgspec fails, fall back to the pydantic model, which decides what a reading is.
    """
    packs: list[Pack] = []
    unreadable: list[tuple[Delivery, str]] = []
    for delivery in batch:
        try:
            lines = checked_count(delivery.body)
        except NotAPack as error:
            unreadable.append((delivery, str(error)))
            continue
        try:
            readings = _to_readings(delivery.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            readings = []
        if len(readings) == lines:
            packs.append(Pack(delivery, readings, range(lines)))
        else:
            packs.append(_one_by_one(delivery, delivery.lines(), unreadable))
    return packs, unreadable


def _one_by_one(delivery: Delivery, lines: Sequence[bytes], unreadable: list[tuple[Delivery, str]]) -> Pack:
    readings: list[SensorReading] = []
    numbers: list[int] = []
    for number, line in enumerate(lines):
        try:
            readings.append(_reading(line))
        except ValidationError as error:
            reason = str(error.errors(include_url=False)[0]["msg"])
            unreadable.append((_line(delivery, lines, number), reason))
        else:
            numbers.append(number)
    return Pack(delivery, readings, numbers)


def _line(delivery: Delivery, lines: Sequence[bytes], number: int) -> Delivery:
    return delivery if len(lines) == 1 else delivery.line(number, lines[number])


def _reading(line: bytes) -> SensorReading:
    try:
        return _to_reading(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return by_model(line)


def by_model(body: bytes) -> SensorReading:
    """A reading with other types ("4" as a gpio). ValidationError if it is not a reading."""
    return SensorReading(**ReadingModel.model_validate_json(body).model_dump())
