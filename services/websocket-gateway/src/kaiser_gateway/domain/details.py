"""One message in full, and its differences from the one before; pure."""

import json
import re
from typing import Any

import msgspec
from kaiser_common.contract.schemas.api.messages import MessageDetails, MessageDiff

from kaiser_gateway.domain.difference import differences
from kaiser_gateway.domain.kept import TopicMessage, payload_fields

_PICTURE = re.compile(r"data:(image/(?:jpeg|png|gif|webp));base64,")
_SIGNATURES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}
_NO_JSON = object()
_LONGEST_INDENTED = 512 * 1024
_INDENTED = json.JSONEncoder(indent=2, ensure_ascii=False)


def details_of(message: TopicMessage) -> MessageDetails:
    """A message with its whole payload, as text, pretty, or as the picture that it is or has in its field `data`."""
    value = _decoded(message.payload)
    more = {
        "pretty": None if value is _NO_JSON else _indented(value),
        "mime": _mime(message.payload, value),
        "cut": message.size > len(message.payload),
    }
    return MessageDetails.model_validate(message.head() | payload_fields(message.payload, message.size) | more)


def diff_of(message: TopicMessage, before: TopicMessage | None) -> MessageDiff:
    """The differences of two messages of a topic; not readable where one of them is no JSON, is cut, or nests so deep
    that Python cannot compare it."""
    if before is None:
        return MessageDiff(seq=message.seq)
    old, new = _decoded(before.payload), _decoded(message.payload)
    if old is _NO_JSON or new is _NO_JSON:
        return MessageDiff(seq=message.seq, before=before.seq, readable=False)
    try:
        changes, complete = differences(old, new)
    except RecursionError:
        return MessageDiff(seq=message.seq, before=before.seq, readable=False)
    return MessageDiff(seq=message.seq, before=before.seq, changes=changes, complete=complete)


def _indented(value: Any) -> str | None:
    """A value as indented JSON; None if that has over half a million characters: each element of a value that nests
    deep stands behind as many spaces."""
    parts: list[str] = []
    left = _LONGEST_INDENTED
    try:
        for part in _INDENTED.iterencode(value):
            parts.append(part)
            left -= len(part)
            if left < 0:
                return None
    except RecursionError:
        return None
    return "".join(parts)


def _decoded(payload: bytes) -> Any:
    try:
        return msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _NO_JSON


def _mime(payload: bytes, value: Any) -> str | None:
    for signature, mime in _SIGNATURES.items():
        if payload.startswith(signature):
            return mime
    data = value.get("data") if isinstance(value, dict) else None
    found = _PICTURE.match(data) if isinstance(data, str) else None
    return found[1] if found is not None else None
