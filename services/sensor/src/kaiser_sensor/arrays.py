"""Columns as PostgreSQL array literals, pure: a batch is one INSERT … SELECT FROM unnest (docs/decisions/0301)."""

from collections.abc import Iterable, Sequence
from typing import Any


def columns(rows: Iterable[Sequence[Any]]) -> list[str]:
    """Each column of rows as the text of an array: numbers, texts, times and None."""
    return [literal(column) for column in zip(*rows, strict=True)]


def literal(values: Sequence[Any]) -> str:
    """The text of an array. Texts are quoted, so any text is safe; what cannot be stored the server refuses."""
    texts = [None if value is None else str(value) for value in values]
    if not texts:
        return "{}"
    if None in texts:
        return "{" + ",".join(["NULL" if text is None else f'"{_escaped(text)}"' for text in texts]) + "}"
    joined = '","'.join(texts)  # type: ignore[arg-type]
    if "\\" in joined or joined.count('"') > 2 * (len(texts) - 1):
        joined = '","'.join([_escaped(text) for text in texts if text is not None])
    return '{"' + joined + '"}'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
