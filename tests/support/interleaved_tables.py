"""The tables of actuator in memory, for the trials of stops: what others see of a change begins with its commit."""

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog
from interleaved_world import TRACKED, Gates, Row, World
from kaiser_actuator.domain.emergencies import key_of
from kaiser_actuator.domain.unit import Unit
from kaiser_actuator.store import actuators, command_records, emergencies, history
from kaiser_actuator.store.actuators import Key
from kaiser_common.contract.schemas.api.actuators import Emergency
from kaiser_common.contract.times import ms_of


class Transaction:
    """Changes of the table, which others see once it has ended."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.changes: list[Callable[[], None]] = []
        self.locks = AsyncExitStack()

    async def lock(self, key: tuple[str, int]) -> None:
        await self.locks.enter_async_context(self.world.pins.locks[key])


class Pool:
    """A database where each device has an actuator. It is slow: a connection is waited for, and a commit."""

    def __init__(self, gates: Gates, world: World) -> None:
        self.gates = gates
        self.world = world

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Transaction]:
        await self.gates.wait()
        transaction = Transaction(self.world)
        async with transaction.locks:
            yield transaction
            if transaction.changes:
                await self.gates.wait()
            for change in transaction.changes:
                change()


class Tables:
    """The statements of the product about stops, on the table made here."""

    async def add(self, connection: Transaction, stop: Emergency) -> emergencies.Addition:
        known = connection.world.table.get(stop.emergency_id)

        def change() -> None:
            row = connection.world.table.setdefault(stop.emergency_id, Row(stop))
            if (stop.number or -1) > (row.stop.number or -1):
                row.stop = row.stop.model_copy(update={"number": stop.number})

        connection.changes.append(change)
        if known is None:
            return emergencies.Addition.NEW
        grows = (stop.number or -1) > (known.stop.number or -1)
        return emergencies.Addition.RENUMBERED if grows else emergencies.Addition.UNCHANGED

    async def clear(
        self, connection: Transaction, stop: Emergency, _by: str, reason: str, at: datetime, sequence: int
    ) -> None:
        def change() -> None:
            connection.world.cleared.append((stop.emergency_id, reason))
            for row in connection.world.table.values():
                older = (row.stop.number or 0) < (stop.number or 0)
                same_key = key_of(row.stop.esp_id, row.stop.gpio) == key_of(stop.esp_id, stop.gpio)
                if row.cleared is None and same_key and (older or row.stop.emergency_id == stop.emergency_id):
                    row.cleared = sequence, ms_of(at)

        connection.changes.append(change)

    async def in_force(self, connection: Transaction) -> dict[str, Emergency]:
        return self.stops_of(connection.world)

    @staticmethod
    def stops_of(world: World) -> dict[str, Emergency]:
        rows = sorted(world.table.values(), key=lambda row: row.stop.raised_at)
        cleared: dict[str, int] = {}
        for row in rows:
            key = key_of(row.stop.esp_id, row.stop.gpio)
            if row.cleared is not None:
                cleared[key] = max(cleared.get(key, 0), row.stop.number or 0)
        return {
            key: row.stop
            for row in rows
            if row.cleared is None
            and (row.stop.number or 0) >= cleared.get(key := key_of(row.stop.esp_id, row.stop.gpio), 0)
        }

    async def cleared_unconfirmed(self, connection: Transaction, since: datetime) -> list[Emergency]:
        return [
            row.stop
            for row in connection.world.table.values()
            if row.stop.esp_id is not None and row.cleared is not None and row.cleared[0] == 0
            if row.cleared[1] >= ms_of(since)
        ]

    async def is_known(self, connection: Transaction, emergency_id: str) -> bool:
        return emergency_id in connection.world.table

    async def is_cleared(self, connection: Transaction, emergency_id: str) -> bool:
        row = connection.world.table.get(emergency_id)
        return row is not None and row.cleared is not None

    async def is_over(self, connection: Transaction, stop: Emergency) -> bool:
        return any(
            row.cleared is not None
            and (
                row.stop.emergency_id == stop.emergency_id
                or (row.cleared[1] >= stop.raised_at and (row.stop.number or 0) > (stop.number or row.stop.number or 0))
            )
            for row in connection.world.table.values()
            if key_of(row.stop.esp_id, row.stop.gpio) == key_of(stop.esp_id, stop.gpio)
        )

    async def is_echo(
        self, connection: Transaction, esp_id: str, gpio: int | None, sequence: int, _received_at: datetime
    ) -> bool:
        return any(
            row.stop.esp_id in (None, esp_id)
            and (row.stop.gpio is None or gpio is None or row.stop.gpio == gpio)
            and row.cleared is not None
            and row.cleared[0] >= sequence
            for row in connection.world.table.values()
        )


async def nothing(*_: Any) -> None:
    return None


class Rows:
    """The statements of the product about actuators and their commands, on those made here."""

    async def lock_covered(self, connection: Transaction, esp_id: str | None, gpio: int | None) -> dict[Key, Unit]:
        keys = [
            key for key in sorted(connection.world.pins.units) if esp_id in (None, key[0]) and gpio in (None, key[1])
        ]
        for key in keys:
            await connection.lock(key)
        return {key: connection.world.pins.units[key] for key in keys}

    async def lock_due(
        self, connection: Transaction, _now: datetime, _heard: datetime, esp_ids: Iterable[str]
    ) -> dict[Key, Unit]:
        units = connection.world.pins.units
        due = [key for key in sorted(units) if key[0] in esp_ids and not connection.world.pins.locks[key].locked()]
        for key in due:
            await connection.lock(key)
        return {key: units[key] for key in due}

    async def save(self, connection: Transaction, before: Unit, after: Unit, _timeout: timedelta) -> None:
        if after != before:
            connection.changes.append(lambda: connection.world.pins.units.update({after.key: replace(after, ended=())}))

    async def waiting_devices(self, connection: Transaction) -> list[str]:
        return [key[0] for key, unit in connection.world.pins.units.items() if unit.waits_to_switch_on]


async def devices_with_actuators(*_: Any) -> set[str]:
    return set(TRACKED)


@contextmanager
def used(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put these tables in place of the database, and write no log lines: half of the time of the trials went there."""
    tables, rows = Tables(), Rows()
    monkeypatch.setattr(emergencies, "add", tables.add)
    monkeypatch.setattr(emergencies, "clear", tables.clear)
    monkeypatch.setattr(emergencies, "in_force", tables.in_force)
    monkeypatch.setattr(emergencies, "is_known", tables.is_known)
    monkeypatch.setattr(emergencies, "is_cleared", tables.is_cleared)
    monkeypatch.setattr(emergencies, "is_over", tables.is_over)
    monkeypatch.setattr(emergencies, "is_echo", tables.is_echo)
    monkeypatch.setattr(emergencies, "cleared_unconfirmed", tables.cleared_unconfirmed)
    monkeypatch.setattr(history, "add", nothing)
    monkeypatch.setattr(actuators, "lock_covered", rows.lock_covered)
    monkeypatch.setattr(actuators, "lock_due", rows.lock_due)
    monkeypatch.setattr(actuators, "save", rows.save)
    monkeypatch.setattr(command_records, "waiting_devices", rows.waiting_devices)
    monkeypatch.setattr(actuators, "devices_with_actuators", devices_with_actuators)
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)
