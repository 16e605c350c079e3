"""The SQL of replays."""

from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from kaiser_common.contract.schemas.api.replays import ReplaysQuery
from kaiser_common.contract.schemas.factory import FactoryReplay, ReplayPlace, ReplayState
from kaiser_common.runtime.cursors import parse_cursor
from kaiser_common.runtime.statements import execute, fetch_all, fetch_one, from_ms, row_of
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from sqlalchemy import literal, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from kaiser_recorder.store import Connection
from kaiser_recorder.store.tables import replays

_c = replays.c
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


_NAMES = tuple(each.name for each in fields(Replay))
_CHANGING = (
    *("epoch", "state", "phase", "ends_as", "reason", "speed", "number", "turn", "position_us", "shift_ms", "sent"),
    *("left_out", "failed", "refused", "drift_ms", "passed", "differences", "ended_at"),
)
"""The columns that change while a replay runs."""


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


async def add(connection: Connection, replay: Replay) -> bool:
    """A new replay. False: another one of its environment is not at its end."""
    statement = insert(replays).values(_row(replay)).inline()
    only_one = statement.on_conflict_do_nothing(index_elements=[_c.env], index_where=_c.ended_at.is_(None))
    return (await execute(connection, only_one)).rowcount > 0


async def save(connection: Connection, replay: Replay) -> None:
    """Write how far a replay is; a process that another one has overtaken writes nothing."""
    row = _row(replay)
    not_overtaken = tuple_(_c.turn, _c.number) <= row_of(replay.turn, replay.number)
    statement = update(replays).where(_c.replay_id == replay.replay_id, not_overtaken)
    await execute(connection, statement.values({name: row[name] for name in _CHANGING}))


def _row(replay: Replay) -> dict[str, Any]:
    """The values of a row; those of jsonb columns for psycopg."""
    row = {name: getattr(replay, name) for name in _NAMES}
    expected = None if replay.expected is None else Jsonb(replay.expected)
    return {**row, "expected": expected, "differences": Jsonb(replay.differences)}


async def open_one(connection: Connection) -> Replay | None:
    """The replay that is not at its end, the oldest if there are several."""
    statement = select(replays).where(_c.ended_at.is_(None)).order_by(_c.created_at).limit(1)
    return await fetch_one(connection, class_row(Replay), statement)


async def read(connection: Connection, replay_id: str) -> Replay | None:
    """A replay."""
    return await fetch_one(connection, class_row(Replay), select(replays).where(_c.replay_id == replay_id))


async def page(connection: Connection, query: ReplaysQuery) -> list[Replay]:
    """A page, the newest first, one more than the limit if there are more."""
    statement = select(replays).order_by(_c.created_at.desc(), _c.replay_id.desc()).limit(query.limit + 1)
    if query.cursor is not None:
        ms, last_id = parse_cursor(query.cursor, int, str)
        before = tuple_(from_ms(min(max(int(ms), 0), _LAST_MS)), literal(str(last_id)))
        statement = statement.where(tuple_(_c.created_at, _c.replay_id) < before)
    return await fetch_all(connection, class_row(Replay), statement)


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
