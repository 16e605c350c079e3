"""Commands to actuators, through the actuator service alone, and how they end."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.schemas.api.actuators import (
    OPEN_STATES,
    CommandId,
    CommandRequest,
    CommandStateName,
    CommandStatus,
    SendCommand,
)
from kaiser_common.contract.schemas.api.logic import Rule
from kaiser_common.contract.schemas.api.rules import ActuatorAction
from kaiser_common.contract.schemas.event import ActuatorResponseEvent

from kaiser_logic.store.latest import LOGIC

_AT_ONCE = 32
_TRY_AGAIN = (0.2, 0.5, 1.0, 2.0)
_BUSY = (503, 504)
_REMEMBERED = 2000
_ASK_EVERY_S = 5.0


class Commands:
    """At most 32 concurrent requests, further ones wait. A command keeps its key, so that repeating it moves
    nothing."""

    def __init__(self, bus: Bus, wait_s: float) -> None:
        self._bus = bus
        self._wait_s = wait_s
        self._free = asyncio.Semaphore(_AT_ONCE)
        self._ended: OrderedDict[str, tuple[str, str | None]] = OrderedDict()
        self._waiting: dict[str, asyncio.Future[None]] = {}

    async def send(
        self, rule: Rule, execution_id: str, path: str, action: ActuatorAction, is_current: Callable[[], bool]
    ) -> CommandStatus | None:
        """Send a command. None: it is out of date, which is asked before each try. RpcError: refused, or the actuator
        service did not answer in several tries."""
        request = SendCommand(
            esp_id=action.esp_id,
            gpio=action.gpio,
            request=CommandRequest(
                command=action.command,
                value=action.value,
                duration_s=action.duration_s,
                reason=f"rule {rule.name}"[:200],
            ),
            idempotency_key=f"{execution_id}:{path}",
        )
        caller = Caller(user=f"rule:{rule.name}", role="operator", request_id=execution_id)
        for wait_s in (*_TRY_AGAIN, None):
            try:
                async with self._free:
                    if not is_current():
                        return None
                    return await call(self._bus, "actuator", "command", request, CommandStatus, caller=caller)
            except RpcError as error:
                if error.problem.status not in _BUSY or wait_s is None:
                    raise
                await asyncio.sleep(wait_s)
        raise AssertionError("the last try returns or raises")

    async def end_of(self, status: CommandStatus) -> CommandStatus:
        """A command's result, from its event or, requested every few seconds, from the actuator service; after the
        timeout the last known state, which may not be final."""
        deadline = time.monotonic() + self._wait_s
        try:
            while status.state in OPEN_STATES and (left_s := deadline - time.monotonic()) > 0:
                if not await self._heard_of(status.command_id, min(left_s, _ASK_EVERY_S)):
                    status = await self._asked(status)
                elif status.command_id in self._ended:
                    state, message = self._ended[status.command_id]
                    status = status.model_copy(update={"state": state, "message": message})
        finally:
            self._waiting.pop(status.command_id, None)
        return status

    async def _heard_of(self, command_id: str, within_s: float) -> bool:
        """Wait for the event of a command's end; False when it did not come within the time."""
        if command_id in self._ended:
            return True
        ended = self._waiting.setdefault(command_id, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(within_s):
                await asyncio.shield(ended)
        except TimeoutError:
            return False
        return True

    def note(self, event: ActuatorResponseEvent) -> None:
        """Take an event that may be a command's end."""
        if event.command_id is None or event.state is None or event.state in OPEN_STATES:
            return
        self._ended[event.command_id] = (event.state, event.message)
        if len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)
        waiting = self._waiting.get(event.command_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    async def _asked(self, status: CommandStatus) -> CommandStatus:
        try:
            request = CommandId(command_id=status.command_id)
            return await call(self._bus, "actuator", "read_command", request, CommandStatus, caller=LOGIC)
        except RpcError:
            return status


SUCCESS: tuple[CommandStateName, ...] = ("acknowledged",)
"""How a command must end for its rule to have succeeded."""
