"""Channels, routes and notifications of alarms, answered by alarm."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, call
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.alarms import ALARM_ID
from kaiser_common.contract.schemas.api.notifications import (
    CHANNEL_ID,
    Channel,
    ChannelBody,
    ChannelKey,
    Channels,
    ChannelTested,
    Notifications,
    NotificationsQuery,
    PutChannel,
    PutRoute,
    Route,
    RouteBody,
    RouteKey,
    Routes,
)

from kaiser_gateway.http.auth import Guard

ChannelPath = Annotated[str, Path(pattern=CHANNEL_ID, examples=["on-call"])]
_TEST_S = 30.0
"""A channel may take its time to refuse."""


def router(bus: Bus, guard: Guard) -> APIRouter:
    """/api/v1/notifications."""
    routes = APIRouter(prefix="/api/v1/notifications", tags=["notifications"])
    viewer, operator, admin = guard.needs("viewer"), guard.needs("operator"), guard.needs("admin")

    @routes.get("")
    async def list_notifications(
        alarm_id: Annotated[str | None, Query(pattern=ALARM_ID)] = None,
        channel_id: Annotated[str | None, Query(pattern=CHANNEL_ID)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: Annotated[str | None, Query(max_length=300)] = None,
        caller: Caller = viewer,
    ) -> Notifications:
        """Notifications, the newest first, and how they ended."""
        query = NotificationsQuery(alarm_id=alarm_id, channel_id=channel_id, limit=limit, cursor=cursor)
        return await call(bus, "alarm", "notifications", query, Notifications, caller=caller)

    @routes.get("/channels")
    async def list_channels(caller: Caller = operator) -> Channels:
        """All channels, without the secrets of their URLs."""
        return await call(bus, "alarm", "channels", Nothing(), Channels, caller=caller)

    @routes.put("/channels/{channel_id}")
    async def put_channel(channel_id: ChannelPath, body: ChannelBody, caller: Caller = admin) -> Channel:
        """Set a channel; without `url` its URL is left unchanged."""
        request = PutChannel(channel_id=channel_id, channel=body)
        return await call(bus, "alarm", "put_channel", request, Channel, caller=caller, timeout_s=_TEST_S)

    @routes.delete("/channels/{channel_id}", status_code=204)
    async def delete_channel(channel_id: ChannelPath, caller: Caller = admin) -> None:
        """Remove a channel that no route names."""
        await call(bus, "alarm", "delete_channel", ChannelKey(channel_id=channel_id), Nothing, caller=caller)

    @routes.post("/channels/{channel_id}/test")
    async def test_channel(channel_id: ChannelPath, caller: Caller = admin) -> ChannelTested:
        """Send a test message now; the answer has its result."""
        key = ChannelKey(channel_id=channel_id)
        return await call(bus, "alarm", "test_channel", key, ChannelTested, caller=caller, timeout_s=_TEST_S)

    @routes.get("/routes")
    async def list_routes(caller: Caller = operator) -> Routes:
        """Which alarms go to which channels."""
        return await call(bus, "alarm", "routes", Nothing(), Routes, caller=caller)

    @routes.put("/routes/{route_id}")
    async def put_route(route_id: ChannelPath, body: RouteBody, caller: Caller = admin) -> Route:
        """Set a route as a whole."""
        return await call(bus, "alarm", "put_route", PutRoute(route_id=route_id, route=body), Route, caller=caller)

    @routes.delete("/routes/{route_id}", status_code=204)
    async def delete_route(route_id: ChannelPath, caller: Caller = admin) -> None:
        """Remove a route."""
        await call(bus, "alarm", "delete_route", RouteKey(route_id=route_id), Nothing, caller=caller)

    return routes
