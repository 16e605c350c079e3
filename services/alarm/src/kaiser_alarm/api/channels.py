"""Answers requests about channels, routes and notifications."""

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.errors import Code
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.notifications import (
    Channel,
    ChannelKey,
    Channels,
    ChannelTested,
    Notifications,
    NotificationsQuery,
    PutChannel,
    PutRoute,
    Route,
    RouteKey,
    Routes,
)
from kaiser_common.contract.times import time_of
from kaiser_common.runtime.cursors import to_cursor
from kaiser_common.runtime.database import DatabasePool

from kaiser_alarm.domain.notification_texts import Language, channel_test
from kaiser_alarm.publish.channels import ChannelSender, WrongUrl
from kaiser_alarm.store import channels, notifications
from kaiser_alarm.store.sealing import Sealing, WrongKey


class ChannelApi:
    """The URL of a channel is taken, encrypted and never shown again."""

    def __init__(
        self,
        pool: DatabasePool,
        sender: ChannelSender,
        sealing: Callable[[], Sealing],
        clock_ms: Callable[[], int],
        language: Language,
    ) -> None:
        self._pool = pool
        self._sender = sender
        self._sealing = sealing
        self._clock_ms = clock_ms
        self._language = language

    async def channels(self, request: Nothing, caller: Caller) -> Channels:
        """All channels."""
        async with self._pool.connection() as connection:
            return Channels(channels=await channels.read_all(connection))

    async def put(self, request: PutChannel, caller: Caller) -> Channel:
        """Set a channel. 422: its URL names none, or a new channel has no URL."""
        wanted = request.channel
        async with self._pool.connection() as connection:
            before = await channels.read(connection, request.channel_id)
            sealed = await channels.encrypted_url(connection, request.channel_id)
        if wanted.url is not None:
            try:
                kind, sealed = await self._sender.check(wanted.url), self._sealing().seal(wanted.url)
            except WrongUrl as error:
                raise RpcError(422, Code.VALUE_OUT_OF_RANGE, str(error), "url") from error
        elif before is None or sealed is None:
            raise RpcError(422, Code.MISSING_REQUIRED_FIELD, "a new channel needs its url", "url")
        else:
            kind = before.kind
        async with self._pool.connection() as connection:
            await channels.put(connection, request.channel_id, wanted, kind, sealed, caller.user, self._now())
            return _found(await channels.read(connection, request.channel_id), f"channel {request.channel_id}")

    async def delete(self, request: ChannelKey, caller: Caller) -> Nothing:
        """Remove a channel. 409: a route names it."""
        async with self._pool.connection() as connection:
            for route in await channels.routes(connection):
                if request.channel_id in route.channels:
                    text = f"route {route.route_id} names channel {request.channel_id}"
                    raise RpcError(409, Code.STATE_CHANGED, text, "channel_id")
            if not await channels.delete(connection, request.channel_id):
                raise _missing(f"channel {request.channel_id}")
        return Nothing()

    async def test(self, request: ChannelKey, caller: Caller) -> ChannelTested:
        """Send a test message now, and say how it ended."""
        async with self._pool.connection() as connection:
            sealed = await channels.encrypted_url(connection, request.channel_id)
        if sealed is None:
            raise _missing(f"channel {request.channel_id}")
        text = channel_test(request.channel_id, caller.user, self._language)
        try:
            error = await self._sender.send(self._sealing().open(sealed), text)
        except WrongKey as wrong:
            error = str(wrong)
        async with self._pool.connection() as connection:
            await channels.note_result(connection, request.channel_id, error, self._now())
        return ChannelTested(is_sent=error is None, error=error)

    async def routes(self, request: Nothing, caller: Caller) -> Routes:
        """All routes."""
        async with self._pool.connection() as connection:
            return Routes(routes=await channels.routes(connection))

    async def put_route(self, request: PutRoute, caller: Caller) -> Route:
        """Set a route. 422: it names a channel or a time zone that does not exist, or half of some hours, or hours that
        are empty."""
        route = request.route
        _check_hours("quiet", route.quiet_from, route.quiet_to)
        _check_hours("active", route.active_from, route.active_to)
        try:
            ZoneInfo(route.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            text = f"there is no time zone {route.time_zone!r}"
            raise RpcError(422, Code.VALUE_OUT_OF_RANGE, text, "time_zone") from error
        async with self._pool.connection() as connection:
            known = {one.channel_id for one in await channels.read_all(connection)}
            if unknown := [each for each in route.channels if each not in known]:
                text = f"there is no channel {', '.join(unknown)}"
                raise RpcError(422, Code.VALUE_OUT_OF_RANGE, text, "channels")
            await channels.put_route(connection, request.route_id, route, caller.user, self._now())
            (found,) = [one for one in await channels.routes(connection) if one.route_id == request.route_id]
            return found

    async def delete_route(self, request: RouteKey, caller: Caller) -> Nothing:
        """Remove a route."""
        async with self._pool.connection() as connection:
            if not await channels.delete_route(connection, request.route_id):
                raise _missing(f"route {request.route_id}")
        return Nothing()

    async def notifications(self, query: NotificationsQuery, caller: Caller) -> Notifications:
        """A page of notifications."""
        async with self._pool.connection() as connection:
            found = await notifications.page(connection, query)
        items = found[: query.limit]
        more = len(found) > query.limit
        return Notifications(items=items, next_cursor=to_cursor(items[-1].created_at, items[-1].key) if more else None)

    def _now(self) -> datetime:
        return time_of(self._clock_ms())


def _check_hours(name: str, since: str | None, until: str | None) -> None:
    fields = f"{name}_from, {name}_to"
    if (since is None) != (until is None):
        text = f"{name}_from and {name}_to are given together"
        raise RpcError(422, Code.MISSING_REQUIRED_FIELD, text, fields)
    if since is not None and since == until:
        text = f"{name}_from and {name}_to are both {since}: leave both out for the whole day"
        raise RpcError(422, Code.VALUE_OUT_OF_RANGE, text, fields)


def _found(channel: Channel | None, what: str) -> Channel:
    if channel is None:
        raise _missing(what)
    return channel


def _missing(what: str) -> RpcError:
    return RpcError(404, Code.NOT_FOUND, f"there is no {what}")
