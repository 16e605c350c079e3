"""Which rollup answers a query, and which of its buckets new readings make out of date; pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kaiser_sensor.domain.rows import Row

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_WHOLE_MINUTES = 4
"""Minutes of a batch that are refreshed for all devices; the rest of it, which came late, by device."""

_MOST_PARTS = 50
"""Of more parts one is made, with what lies between them."""


@dataclass(frozen=True, slots=True)
class Rollup:
    """A table of readings by time and sensor. `slice`: how much of it one statement refreshes at most."""

    name: str
    table: str
    width: timedelta
    slice: timedelta


MINUTE = Rollup("1m", "sensor.rollup_1m", timedelta(minutes=1), timedelta(minutes=10))
HOUR = Rollup("1h", "sensor.rollup_1h", timedelta(hours=1), timedelta(days=1))


@dataclass(frozen=True, slots=True)
class Span:
    """[from_at, to_at) of one device, or of all where esp_id is None."""

    from_at: datetime
    to_at: datetime
    esp_id: str | None = None


@dataclass(frozen=True, slots=True)
class RollupProgress:
    """How far a rollup is: it has what lies before `complete_to`, but for what came late and waits for a refresh."""

    complete_to: datetime
    waiting: Sequence[Span] = ()


def floor(at: datetime, width: timedelta) -> datetime:
    """The start of the bucket that a time lies in; buckets start at multiples of their width since 1970."""
    return at - (at - EPOCH) % width


def ceiling(at: datetime, width: timedelta) -> datetime:
    """The start of the first bucket not before a time."""
    return at + (EPOCH - at) % width


def widened(span: Span, width: timedelta) -> Span:
    """The whole buckets that a span touches."""
    return Span(floor(span.from_at, width), ceiling(span.to_at, width), span.esp_id)


def answers(bucket_s: int) -> Rollup | None:
    """The coarsest rollup of which buckets of `bucket_s` seconds can be made; None: only the readings do."""
    for rollup in (HOUR, MINUTE):
        if bucket_s % rollup.width.total_seconds() == 0:
            return rollup
    return None


def from_readings(asked: Span, rollup: Rollup, progress: RollupProgress) -> list[Span]:
    """The parts of a query that the rollup does not cover yet, in whole buckets."""
    end = min(max(progress.complete_to, asked.from_at), asked.to_at)
    missing = [Span(end, asked.to_at)]
    for span in progress.waiting:
        bucket = widened(span, rollup.width)
        missing.append(Span(max(bucket.from_at, asked.from_at), min(bucket.to_at, asked.to_at)))
    parts = merged(span for span in missing if span.from_at < span.to_at)
    return parts if len(parts) <= _MOST_PARTS else [Span(parts[0].from_at, parts[-1].to_at)]


def touched(rows: Sequence[Row]) -> list[Span]:
    """The spans that a batch makes out of date: its busiest minutes for all devices, the rest by device. A current
    batch lies within a few minutes. A device that sends a week's backlog adds one span of its own.
    """
    times = [row[0] for row in rows]
    first_minute, last_minute = floor(min(times), MINUTE.width), floor(max(times), MINUTE.width)
    if last_minute - first_minute < _WHOLE_MINUTES * MINUTE.width:
        count = (last_minute - first_minute) // MINUTE.width + 1
        starts = [first_minute + number * MINUTE.width for number in range(count)]
        return [Span(start, start + MINUTE.width) for start in starts]
    minutes = Counter(at.replace(second=0, microsecond=0) for at in times)
    whole = sorted(minute for minute, _ in minutes.most_common(_WHOLE_MINUTES))
    spans = [Span(minute, minute + MINUTE.width) for minute in whole]
    if len(minutes) <= _WHOLE_MINUTES:
        return spans
    late: dict[str, tuple[datetime, datetime]] = {}
    for row in rows:
        minute = row[0].replace(second=0, microsecond=0)
        if minute not in whole:
            first, last = late.get(row[1], (minute, minute))
            late[row[1]] = (min(first, minute), max(last, minute))
    return spans + [Span(first, last + MINUTE.width, esp_id) for esp_id, (first, last) in sorted(late.items())]


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same time, each part once: joined where spans of a device meet, and without what is there for all."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.esp_id or "", span.from_at)):
        last = joined[-1] if joined else None
        if last is not None and last.esp_id == span.esp_id and span.from_at <= last.to_at:
            joined[-1] = Span(last.from_at, max(last.to_at, span.to_at), span.esp_id)
        else:
            joined.append(span)
    whole = [span for span in joined if span.esp_id is None]
    return whole + [span for span in joined if span.esp_id is not None and not _within(span, whole)]


def sliced(span: Span, longest: timedelta) -> list[Span]:
    """A span in parts of at most `longest`."""
    parts = []
    start = span.from_at
    while start < span.to_at:
        end = min(start + longest, span.to_at)
        parts.append(Span(start, end, span.esp_id))
        start = end
    return parts


def _within(span: Span, whole: Iterable[Span]) -> bool:
    return any(other.from_at <= span.from_at and span.to_at <= other.to_at for other in whole)
