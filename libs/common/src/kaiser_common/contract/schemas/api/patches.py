"""JSON merge patches (RFC 7396): they change some fields of an object, and carry only the fields that were given."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, SerializerFunctionWrapHandler, model_serializer


class MergePatch(BaseModel):
    """The fields to change: one that is left out stays as it is, and null resets one that may be empty."""

    @model_serializer(mode="wrap")
    def _what_was_given(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in write(self).items() if name in self.model_fields_set}


def merged(target: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """An object after a merge patch: null removes a key, an object is merged, everything else is replaced."""
    result = dict(target)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping):
            inner = result.get(name)
            result[name] = merged(inner if isinstance(inner, Mapping) else {}, value)
        else:
            result[name] = value
    return result
