"""Shared by the tests of a running alarm service: sending it requests, publishing events on the bus, and waiting."""

from collections.abc import Awaitable, Callable, Sized
from typing import Any

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.schemas.api.alarms import Alarm, AlarmsPage, AlarmsQuery
from kaiser_common.contract.schemas.api.notifications import (
    AlarmNotification,
    Channel,
    ChannelBody,
    Notifications,
    NotificationsQuery,
    PutChannel,
    PutRoute,
    Route,
    RouteBody,
)
from kaiser_common.contract.schemas.event import SystemEvent
from kaiser_common.contract.subjects import event_subject
from waiting import until

ADA = Caller(user="ada", role="admin")
WITHIN_S = 60.0
FAST = {"KAISER_ALARM_NOTIFY_S": "0.2", "KAISER_ALARM_CHANNEL_TIMEOUT_S": "60"}
"""A busy machine takes seconds to import Apprise with the first message, which is no refusal."""


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


async def notifications_of(bus: Bus, channel_id: str, kind: str) -> list[AlarmNotification]:
    """The notifications to a channel of the open alarm of a kind, as the service lists them."""
    [alarm] = await shown(bus, kind=kind)
    query = NotificationsQuery(alarm_id=alarm.alarm_id, channel_id=channel_id)
    found: list[AlarmNotification] = (await ask(bus, "notifications", query, Notifications)).items
    return found


async def channel(bus: Bus, channel_id: str, url: str, **route: Any) -> Any:
    """A channel with a route of its own name."""
    body = PutChannel(channel_id=channel_id, channel=ChannelBody(name=channel_id, url=url))
    await ask(bus, "put_channel", body, Channel)
    request = PutRoute(route_id=channel_id, route=RouteBody(channels=[channel_id], **route))
    return await ask(bus, "put_route", request, Route)


def has(found: Callable[[], Sized], count: int) -> Callable[[], Awaitable[bool]]:
    """A condition for `until`: there are so many."""

    async def condition() -> bool:
        return len(found()) >= count

    return condition
