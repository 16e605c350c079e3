"""Packs with their processed readings; a pack that both consumers take is decoded and processed once.

Pure but for its memory, which is bounded: a pack that is not remembered is processed again.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from kaiser_common.bus.pull import Delivery

from kaiser_sensor.domain.decode import Pack, decode
from kaiser_sensor.domain.process import Process
from kaiser_sensor.domain.rows import ProcessedReading

_MOST_READINGS = 30_000
_OLDEST_S = 5.0
"""A pack whose other delivery went to another replica is forgotten after this, once the room is needed."""


class ProcessedPack(NamedTuple):
    """A pack with its processed readings."""

    pack: Pack
    readings: Sequence[ProcessedReading]


class _Kept(NamedTuple):
    found: ProcessedPack
    at: float


class PackProcessing:
    """Decodes and processes what two consumers take, each in its own order. `clock`: seconds that only grow."""

    def __init__(self, process: Process, clock: Callable[[], float] = time.monotonic) -> None:
        self._process = process
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._readings = 0

    def take(self, batch: Sequence[Delivery]) -> tuple[list[ProcessedPack], list[tuple[Delivery, str]]]:
        """The packs of a batch that have readings, in order, and the invalid lines, each with the reason."""
        packs: list[ProcessedPack] = []
        unreadable: list[tuple[Delivery, str]] = []
        for delivery in batch:
            if (known := self._known(delivery)) is not None:
                packs.append(known)
                continue
            decoded, bad = decode((delivery,))
            unreadable += bad
            for pack in decoded:
                if pack.readings:
                    found = ProcessedPack(pack, [self._process(reading) for reading in pack.readings])
                    packs.append(found)
                    if not bad and delivery.first_line is None:
                        self._keep(found)
        return packs, unreadable

    def _known(self, delivery: Delivery) -> ProcessedPack | None:
        """Take the remembered pack of a message from memory, with the delivery that is now to be acknowledged."""
        if delivery.first_line is not None or not self._kept:
            return None
        kept = self._kept.pop(delivery.origin, None)
        if kept is None:
            return None
        self._readings -= len(kept.found.readings)
        return ProcessedPack(kept.found.pack._replace(delivery=delivery), kept.found.readings)

    def _keep(self, found: ProcessedPack) -> None:
        now = self._clock()
        if self._readings >= _MOST_READINGS:
            self._forget(now - _OLDEST_S)
        if self._readings < _MOST_READINGS:
            self._kept[found.pack.delivery.origin] = _Kept(found, now)
            self._readings += len(found.readings)

    def _forget(self, before: float) -> None:
        for origin, kept in list(self._kept.items()):
            if kept.at >= before:
                return
            del self._kept[origin]
            self._readings -= len(kept.found.readings)
