"""The console draws a picture only if its header states a small size: no small file takes gigabytes of memory."""

import base64
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from console_module import called, node

pytestmark = pytest.mark.servers  # they start node

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
GIF = "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
WEBP = "UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA"
LOSSLESS_WEBP = "UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA=="
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00\xff\xfe\x00\x06\xff\xc0\x00\x00"
WHOLE = {
    "png": base64.b64decode(PNG),
    "gif": base64.b64decode(GIF),
    "webp": base64.b64decode(WEBP),
    "lossless webp": base64.b64decode(LOSSLESS_WEBP),
    "jpeg": JPEG + b"\xff\xc2\x00\x0b\x08\x00\x01\x00\x01\x01\x01\x11\x00",
}


def png(width: int, height: int) -> bytes:
    return WHOLE["png"][:16] + struct.pack(">II", width, height) + WHOLE["png"][24:]


def gif(width: int, height: int, frame: tuple[int, int, int, int]) -> bytes:
    colours = b"\x80\x00\x00" + bytes(6)
    return b"GIF89a" + struct.pack("<HH", width, height) + colours + b"!\xfe\x02hi\x00," + struct.pack("<HHHH", *frame)


def jpeg(width: int, height: int) -> bytes:
    return JPEG + b"junk\xff\xff\xc0\x00\x0b\x08" + struct.pack(">HH", height, width) + b"\x01\x01\x11\x00"


def extended_webp(width: int, height: int) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00" + size


@pytest.fixture
def ask(missing: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """`ask([function, *arguments], …)` of core/pictures.js."""
    if node() is None:
        missing("node", "node is not installed")
    return lambda *calls: called("pictures.js", [list(call) for call in calls], tmp_path)


@pytest.mark.parametrize(
    ("picture", "size"),
    [
        *((whole, [1, 1]) for whole in WHOLE.values()),
        (png(640, 480), [640, 480]),
        (png(2**32 - 1, 7), [2**32 - 1, 7]),
        (gif(2, 3, (0, 0, 2, 3)), [2, 3]),
        (gif(2, 3, (10, 20, 65_000, 60_000)), [65_010, 60_020]),
        (jpeg(1920, 1080), [1920, 1080]),
        (extended_webp(16_777_216, 9), [16_777_216, 9]),
        (b"BM" + bytes(16) + struct.pack("<ii", 30_000, 30_000), None),
        (b"\x00\x00\x00\x1cftypavif" + bytes(40), None),
        (b"<svg xmlns='http://www.w3.org/2000/svg' width='99999' height='99999'/>", None),
        (b"", None),
    ],
)
def test_the_size_of_a_picture_is_read_from_its_header(ask, picture: bytes, size: list[int] | None):
    assert ask(["sizeOf", list(picture)]) == [size]


@pytest.mark.parametrize(
    ("picture", "drawn"),
    [
        (png(4096, 4096), True),
        (png(4097, 4096), False),
        (png(100_000, 100_000), False),
        (png(0, 5), False),
        (jpeg(65_500, 65_500), False),
        (gif(1, 1, (0, 0, 65_535, 65_535)), False),
        (extended_webp(16_383, 16_383), False),
        (b"BM" + bytes(52), False),
    ],
)
def test_a_picture_of_more_than_16_million_pixels_is_not_drawn(ask, picture: bytes, drawn: bool):
    assert ask(["isBearable", list(picture)]) == [drawn]


def test_a_picture_that_breaks_off_anywhere_in_its_header_is_none(ask):
    cut = [list(whole[:length]) for whole in WHOLE.values() for length in range(len(whole))]
    sizes = ask(*(["sizeOf", one] for one in cut))
    assert {str(size) for size in sizes} <= {"None", "[1, 1]"}
