"""Answers with a page as CSV; a page may have 10,000 rows, so other requests have turns while it is written."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from fastapi import Response

from kaiser_gateway.domain.csv_text import to_csv, to_rows

_AT_ONCE = 200
"""Rows that are written between two turns of the others: some milliseconds."""


async def csv_answer(
    header: Sequence[str], rows: Iterable[Iterable[Any]], headers: Mapping[str, str] | None = None
) -> Response:
    """The rows below a header. `headers`: of the answer."""
    left, parts = iter(rows), [to_csv(header, ())]
    for block in iter(lambda: list(islice(left, _AT_ONCE)), []):
        parts.append(to_rows(block))
        await asyncio.sleep(0)
    return Response("".join(parts), media_type="text/csv", headers=dict(headers or {}))
