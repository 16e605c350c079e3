"""The SQL of presence: devices that sent messages, late or new ones, wills, sites."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from kaiser_common.contract.topics import MOCK_PREFIX
from kaiser_common.runtime.statements import execute
from sqlalchemy.dialects.postgresql import insert

from kaiser_health.domain.presence import Transition, will_counts
from kaiser_health.store import Connection
from kaiser_health.store.tables import devices as devices_

_REPORTED_S = 10
"""A device's messages may take this long to be reported to health: a device that is found silent was away before that,
and its messages since then are of its return."""


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
        hardware_type = "MOCK_ESP32" if esp_id.startswith(MOCK_PREFIX) else "ESP32_WROOM"
        add = insert(devices_).values(
            esp_id=esp_id, kaiser_id=kaiser_id, hardware_type=hardware_type, state="pending", last_seen_at=seen_at
        )
        cursor = await execute(connection, add.on_conflict_do_nothing(index_elements=["esp_id"]))
        if cursor.rowcount:
            added.append(esp_id)
    return added
