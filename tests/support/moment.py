"""The time that tests give the product: now, or the one that `make test-moments` tries."""

import os
from datetime import UTC, datetime


def moment() -> datetime:
    """Now in UTC, or the ISO 8601 time that KAISER_TEST_NOW names. Only for tests whose product is given its time: a
    service that was started as a process, and the servers, have the time of the machine."""
    given = os.environ.get("KAISER_TEST_NOW")
    return datetime.fromisoformat(given).astimezone(UTC) if given else datetime.now(UTC)
