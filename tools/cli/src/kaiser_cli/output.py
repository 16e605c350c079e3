"""Output: tables for people, JSON for programs."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import click
from pydantic import BaseModel

_WIDEST = 60


def show_json(value: BaseModel | dict[str, Any]) -> None:
    """An object as one line of JSON."""
    if isinstance(value, BaseModel):
        click.echo(value.model_dump_json(by_alias=True))
    else:
        click.echo(json.dumps(value, ensure_ascii=False))


def show_table(heads: Sequence[str], rows: Iterable[Sequence[Any]], nothing: str) -> None:
    """A table; the sentence where it has no row."""
    lines = [[cell(value) for value in row] for row in rows]
    if not lines:
        click.echo(nothing)
        return
    widths = [max(len(line[column]) for line in (heads, *lines)) for column in range(len(heads))]
    click.secho(_line([head.upper() for head in heads], widths), bold=True)
    for line in lines:
        click.echo(_line(line, widths))


def show_facts(facts: Iterable[tuple[str, Any]]) -> None:
    """Names and values, one a line."""
    known = [(name, cell(value, 500)) for name, value in facts if value not in (None, "", {}, [])]
    width = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        click.echo(f"{name:<{width}}  {value}")


def cell(value: Any, widest: int = _WIDEST) -> str:
    """A value on one line: nothing that steers a terminal, and no longer than a column may be."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}" if abs(value) < 1e6 else f"{value:.0f}"
        case list() | tuple():
            return ", ".join(cell(one) for one in value)
    text = "".join(letter if letter.isprintable() else "�" for letter in str(value))
    return text if len(text) <= widest else f"{text[: widest - 1]}…"


def at(time_ms: int | None) -> str | None:
    """A time in ms since 1970 as people here write it; of today without the date."""
    if time_ms is None:
        return None
    moment = datetime.fromtimestamp(time_ms / 1000).astimezone()
    today = datetime.now().astimezone().date()
    return moment.strftime("%H:%M:%S" if moment.date() == today else "%Y-%m-%d %H:%M:%S")


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(f"{text:<{width}}" for text, width in zip(cells, widths, strict=True)).rstrip()
