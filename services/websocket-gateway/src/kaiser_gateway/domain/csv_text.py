"""CSV for spreadsheets: a text that a spreadsheet would read as a formula is escaped."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

_STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def to_csv(header: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """The rows below a header. Numbers stay numbers, also below zero."""
    text = io.StringIO()
    csv.writer(text).writerow(header)
    return text.getvalue() + to_rows(rows)


def to_rows(rows: Iterable[Iterable[Any]]) -> str:
    """Rows without a header, as `to_csv`."""
    text = io.StringIO()
    csv.writer(text).writerows([_plain(cell) for cell in row] for row in rows)
    return text.getvalue()


def _plain(cell: Any) -> Any:
    """With an apostrophe in front where needed. Source: OWASP, CSV Injection."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_STARTS_A_FORMULA) else cell
