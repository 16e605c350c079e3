"""Reads from the lines of stored packs the fields that identify a reading or rejection."""

from collections.abc import Iterable, Iterator

import msgspec


class StoredReading(msgspec.Struct, frozen=True):
    """The fields of a line that identify its reading."""

    esp_id: str
    gpio: int
    sensor_type: str
    ts: int
    address: str = ""
    clock: str = "device"
    raw: int | float | None = None
    raw_value: float | None = None
    value: float | None = None
    delivery: str | None = None


class _Rejected(msgspec.Struct, frozen=True):
    delivery: str | None = None


_decode = msgspec.json.Decoder(StoredReading).decode


def stored_readings(packs: Iterable[bytes]) -> Iterator[StoredReading]:
    """The readings of packs, without invalid lines: the consumers reject those."""
    for pack in packs:
        for line in pack.split(b"\n"):
            try:
                yield _decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                continue


_decode_rejected = msgspec.json.Decoder(_Rejected).decode


def rejected_deliveries(packs: Iterable[bytes]) -> Iterator[str]:
    """The ids of the MQTT deliveries whose rejections are in packs of REJECTED."""
    for pack in packs:
        for line in pack.split(b"\n"):
            try:
                delivery = _decode_rejected(line).delivery
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                continue
            if delivery is not None:
                yield delivery
