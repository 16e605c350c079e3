"""The picture of a quality check: a workpiece in its colour, with its drilled holes, as a PNG."""

import base64
import struct
import zlib
from functools import lru_cache

_SIDE = 48
_COLOURS = {"WHITE": (225, 225, 220), "RED": (190, 40, 35), "BLUE": (35, 75, 170)}
_GROUND, _HOLE, _CRACK = (58, 62, 66), (20, 22, 24), (250, 190, 40)


@lru_cache(maxsize=16)
def picture(kind: str, result: str) -> str:
    """The data URL of the picture; one that failed has a crack."""
    colour = _COLOURS.get(kind, (120, 120, 120))
    rows = b"".join(
        b"\x00" + b"".join(bytes(_pixel(x, y, colour, result != "PASSED")) for x in range(_SIDE)) for y in range(_SIDE)
    )
    header = struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 2, 0, 0, 0)
    data = (
        b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows, 9)) + _chunk(b"IEND", b"")
    )
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def _pixel(x: int, y: int, colour: tuple[int, int, int], cracked: bool) -> tuple[int, int, int]:
    """The colour at a place: a disc with a round hole and two pockets."""
    from_middle = (x - _SIDE // 2) ** 2 + (y - _SIDE // 2) ** 2
    if from_middle > 20**2:
        return _GROUND
    if cracked and abs(x - y) <= 1:
        return _CRACK
    pocket = abs(y - _SIDE // 2) < 4 and 9 < abs(x - _SIDE // 2) < 15
    return _HOLE if from_middle < 5**2 or pocket else colour


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
