"""Ids of MQTT deliveries, and ids of readings stored recently, so that publishing again is harmless; pure."""

from collections.abc import Callable, Iterable

from kaiser_ingest.domain.incoming import Incoming
from kaiser_ingest.domain.outgoing import content_id

_REMEMBERED_IDS = 20_000
"""Half the ids remembered as stored, at most: about 3 MB."""
_BITMAP_BYTES = 2 * 1024 * 1024
_GIVEN_FOR_S = 130.0
"""Longer than the duplicate window of the streams (2 min)."""
_PLACES = 4
_BITS = 24
"""Of a place in the bitmap: 2 MiB have 2 to the power of 24."""
_OF_EACH_PLACE = sum(1 << place * _BITS for place in range(_PLACES))
"""A packet id, which has 16 bits, times this is in each place."""


class RecentIds:
    """Ids of messages and readings stored recently. JetStream does not know the readings of a pack by id, so duplicates
    are removed here. A reading that was forgotten here is published again: still one row, but one more event.

    Times are monotonic seconds.
    """

    def __init__(self) -> None:
        self._new: dict[str, float] = {}
        self._old: dict[str, float] = {}

    def __contains__(self, msg_id: str) -> bool:
        return msg_id in self._new or msg_id in self._old

    def add(self, ids: Iterable[str], now_s: float) -> None:
        """Remember these; the older half of all is forgotten when there are too many."""
        self._new.update(dict.fromkeys(ids, now_s))
        if len(self._new) > _REMEMBERED_IDS:
            self._old, self._new = self._new, {}

    def has_delivery(self, msg_id: str, now_s: float, *, duplicate: bool) -> bool:
        """Whether the delivery with this id is stored. `duplicate` is its DUP flag.

        A broker gives packet ids out again. A delivery with the flag repeats the stored one, however old that is; one
        without it is a new message with an equal packet id and content once 130 s have passed.
        """
        stored_s = self._new.get(msg_id, self._old.get(msg_id))
        return stored_s is not None and (duplicate or now_s - stored_s < _GIVEN_FOR_S)


class DeliveryIds:
    """Ids of MQTT deliveries: the same for a redelivery, another for each new message.

    A redelivery has the packet id and content of the first delivery, also in another process. Packet ids are used
    again: a first delivery whose id may have been given out within JetStream's duplicate window gets a suffix, and then
    its redelivery is taken for another message. That is looked up in a Bloom filter of 2 MiB: by chance it may say
    "given" too often (of one in a hundred thousand with a thousand messages a second), never too seldom.
    """

    def __init__(self, unique: Callable[[], str]) -> None:
        self._unique = unique
        self._given = bytearray(_BITMAP_BYTES)
        self._given_before = bytearray(_BITMAP_BYTES)
        self._since_s = -_GIVEN_FOR_S
        self._last: tuple[Incoming | None, str] = (None, "")

    def of(self, message: Incoming, now_s: float) -> str:
        """The id of this delivery; asked again for the message at hand it is the same. `now_s` is monotonic."""
        if message is not self._last[0]:
            self._last = (message, self._new(message, now_s))
        return self._last[1]

    def _new(self, message: Incoming, now_s: float) -> str:
        if message.qos == 0:
            return self._unique()
        content = content_id(message.topic, message.payload)
        identity = f"{message.packet_id:x}.{content}"
        if not message.duplicate and self._was_given(content, message.packet_id, now_s):
            return f"{identity}.{self._unique()}"
        return identity

    def _was_given(self, content: str, packet_id: int, now_s: float) -> bool:
        """Whether this was asked for the same packet id and content within the last two minutes."""
        if now_s - self._since_s >= _GIVEN_FOR_S:
            self._given_before, self._given = self._given, bytearray(_BITMAP_BYTES)
            self._since_s = now_s
        number = int(content, 16) ^ packet_id * _OF_EACH_PLACE
        was_given = True
        for _ in range(_PLACES):
            byte, bit = number >> 3 & _BITMAP_BYTES - 1, 1 << (number & 7)
            if was_given and not (self._given[byte] | self._given_before[byte]) & bit:
                was_given = False
            self._given[byte] |= bit
            number >>= _BITS
        return was_given
