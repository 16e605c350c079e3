"""Masks the secrets in a device's messages, for whoever may read them but may not know them; pure."""

import json
from typing import Any

_SECRET = ("token", "password")
_MASK = "•••"


def without_secrets(payload: bytes) -> bytes:
    """A payload as it came if it names no secret; else JSON with the values of keys that name one masked. What is not
    JSON then is masked as a whole."""
    lowered = payload.lower()
    if not any(word.encode() in lowered for word in _SECRET):
        return payload
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        return _MASK.encode()
    return json.dumps(_masked(found), ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _MASK if _is_secret(name) and inner is not None else _masked(inner) for name, inner in value.items()
        }
    return [_masked(each) for each in value] if isinstance(value, list) else value


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET)
