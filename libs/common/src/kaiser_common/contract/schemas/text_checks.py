"""Finds U+0000 in the texts of a message: JSON allows this character, PostgreSQL cannot store it."""

from typing import Any

from pydantic import BaseModel


def field_with_nul(message: BaseModel, as_json: bytes) -> str | None:
    """The first field of a message that contains U+0000 in a text, at any depth, keys included; None if no field does.

    `as_json` is the JSON that the message was read from: where that has no such escape, nothing is looked at.
    """
    if b"\\u0000" not in as_json:
        return None
    return next((name for name, value in message if _holds_nul(value)), None)


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any(_holds_nul(key) or _holds_nul(item) for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(_holds_nul, value))
    return isinstance(value, BaseModel) and any(_holds_nul(item) for _, item in value)
