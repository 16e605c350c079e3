"""The clock of the service."""

import time
from datetime import UTC, datetime


def utc_now() -> datetime:
    """Now."""
    return datetime.now(UTC)


def now_ms() -> int:
    """The same in ms since 1970."""
    return time.time_ns() // 1_000_000
