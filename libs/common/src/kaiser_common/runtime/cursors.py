"""Page cursors: an opaque text that marks where a page ended; pure."""

import base64
import binascii
import json

from kaiser_common.bus.rpc import RpcError
from kaiser_common.contract.errors import Code

_INT64 = 2**63


def to_cursor(*key: float | str) -> str:
    """A mark after the item with this key."""
    return base64.urlsafe_b64encode(json.dumps(key, separators=(",", ":")).encode()).decode()


def parse_cursor(cursor: str, *kinds: type[int] | type[float] | type[str]) -> list[float | str]:
    """The key that `to_cursor` was given, of these types. RpcError 422 for anything that no page gave out.

    What PostgreSQL would refuse (U+0000, more than 64 bits) is refused here.
    """
    try:
        key = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise _invalid() from error
    if not isinstance(key, list) or len(key) != len(kinds):
        raise _invalid()
    return [_part(part, kind) for part, kind in zip(key, kinds, strict=True)]


def _part(part: object, kind: type) -> float | str:
    if kind is str and isinstance(part, str) and "\0" not in part and part.isprintable():
        return part
    if kind is int and type(part) is int and -_INT64 <= part < _INT64:
        return part
    if kind is float and isinstance(part, int | float) and not isinstance(part, bool) and abs(part) < _INT64:
        return float(part)
    raise _invalid()


def _invalid() -> RpcError:
    return RpcError(
        422, Code.FIELD_TYPE_MISMATCH, "The cursor is invalid: use next_cursor of the previous page.", "cursor"
    )
