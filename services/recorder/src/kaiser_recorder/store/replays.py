"""The SQL of replays."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from kaiser_common.contract.schemas.api.replays import ReplaysQuery
from kaiser_common.contract.schemas.factory import FactoryReplay, ReplayPlace, ReplayState
from kaiser_common.runtime.cursors import parse_cursor
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from kaiser_recorder.store import Connection

_COLUMNS = """
    replay_id, recording_id, env, epoch, state, phase, ends_as, reason, speed, filters, exclude, begin_number,
    end_number, number, turn, first_us, last_us, position_us, repeats, shift, shift_ms, armed, expected, sent, left_out,
    failed, refused, drift_ms, passed, differences, created_at, created_by, ended_at
"""
_LAST_MS = 253_402_300_799_000
"""The end of the year 9999."""


@dataclass(frozen=True, slots=True)
class Replay:
    """A replay as it is committed. number: of the last message that was passed; begin_number, end_number: behind and
    up to which it is replayed. phase: what it does; state: what people see. refused: of those that were sent, the ones
    that did not come through; people see them among the failed ones."""

    replay_id: str
    recording_id: str
    env: str
    epoch: int
    state: ReplayState
    phase: str
    ends_as: ReplayState | None
    reason: str | None
    speed: float | None
    filters: list[str] | None
    exclude: list[str]
    begin_number: int
    end_number: int
    number: int
    turn: int
    first_us: int
    last_us: int
    position_us: int
    repeats: bool
    shift: str
    shift_ms: int
    armed: bool
    expected: dict[str, Any] | None
    sent: int
    left_out: int
    failed: int
    refused: int
    drift_ms: int
    passed: bool | None
    differences: list[str]
    created_at: datetime
    created_by: str
    ended_at: datetime | None

    def at(self, place: ReplayPlace | None) -> "Replay":
        """The replay at the place that the OUTBOX says, where that is further than the one that was committed."""
        if place is None or self.phase != "messages" or (place.replay_id, place.turn) != (self.replay_id, self.turn):
            return self
        if place.number <= self.number:
            return self
        return replace(
            self,
            number=place.number,
            position_us=place.position_us,
            sent=place.sent,
            left_out=place.left_out,
            failed=place.failed,
        )

    def shown(self, now: datetime) -> FactoryReplay:
        """The replay as people see it."""
        return FactoryReplay(
            replay_id=self.replay_id,
            recording_id=self.recording_id,
            env=self.env,
            epoch=self.epoch,
            state=self.state,
            reason=self.reason,
            speed=self.speed,
            loop=self.repeats,
            armed=self.armed,
            shift_ms=self.shift_ms,
            turn=self.turn,
            number=self.number,
            total=self.end_number,
            position_ms=max(0, self.position_us - self.first_us) // 1000,
            duration_ms=(self.last_us - self.first_us) // 1000,
            sent=self.sent - self.refused,
            left_out=self.left_out,
            failed=self.failed + self.refused,
            drift_ms=self.drift_ms,
            passed=self.passed,
            differences=self.differences,
            created_at=_ms(self.created_at),
            created_by=self.created_by,
            ended_at=None if self.ended_at is None else _ms(self.ended_at),
            ts=_ms(now),
        )


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


async def insert(connection: Connection, replay: Replay) -> bool:
    """A new replay. False: another one of its environment is not at its end."""
    cursor = await connection.execute(
        f"""
        INSERT INTO recorder.replays ({_COLUMNS})
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,
            %s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (env) WHERE ended_at IS NULL DO NOTHING
        """,
        (
            replay.replay_id,
            replay.recording_id,
            replay.env,
            replay.epoch,
            replay.state,
            replay.phase,
            replay.ends_as,
            replay.reason,
            replay.speed,
            replay.filters,
            replay.exclude,
            replay.begin_number,
            replay.end_number,
            replay.number,
            replay.turn,
            replay.first_us,
            replay.last_us,
            replay.position_us,
            replay.repeats,
            replay.shift,
            replay.shift_ms,
            replay.armed,
            None if replay.expected is None else Jsonb(replay.expected),
            replay.sent,
            replay.left_out,
            replay.failed,
            replay.refused,
            replay.drift_ms,
            replay.passed,
            Jsonb(replay.differences),
            replay.created_at,
            replay.created_by,
            replay.ended_at,
        ),
    )
    return cursor.rowcount > 0


async def save(connection: Connection, replay: Replay) -> None:
    """Write how far a replay is; a process that another one has overtaken writes nothing."""
    await connection.execute(
        """
        UPDATE recorder.replays SET
            epoch = %s, state = %s, phase = %s, ends_as = %s, reason = %s, speed = %s, number = %s, turn = %s,
            position_us = %s, shift_ms = %s, sent = %s, left_out = %s, failed = %s, refused = %s, drift_ms = %s,
            passed = %s, differences = %s, ended_at = %s
        WHERE replay_id = %s AND (turn, number) <= (%s, %s)
        """,
        (
            replay.epoch,
            replay.state,
            replay.phase,
            replay.ends_as,
            replay.reason,
            replay.speed,
            replay.number,
            replay.turn,
            replay.position_us,
            replay.shift_ms,
            replay.sent,
            replay.left_out,
            replay.failed,
            replay.refused,
            replay.drift_ms,
            replay.passed,
            Jsonb(replay.differences),
            replay.ended_at,
            replay.replay_id,
            replay.turn,
            replay.number,
        ),
    )


async def open_one(connection: Connection) -> Replay | None:
    """The replay that is not at its end, the oldest if there are several."""
    async with connection.cursor(row_factory=class_row(Replay)) as cursor:
        await cursor.execute(
            f"SELECT {_COLUMNS} FROM recorder.replays WHERE ended_at IS NULL ORDER BY created_at LIMIT 1"
        )
        return await cursor.fetchone()


async def read(connection: Connection, replay_id: str) -> Replay | None:
    """A replay."""
    async with connection.cursor(row_factory=class_row(Replay)) as cursor:
        await cursor.execute(f"SELECT {_COLUMNS} FROM recorder.replays WHERE replay_id = %s", (replay_id,))
        return await cursor.fetchone()


async def page(connection: Connection, query: ReplaysQuery) -> list[Replay]:
    """A page, the newest first, one more than the limit if there are more."""
    before_ms, before_id = _LAST_MS, ""
    if query.cursor is not None:
        ms, last_id = parse_cursor(query.cursor, int, str)
        before_ms, before_id = min(max(int(ms), 0), _LAST_MS), str(last_id)
    async with connection.cursor(row_factory=class_row(Replay)) as cursor:
        await cursor.execute(
            f"""
            SELECT {_COLUMNS} FROM recorder.replays WHERE (created_at, replay_id) < (to_timestamp(%s / 1000.0), %s)
            ORDER BY created_at DESC, replay_id DESC LIMIT %s
            """,
            (before_ms, before_id, query.limit + 1),
        )
        return await cursor.fetchall()


async def is_replayed(connection: Connection, recording_id: str) -> bool:
    """Whether a replay of a recording is not at its end."""
    cursor = await connection.execute(
        "SELECT FROM recorder.replays WHERE recording_id = %s AND ended_at IS NULL", (recording_id,)
    )
    return await cursor.fetchone() is not None


async def number_before(connection: Connection, recording_id: str, at_us: int) -> int:
    """The number of the message before the first one at, or after, a time; of the last one if none is."""
    cursor = await connection.execute(
        """
        SELECT coalesce(
            (SELECT min(number) - 1 FROM recorder.messages WHERE recording_id = %s AND at_us >= %s),
            (SELECT max(number) FROM recorder.messages WHERE recording_id = %s), 0)
        """,
        (recording_id, at_us, recording_id),
    )
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def span(connection: Connection, recording_id: str) -> tuple[int, int]:
    """The least and the greatest time of a recording, in µs."""
    cursor = await connection.execute(
        "SELECT coalesce(first_us, 0), coalesce(last_us, 0) FROM recorder.recordings WHERE recording_id = %s",
        (recording_id,),
    )
    row = await cursor.fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)
