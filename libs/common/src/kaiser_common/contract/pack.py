"""The pack: one bus message for everything that arrived together, one JSON object per line; pure.

A pack of one line is byte for byte the same as the single message of earlier versions, so old messages can be read as
packs.
"""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b

MOST_LINES = 1000
"""Lines of a pack that is written, at most."""
MOST_BYTES = 512 * 1024
"""Bytes of a pack that is written, at most. One longer line is a pack of its own."""
MOST_READ_BYTES = 1024 * 1024
"""Bytes of a pack that is read, at most: an event is longer than its reading, and one pack makes one pack."""
LINE_NUMBERS = 4096
"""Lines that a pack can have, because `seq` numbers them within its stream sequence."""
_MOST_SHARDS = 256


class NotAPack(ValueError):
    """The body of a message has no lines, or more of them than a pack may have; the text says which."""


def encode(lines: Sequence[bytes]) -> bytes:
    """The body of a pack. Each line is one JSON object without a newline in it, as every JSON encoder writes it."""
    return b"\n".join(lines)


def count_header(lines: Sequence[bytes]) -> tuple[tuple[str, str], ...]:
    """The header of a pack with the number of its lines, for subscribers that need only that."""
    return (("Kaiser-Count", str(len(lines))),)


def split(body: bytes) -> list[bytes]:
    """The lines of a pack. NotAPack as `checked_count`."""
    checked_count(body)
    return body.split(b"\n")


def checked_count(body: bytes) -> int:
    """How many lines a pack has. NotAPack: it is empty, or over 4,096 lines or 1 MiB."""
    if not body:
        raise NotAPack("the pack is empty")
    if len(body) > MOST_READ_BYTES:
        raise NotAPack(f"the pack has {len(body)} bytes, at most {MOST_READ_BYTES}")
    lines = count(body)
    if lines > LINE_NUMBERS:
        raise NotAPack(f"the pack has {lines} lines, at most {LINE_NUMBERS}")
    return lines


def count(body: bytes) -> int:
    """How many lines a body has; an empty one counts as one, so that it is accounted for."""
    return body.count(b"\n") + 1


def bounded(
    lines: Iterable[bytes], most_lines: int = MOST_LINES, most_bytes: int = MOST_BYTES
) -> Iterator[list[bytes]]:
    """The lines in order, as few packs as the bounds allow."""
    part: list[bytes] = []
    size = 0
    for line in lines:
        longer = size + len(line) + bool(part)
        if part and (len(part) == most_lines or longer > most_bytes):
            yield part
            part, longer = [], len(line)
        part.append(line)
        size = longer
    if part:
        yield part


def seq_of(stream_sequence: int, line: int = 0) -> int:
    """The number of a line over all of a stream. It grows with the stream, and stays below 2**53 for 2e12 messages."""
    return stream_sequence * LINE_NUMBERS + line


def place_of(seq: int) -> tuple[int, int]:
    """Stream sequence and line of a `seq`."""
    return divmod(seq, LINE_NUMBERS)


def shard_of(esp_id: str, shards: int = 1) -> str:
    """The shard of a device, as a token of a subject: the same in every process."""
    if not 1 <= shards <= _MOST_SHARDS:
        raise ValueError(f"{shards} shards, 1 to {_MOST_SHARDS} are possible")
    if shards == 1:
        return "0"
    return str(int.from_bytes(blake2b(esp_id.encode(), digest_size=4).digest()) % shards)
