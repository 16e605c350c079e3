"""The SQL of presence and reports: devices that sent messages, late or new ones, wills, sites, figures, errors."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from kaiser_common.contract.topics import MOCK_PREFIX
from kaiser_common.runtime.upsert import copy_upsert

from kaiser_health.domain.presence import Transition, has_rebooted, will_counts
from kaiser_health.store import Connection

_HEARTBEAT_COLUMNS = ("time", "esp_id", "uptime_s", "heap_free", "wifi_rssi", "sensor_count", "actuator_count")

_MOST_DETAILS = 8192
"""Characters of what is kept of a device's counters; where more come together, only the newest heartbeat's stay."""


_REPORTED_S = 10
"""What a device sent within this time may not be reported to health yet: a device that is found silent was away before
it, and what came since is of its return."""


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


class Known(NamedTuple):
    """The registry's entry of a device that sent a message."""

    esp_id: str
    kaiser_id: str
    state: str
    online: bool
    was_online: bool
    last_seen_at: datetime | None
    generation: Literal["A", "B"]
    """The device's state before these messages."""


async def note_heard(
    connection: Connection, heard: Mapping[str, datetime], now: datetime, timeout_s: int
) -> dict[str, Known]:
    """Note when devices last sent something; approved ones that did within their timeout are online from now on.

    Messages received before a will may be reported after it (the digest is published every few seconds): they bring no
    device back online. It is one statement; rows are locked in the order of their ids, so that replicas cannot
    deadlock.
    """
    ids = sorted(heard)
    cursor = await connection.execute(
        """
        WITH heard AS (SELECT * FROM unnest(%(ids)s::text[], %(times)s::timestamptz[]) AS h (esp_id, at)),
        before AS (
            SELECT d.esp_id, d.online FROM health.devices d JOIN heard USING (esp_id) ORDER BY d.esp_id FOR UPDATE OF d
        )
        UPDATE health.devices AS d
        SET last_seen_at = greatest(d.last_seen_at, heard.at),
            online = d.state = 'approved' AND (d.online OR heard.at > greatest(d.will_at,
                %(now)s - make_interval(secs => coalesce(d.heartbeat_timeout_s, %(timeout_s)s))))
        FROM heard JOIN before USING (esp_id)
        WHERE d.esp_id = heard.esp_id
        RETURNING d.esp_id, d.kaiser_id, d.state, d.online, before.online, d.last_seen_at, d.generation
        """,
        {"ids": ids, "times": [heard[esp_id] for esp_id in ids], "now": now, "timeout_s": timeout_s},
    )
    return {row[0]: Known(*row) for row in await cursor.fetchall()}


async def note_returns(connection: Connection, returned: Collection[str]) -> list[str]:
    """Count a boot of devices that were away for less than a batch; the ids of those that are online.

    A power cut may look like that, and the first heartbeat after it like the last one before. A lost connection counts
    too: that asks for states and sends stops again, and does no harm.
    """
    if not returned:
        return []
    cursor = await connection.execute(
        "UPDATE health.devices SET boot = boot + 1 WHERE esp_id = ANY(%s) AND online RETURNING esp_id",
        (sorted(returned),),
    )
    return [row[0] for row in await cursor.fetchall()]


async def note_generation_b(connection: Connection, esp_ids: Collection[str]) -> Collection[str]:
    """Note the generation of devices that wait for approval, so that they are known when it comes; their ids."""
    if esp_ids:
        await connection.execute(
            "UPDATE health.devices SET generation = 'B' WHERE esp_id = ANY(%s)", (sorted(esp_ids),)
        )
    return esp_ids


async def adopt_sites(connection: Connection, sites: Mapping[str, str]) -> list[str]:
    """Note the site under which devices speak that were registered without one; the ids of those that changed.

    A push that still waits is sent there from now on.
    """
    cursor = await connection.execute(
        """
        WITH heard AS (SELECT * FROM unnest(%s::text[], %s::text[]) AS h (esp_id, site)),
        moved AS (
            SELECT d.esp_id, heard.site FROM health.devices AS d JOIN heard USING (esp_id)
            WHERE NOT d.kaiser_id_fixed AND d.kaiser_id <> heard.site ORDER BY d.esp_id FOR UPDATE OF d
        ),
        waiting AS (
            UPDATE health.pushes AS p SET kaiser_id = moved.site FROM moved
            WHERE p.esp_id = moved.esp_id AND p.state = 'pending'
        )
        UPDATE health.devices AS d SET kaiser_id = moved.site FROM moved WHERE d.esp_id = moved.esp_id
        RETURNING d.esp_id
        """,
        (list(sites), list(sites.values())),
    )
    return [row[0] for row in await cursor.fetchall()]


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


