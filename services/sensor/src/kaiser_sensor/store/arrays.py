"""Columns as PostgreSQL array literals, pure: a batch is one INSERT … SELECT FROM unnest (docs/decisions/0301)."""

from collections.abc import Iterable, Sequence
from typing import Any


def columns(rows: Iterable[Sequence[Any]]) -> list[str]:
    """Each column of rows, which begin with a time, as the text of an array: numbers, texts and None.

    Times become seconds since 1970, which takes a third of writing them as text; to a microsecond they are exact.
    """
    times, *others = zip(*rows, strict=True)
    return [literal([at.timestamp() for at in times]), *map(literal, others)]


def literal(values: Sequence[Any]) -> str:
    """The text of an array. Texts are quoted, so any text is safe; what cannot be stored the server refuses."""
    if not values:
        return "{}"
    if None in values:
        return "{" + ",".join(["NULL" if value is None else f'"{_escaped(str(value))}"' for value in values]) + "}"
    joined = '","'.join(map(str, values))
    if "\\" in joined or joined.count('"') > 2 * (len(values) - 1):
        joined = '","'.join([_escaped(str(value)) for value in values])
    return '{"' + joined + '"}'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
