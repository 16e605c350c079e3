"""Masks secrets in a device's messages, for readers who may see the messages but not the secrets; pure."""

import json
from typing import Any

_SECRET = ("token", "password")
_MASK = "•••"


def without_secrets(payload: bytes) -> bytes:
    """A payload as it came if it names no secret; else JSON with the values of keys that name one masked. What is not
    JSON then, or nests deeper than Python follows (about 1,000), is masked as a whole."""
    lowered = payload.lower()
    if not any(word.encode() in lowered for word in _SECRET):
        return payload
    try:
        masked = json.loads(payload, object_pairs_hook=_masked)
        text = json.dumps(masked, ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        return _MASK.encode()
    return text.encode(errors="replace")


def _masked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose inner objects are masked already: json calls it from the inside out."""
    return {name: _MASK if _is_secret(name) and inner is not None else inner for name, inner in pairs}


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET)