async def sweep(connection: Connection, now: datetime, listening_since: datetime, timeout_s: int) -> list[Transition]:
    """Take devices offline that were silent for their timeout while health was listening; each is published by one
    replica."""
    cursor = await connection.execute(
        """
        WITH late AS (
            SELECT esp_id FROM health.devices
            WHERE online AND greatest(last_seen_at, %(listening_since)s)
                <= %(now)s - make_interval(secs => coalesce(heartbeat_timeout_s, %(timeout_s)s))
            ORDER BY esp_id FOR UPDATE SKIP LOCKED
        )
        UPDATE health.devices AS d
        SET online = false, away_at = greatest(d.last_seen_at, %(now)s - make_interval(secs => %(reported_s)s))
        FROM late WHERE d.esp_id = late.esp_id
        RETURNING d.esp_id, d.kaiser_id, d.last_seen_at
        """,
        {"now": now, "listening_since": listening_since, "timeout_s": timeout_s, "reported_s": _REPORTED_S},
    )
    return [Transition(row[0], row[1], False, "silence", row[2]) for row in await cursor.fetchall()]


async def take_offline(
    connection: Connection, esp_id: str, will_at: datetime, received_at: datetime, *, has_clock: bool, retained: bool
) -> tuple[Transition | None, bool]:
    """Apply a will: the transition if the device was online, and whether the will counted.

    `will_at` is the will's own time, `received_at` ingest's.
    """
    cursor = await connection.execute(
        "SELECT kaiser_id, online, last_seen_at FROM health.devices WHERE esp_id = %s FOR UPDATE", (esp_id,)
    )
    row = await cursor.fetchone()
    if row is None:
        return None, True
    kaiser_id, online, last_seen_at = row
    if not will_counts(will_at, received_at, has_clock, retained, last_seen_at):
        return None, False
    if not online:
        return None, True
    await connection.execute(
        "UPDATE health.devices SET online = false, will_at = %s, away_at = %s WHERE esp_id = %s",
        (received_at, received_at, esp_id),
    )
    return Transition(esp_id, kaiser_id, False, "will", last_seen_at), True


async def pending_count(connection: Connection) -> int:
    """How many devices wait for approval."""
    cursor = await connection.execute("SELECT count(*) FROM health.devices WHERE state = 'pending'")
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def add_pending(connection: Connection, devices: Sequence[tuple[str, str]], seen_at: datetime) -> list[str]:
    """Add unknown devices, (esp_id, kaiser_id) each, as pending; the ids of those that were not there."""
    added = []
    for esp_id, kaiser_id in sorted(devices):
        cursor = await connection.execute(
            "INSERT INTO health.devices (esp_id, kaiser_id, hardware_type, state, last_seen_at)"
            " VALUES (%s, %s, %s, 'pending', %s) ON CONFLICT (esp_id) DO NOTHING",
            (esp_id, kaiser_id, "MOCK_ESP32" if esp_id.startswith(MOCK_PREFIX) else "ESP32_WROOM", seen_at),
        )
        if cursor.rowcount:
            added.append(esp_id)
    return added


async def add_error(
    connection: Connection,
    esp_id: str,
    at: datetime,
    error_code: int,
    severity: str,
    category: str | None,
    message: str,
    text_digest: str,
) -> bool:
    """Store an error that a device reported; False if it was stored already. text_digest distinguishes errors of the
    same time."""
    cursor = await connection.execute(
        "INSERT INTO health.device_errors (esp_id, ts, error_code, severity, category, message, text_digest)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (esp_id, at, error_code, severity, category, message, text_digest),
    )
    return cursor.rowcount > 0


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
