"""The SQL of heartbeats: the newest figures of each device, its reboots, and the history."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from kaiser_common.runtime.upsert import copy_upsert

from kaiser_health.domain.presence import has_rebooted
from kaiser_health.store import Connection

_HEARTBEAT_COLUMNS = ("time", "esp_id", "uptime_s", "heap_free", "wifi_rssi", "sensor_count", "actuator_count")

_MOST_DETAILS = 8192
"""Characters of what is kept of a device's counters; where more come together, only the newest heartbeat's stay."""


class Beat(NamedTuple):
    """The figures of a heartbeat. uptime in s, heap_free in bytes, wifi_rssi in dBm."""

    esp_id: str
    seen_at: datetime
    uptime: int | None
    heap_free: int | None
    wifi_rssi: int | None
    sensor_count: int | None
    actuator_count: int | None
    firmware_version: str | None
    boot_sequence_id: str | None = None
    wifi_ip: str | None = None
    details: str | None = None
    """JSON of the firmware's other figures."""


class LifeChange(NamedTuple):
    """A device whose record changes by a heartbeat: it has rebooted, or turned out to be of generation B."""

    esp_id: str
    rebooted: bool


async def note_figures(connection: Connection, beats: Iterable[Beat]) -> list[LifeChange]:
    """Keep the figures of the newest heartbeat of each device, and every heartbeat in the history.

    The devices that have rebooted since the heartbeat before, or turned out to be of generation B. A batch that comes
    again is older than what is kept, and finds nothing new.
    """
    ordered = sorted(beats, key=lambda beat: beat.seen_at)
    lives = await _note_lives(connection, ordered)
    await _keep_newest(connection, ordered)
    await copy_upsert(
        connection,
        "health.heartbeats",
        _HEARTBEAT_COLUMNS,
        [(b.seen_at, b.esp_id, b.uptime, b.heap_free, b.wifi_rssi, b.sensor_count, b.actuator_count) for b in ordered],
    )
    return lives


async def note_pending_figures(connection: Connection, beats: Iterable[Beat]) -> None:
    """Keep the figures of the newest heartbeat of devices that wait for approval; they have no history yet."""
    await _keep_newest(connection, sorted(beats, key=lambda beat: beat.seen_at))


async def _keep_newest(connection: Connection, ordered: Sequence[Beat]) -> None:
    newest: dict[str, Beat] = {}
    for beat in ordered:
        newest[beat.esp_id] = _merged(newest.get(beat.esp_id), beat)
    if not newest:
        return
    columns = zip(*(newest[esp_id][:8] for esp_id in sorted(newest)), strict=True)
    await connection.execute(
        """
        UPDATE health.devices AS d SET uptime_s = coalesce(b.uptime, d.uptime_s),
            heap_free = coalesce(b.heap_free, d.heap_free), wifi_rssi = coalesce(b.wifi_rssi, d.wifi_rssi),
            sensor_count = coalesce(b.sensor_count, d.sensor_count),
            actuator_count = coalesce(b.actuator_count, d.actuator_count),
            firmware_version = coalesce(b.firmware_version, d.firmware_version)
        FROM unnest(%s::text[], %s::timestamptz[], %s::bigint[], %s::bigint[], %s::int[], %s::int[], %s::int[],
                    %s::text[])
            AS b (esp_id, seen_at, uptime, heap_free, wifi_rssi, sensor_count, actuator_count, firmware_version)
        WHERE d.esp_id = b.esp_id AND (d.beat_at IS NULL OR d.beat_at <= b.seen_at)
        """,
        [list(column) for column in columns],
    )


def _merged(before: Beat | None, beat: Beat) -> Beat:
    """A heartbeat, with the figures that it lacks from the one before: the firmware may send them apart."""
    if before is None:
        return beat
    return beat._replace(**{name: value for name, value in before._asdict().items() if getattr(beat, name) is None})


async def _note_lives(connection: Connection, ordered: Sequence[Beat]) -> list[LifeChange]:
    """Record the fields of heartbeats other than figures, oldest first; heartbeats older than the last recorded one are
    skipped."""
    of_device: dict[str, list[Beat]] = {}
    for beat in ordered:
        of_device.setdefault(beat.esp_id, []).append(beat)
    cursor = await connection.execute(
        "SELECT esp_id, uptime_s, boot_sequence_id, generation, beat_at FROM health.devices"
        " WHERE esp_id = ANY(%s) ORDER BY esp_id FOR UPDATE",
        (sorted(of_device),),
    )
    lives, rows = [], []
    for esp_id, last_uptime, last_boot_id, generation, beat_at in await cursor.fetchall():
        beats = [each for each in of_device[esp_id] if beat_at is None or each.seen_at > beat_at]
        if not beats:
            continue
        uptime, boot_id, before = last_uptime, last_boot_id, beat_at
        boots, ip, details = 0, None, "{}"
        for beat in beats:
            elapsed_s = (beat.seen_at - before).total_seconds() if before is not None else None
            boots += has_rebooted(beat.uptime, beat.boot_sequence_id, uptime, boot_id, elapsed_s)
            before = beat.seen_at if beat.uptime is not None else before
            uptime = beat.uptime if beat.uptime is not None else uptime
            boot_id, ip, details = beat.boot_sequence_id or boot_id, beat.wifi_ip or ip, beat.details or details
        rows.append((esp_id, beats[-1].seen_at, boots, boot_id, ip, details))
        if boots or (boot_id is not None and generation != "B"):
            lives.append(LifeChange(esp_id, boots > 0))
    if rows:
        await connection.execute(
            """
            UPDATE health.devices AS d SET beat_at = b.at, boot = d.boot + b.boots,
                generation = CASE WHEN b.boot_id IS NOT NULL THEN 'B' ELSE d.generation END,
                boot_sequence_id = coalesce(b.boot_id, d.boot_sequence_id), ip = coalesce(b.ip, d.ip),
                details = CASE WHEN length((d.details || b.details::jsonb)::text) > %s THEN b.details::jsonb
                    ELSE d.details || b.details::jsonb END
            FROM unnest(%s::text[], %s::timestamptz[], %s::int[], %s::text[], %s::text[], %s::text[])
                AS b (esp_id, at, boots, boot_id, ip, details)
            WHERE d.esp_id = b.esp_id
            """,
            [_MOST_DETAILS, *(list(column) for column in zip(*rows, strict=True))],
        )
    return lives


async def history(
    connection: Connection, esp_id: str, from_at: datetime, to_at: datetime, bucket_s: int
) -> list[tuple[datetime, int, int, float, int, float]]:
    """Heartbeats by bucket: start, count, last uptime, average and least heap_free, average wifi_rssi."""
    cursor = await connection.execute(
        """
        SELECT date_bin(make_interval(secs => %s), time, 'epoch') AS start, count(*),
               (array_agg(uptime_s ORDER BY time DESC))[1],
               avg(heap_free)::float8, min(heap_free), avg(wifi_rssi)::float8
        FROM health.heartbeats WHERE esp_id = %s AND time >= %s AND time < %s GROUP BY start ORDER BY start
        """,
        (bucket_s, esp_id, from_at, to_at),
    )
    return await cursor.fetchall()
