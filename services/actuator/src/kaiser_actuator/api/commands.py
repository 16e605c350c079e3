"""Checks, stores and publishes commands to actuators (OUTBOX), and answers requests about their state."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.mirror import soon
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.errors import Code
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.actuators import (
    UNCONFIRMED,
    CommandId,
    CommandRequest,
    CommandStatus,
    FailedCommands,
    SendCommand,
)
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.contract.times import ms_of
from kaiser_common.runtime.database import DatabasePool

from kaiser_actuator import metrics
from kaiser_actuator.domain.admission import (
    check_command,
    check_device,
    check_in_time,
    check_reachable,
    duration_of,
    expiry_of,
    is_approved,
    let_in,
    value_of,
)
from kaiser_actuator.domain.commands import CommandRecord
from kaiser_actuator.domain.outgoing import early_off_message
from kaiser_actuator.domain.unit import Unit, admitted
from kaiser_actuator.publish import Step, command_entry, conclude
from kaiser_actuator.store import Connection, actuators, command_records, emergencies
from kaiser_actuator.store.stops import Stops

_MINUTE = timedelta(minutes=1)
_MOST_FAILED = 1000
"""Failed commands of an answer; they are 0.5 MB."""


class CommandApi:
    """The handlers. The command is on the OUTBOX before the table says so; killed between the two, the caller got no
    answer, the device may do it, and its status says so."""

    def __init__(
        self,
        pool: DatabasePool,
        bus: Bus,
        devices: Mapping[str, DeviceRecord],
        stops: Stops,
        timeout: timedelta,
        per_minute: int,
        clock: Callable[[], datetime],
        takes_commands: Callable[[str], bool],
    ) -> None:
        """takes_commands: whether a device that is online has had the time to subscribe."""
        self._pool = pool
        self._bus = bus
        self._devices = devices
        self._stops = stops
        self._timeout = timeout
        self._per_minute = per_minute
        self._clock = clock
        self._takes_commands = takes_commands

    async def send(self, request: SendCommand, caller: Caller) -> CommandStatus:
        """Send a command, or answer with the one that had this idempotency key. RpcError says which check it failed."""
        try:
            return to_status(await self._send(request, caller))
        except RpcError as error:
            metrics.REFUSED.labels(str(error.problem.code)).inc()
            raise

    async def read(self, request: CommandId, caller: Caller) -> CommandStatus:
        """How a command stands."""
        async with self._pool.reading() as connection:
            command = await command_records.by_id(connection, request.command_id)
        if command is None:
            raise RpcError(404, Code.NOT_FOUND, f"no command {request.command_id}", "command_id")
        return to_status(command)

    async def failed(self, request: Nothing, caller: Caller) -> FailedCommands:
        """The actuators whose last command did not succeed."""
        async with self._pool.reading() as connection:
            found = await command_records.last_failed(connection, _MOST_FAILED + 1)
        return FailedCommands(
            items=[to_status(each) for each in found[:_MOST_FAILED]], complete=len(found) <= _MOST_FAILED
        )

    async def _send(self, request: SendCommand, caller: Caller) -> CommandRecord:
        off = request.request.command == "OFF"
        device = self._devices.get(request.esp_id) if off else await self._approved(request.esp_id)
        now = self._clock()
        key = (request.esp_id, request.gpio)
        async with self._pool.connection() as connection:
            units = await actuators.lock_device(connection, request.esp_id)
            before = await self._same(connection, request)
            if before is not None:
                return before
            unit = await self._checked(connection, units.get(key), list(units.values()), request, now)
            if device is not None:
                check_reachable(device, request.request)
            command = self._to_command(unit, device, request, caller, now)
            step = Step({key: unit})
            step.units[key] = admitted(let_in(unit, self._devices.get(request.esp_id)), command)
            if device is None or self._takes_commands(request.esp_id):
                step.dispatch(key, now)
            elif off:
                step.outbox.append(early_off_message(command))
            step.history.append(command_entry(command, now))
            check_in_time(request.request, caller, self._clock())  # the lock and the queries above may have waited
            await conclude(connection, self._bus, step, now, self._timeout)
        return next(each for each in step.units[key].open if each.command_id == command.command_id)

    async def _approved(self, esp_id: str) -> DeviceRecord:
        known = await soon(self._devices, esp_id, is_approved)
        return check_device(known, esp_id)

    async def _same(self, connection: Connection, request: SendCommand) -> CommandRecord | None:
        """The command that had the same idempotency key. RpcError 409 where it asked for something else."""
        if request.idempotency_key is None:
            return None
        before = await command_records.by_key(connection, request.esp_id, request.gpio, request.idempotency_key)
        if before is not None and not _asks_the_same(before, request.request):
            raise RpcError(
                409,
                Code.DUPLICATE_ENTRY,
                "this Idempotency-Key was used for a different request: use a new one",
                "idempotency_key",
            )
        return before

    async def _checked(
        self, connection: Connection, unit: Unit | None, units: list[Unit], request: SendCommand, now: datetime
    ) -> Unit:
        recent, stops = 0, dict(self._stops)
        if request.request.command != "OFF":  # which neither of them keeps from being sent
            recent = await command_records.count_since(connection, request.esp_id, request.gpio, now - _MINUTE)
            stops = {**await emergencies.covering(connection, request.esp_id, request.gpio), **stops}
        siblings = [each for each in units if each.gpio != request.gpio]
        return check_command(unit, siblings, request.request, stops, recent, self._per_minute)

    def _to_command(
        self, unit: Unit, device: DeviceRecord | None, request: SendCommand, caller: Caller, now: datetime
    ) -> CommandRecord:
        asked: CommandRequest = request.request
        return CommandRecord(
            command_id=self._bus.message_id(),
            esp_id=request.esp_id,
            gpio=request.gpio,
            kaiser_id=device.kaiser_id if device is not None else unit.kaiser_id,
            command=asked.command,
            value=value_of(unit, asked),
            duration_s=duration_of(unit, asked),
            issued_by=caller.user,
            queued_at=now,
            expires_at=expiry_of(asked, now, self._timeout, caller.deadline_ms),
            reason=asked.reason,
            idempotency_key=request.idempotency_key,
            body_hash=body_hash(asked),
            state_reason=UNCONFIRMED if device is not None and not device.online and asked.command == "OFF" else None,
        )


def body_hash(request: CommandRequest) -> str:
    """The hash that distinguishes two requests with the same idempotency key."""
    return hashlib.sha256(request.model_dump_json().encode()).hexdigest()


def _asks_the_same(before: CommandRecord, request: CommandRequest) -> bool:
    if before.body_hash is None:  # from before hashes were kept
        return before.command == request.command
    return before.body_hash == body_hash(request)


def to_status(command: CommandRecord) -> CommandStatus:
    """A command as the API has it."""
    return CommandStatus(
        command_id=command.command_id,
        esp_id=command.esp_id,
        gpio=command.gpio,
        command=command.command,
        value=command.value,
        duration_s=command.duration_s,
        reason=command.reason,
        issued_by=command.issued_by,
        state=command.state,
        state_reason=command.state_reason,
        queued_at=ms_of(command.queued_at),
        sent_at=ms_of(command.sent_at) if command.sent_at else None,
        ended_at=ms_of(command.ended_at) if command.ended_at else None,
        expires_at=ms_of(command.expires_at),
        message=command.message,
    )
