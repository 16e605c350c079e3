"""Decodes the bytes of a payload as JSON, strictly.

A payload that two readers could understand differently is not a valid message.
"""

import json
from typing import Any

import msgspec
from kaiser_common.contract.errors import Code, Rejected


def decode(payload: bytes) -> Any:
    """The value of a JSON text. Rejected (5209) if it is not JSON or an object has a duplicate key.

    NaN, Infinity, numbers that no double holds, bad UTF-8, lone surrogates, bytes behind the value and nesting that
    the decoder does not follow (about 1,000) are refused.
    """
    try:
        value = msgspec.json.decode(payload)
        if not _keys_are_distinct(payload, value):
            raise Rejected(Code.JSON_PARSE_ERROR, "an object has a duplicate key")
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Rejected(Code.JSON_PARSE_ERROR, f"the payload is not JSON: {error}") from error
    return value


def nests_at_most(value: Any, levels: int) -> bool:
    """Whether the objects and lists of a JSON value are nested so deep at most; however deep it is, it is answered."""
    inside = [value]
    for _ in range(levels + 1):
        inside = [each for each in inside if isinstance(each, dict | list)]
        if not inside:
            return True
        inside = [one for each in inside for one in (each.values() if isinstance(each, dict) else each)]
    return False


def _keys_are_distinct(payload: bytes, value: Any) -> bool:
    """Whether no object has a key twice.

    The last of two equal keys survives decoding, so encoding loses at least one colon. Counting colons is much
    faster than looking at each key; where they differ for another reason (`\\u003a`), each key is looked at.
    """
    is_plain = b"\\" not in payload or b"\\u003" not in payload
    if is_plain and msgspec.json.encode(value).count(b":") == payload.count(b":"):
        return True
    try:
        json.loads(payload, object_pairs_hook=_refuse_doubles)
    except _KeyTwice:
        return False
    return True


class _KeyTwice(Exception):
    """An object has the same key twice."""


def _refuse_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _KeyTwice
    return found
