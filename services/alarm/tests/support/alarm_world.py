"""What the tests of the running service share: asking it, saying things on the bus, waiting."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.schemas.api.alarms import Alarm, AlarmsPage, AlarmsQuery
from kaiser_common.contract.schemas.event import SystemEvent
from kaiser_common.contract.subjects import event_subject

ADA = Caller(user="ada", role="admin")
WITHIN_S = 60.0


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    """Wait until a condition gives something, and return that."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        found = await condition()
        if found:
            return found
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def ask(bus: Bus, method: str, request: Any, answer: Any) -> Any:
    """Ask the service, waiting for it to come up."""

    async def answered() -> Any:
        try:
            return await call(bus, "alarm", method, request, answer, caller=ADA, timeout_s=30.0)
        except RpcError as error:
            if error.problem.status in (503, 504):
                return None
            raise

    return await until(answered)


async def say(bus: Bus, event: str, esp_id: str = "ESP_1", severity: Any = "warning", **details: Any) -> None:
    """Publish a system_event."""
    body = SystemEvent(
        event=event, severity=severity, message=f"{esp_id}: {event}", esp_id=esp_id, details=details, ts=1
    )
    await bus.publish(event_subject("system_event", esp_id), body.model_dump_json().encode())


async def shown(bus: Bus, **query: Any) -> list[Alarm]:
    """Alarms as the service lists them."""
    found: list[Alarm] = (await ask(bus, "list", AlarmsQuery(**query), AlarmsPage)).items
    return found
