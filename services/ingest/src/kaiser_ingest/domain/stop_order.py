"""The order of stops: no clear and no command is sent after a newer stop; pure.

Stops and clears carry numbers from one growing sequence (actuator's); commands have none, so their place in the OUTBOX
stream is compared with that of the stop. A stop counts as soon as ingest has received it, even before it is written to
the broker. Numbers survive restarts (`dump`, `load`): ingest stores them once the broker has the stop and before
acknowledging the stop to NATS. Killed in between: the stop is delivered and written again, even if it was cleared
meanwhile. If NATS does not store the numbers, that is logged and the stop is acknowledged nevertheless: a redelivered
stop would undo a clear. Places need not be kept: actuator purges the commands of a stopped device from the stream.

While what the last holder stored cannot be read, the order is incomplete: it forbids each clear, and is not stored.
"""

import json
from dataclasses import dataclass

from kaiser_common.contract.topics import BROADCAST

MAX_REMEMBERED = 16_384
"""Devices remembered; of those forgotten only the highest number stays, below which no clear goes out."""


@dataclass(slots=True)
class _Newest:
    number: int = 0
    sequence: int = 0


class StopOrder:
    """The newest stop of each device and of the broadcast."""

    def __init__(self) -> None:
        self._newest: dict[str, _Newest] = {}
        self._forgotten = 0
        self.is_complete = True
        """Whether what the last holder stored is known."""

    def note(self, esp_id: str, number: int | None, sequence: int) -> None:
        """A stop was taken: of a device, or of all (BROADCAST). `sequence` is its place in the OUTBOX stream."""
        newest = self._newest.pop(esp_id, None) or _Newest()
        newest.number = max(newest.number, number or 0)
        newest.sequence = max(newest.sequence, sequence)
        self._newest[esp_id] = newest
        if len(self._newest) > MAX_REMEMBERED:
            oldest = next(each for each in self._newest if each != BROADCAST)
            self._forgotten = max(self._forgotten, self._newest.pop(oldest).number)

    def forbids_clear(self, esp_id: str, number: int | None) -> bool:
        """True if a newer stop of the device or of all was taken, or may have been. A clear without a number is of an
        older actuator."""
        if not self.is_complete:
            return True
        return number is not None and number < max(self._of(esp_id).number, self._of(BROADCAST).number, self._forgotten)

    def forbids_command(self, esp_id: str, sequence: int) -> bool:
        """True if a stop of the device or of all came behind the command."""
        return sequence < max(self._of(esp_id).sequence, self._of(BROADCAST).sequence)

    def dump(self) -> bytes:
        """The numbers, for the bucket: {"forgotten": n, "stops": {esp_id: n}}, at most some 700 kB."""
        stops = {esp_id: newest.number for esp_id, newest in self._newest.items() if newest.number}
        return json.dumps({"forgotten": self._forgotten, "stops": stops}, separators=(",", ":")).encode()

    def load(self, text: bytes) -> None:
        """Take in what a predecessor stored. ValueError if it is not of this form."""
        try:
            stored = json.loads(text)
            self._forgotten = max(self._forgotten, int(stored["forgotten"]))
            for esp_id, number in stored["stops"].items():
                self.note(str(esp_id), int(number), 0)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"the stored stops cannot be read: {error!r}") from error

    def _of(self, esp_id: str) -> _Newest:
        return self._newest.get(esp_id) or _Newest()
