"""This machine's clock. Services pass it to code that takes the time as an argument."""

import time
from datetime import UTC, datetime


def utc_now() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)


def now_ms() -> int:
    """Now, in ms since 1970."""
    return time.time_ns() // 1_000_000
