"""Writes docs/errors.md from the catalogue: every error code, what it means and where it is used."""

import sys
from pathlib import Path

from kaiser_common.contract.errors import ERRORS, CodeRow

_HEAD = """# Error codes

Written by `make error-docs` from `kaiser_common.contract.errors`; tests compare this page and the sources with it. A
code never changes its meaning. REST answers an error as `application/problem+json` with `code`, `detail` and, where
there is one, `field` ([protocol.md](protocol.md)). A rejected message has its code in `GET /api/v1/rejected`
([ingest.md](ingest.md)).

| code | name | meaning | HTTP | rejects messages | logs, system events |
|---|---|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    return _HEAD + "".join(f"{_line(row)}\n" for row in ERRORS)


def _line(row: CodeRow) -> str:
    statuses = ", ".join(str(status) for status in row.statuses) or "–"
    used = row.statuses or row.rejects or row.said
    meaning = row.meaning if used else f"{row.meaning} Not used by Kaiser now; the number is kept for it."
    return (
        f"| {row.code.value} | {row.code.name} | {meaning} | {statuses} | {'yes' if row.rejects else '–'}"
        f" | {'yes' if row.said else '–'} |"
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page())
