"""The WebSocket endpoint /api/v1/ws/messages/{client_id}: the last value of each topic, then messages as they come."""

import asyncio
import json
import time

import structlog
from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from kaiser_gateway.domain.conflation import Outlet
from kaiser_gateway.domain.limits import TokenBucket
from kaiser_gateway.domain.selection import TopicSelection, WrongFilter
from kaiser_gateway.domain.tokens import Identity
from kaiser_gateway.domain.topic_index import TopicIndex
from kaiser_gateway.http.auth import Guard
from kaiser_gateway.settings import GatewaySettings
from kaiser_gateway.store.buffers import BuffersUnavailable
from kaiser_gateway.store.standing import Ended
from kaiser_gateway.ws.admission import LONGEST_ID, SentAway, accept, identity_of, rate_of, refuse
from kaiser_gateway.ws.topics import TopicsHub
from kaiser_gateway.ws.viewer import Viewer, ViewerClosed

log = structlog.get_logger()

_READY_WITHIN_S = 10.0
_CLOSE_WITHIN_S = 2.0
_SHARE_OF_A_USER = 2
"""A user has at most half of the viewers, so that nobody shuts out all others."""


def router(hub: TopicsHub, guard: Guard, settings: GatewaySettings) -> APIRouter:
    """The route."""
    routes = APIRouter()
    ended = guard.standings.ended if guard.standings is not None else _never

    @routes.websocket("/api/v1/ws/messages/{client_id}")
    async def messages(websocket: WebSocket, client_id: str) -> None:
        token = await accept(websocket)
        try:
            identity = await identity_of(guard, token)
            rate = rate_of(websocket.query_params.get("rate"), settings)
            selection = _selection(websocket, settings)
            index = await _admit(hub, identity, client_id, settings)
            after = _after(websocket, index)
        except SentAway as refusal:
            await refuse(websocket, refusal)
            return

        async def send(frame: bytes) -> None:
            await websocket.send({"type": "websocket.send", "text": frame.decode()})

        outlet = Outlet(rate, settings.ws_client_bytes, time.monotonic())
        viewer = Viewer(identity, selection, outlet, send, hub.buffers.since, ended, settings.ws_stalled_s)
        hub.join(viewer, index, after)
        try:
            await _converse(websocket, viewer, settings.ws_messages)
        finally:
            hub.leave(viewer)

    return routes


def _never(_: Identity) -> Ended | None:
    return None


async def _converse(websocket: WebSocket, viewer: Viewer, messages_per_s: float) -> None:
    """Send and listen until the viewer leaves or is closed."""
    sending = asyncio.create_task(viewer.run(), name="ws-messages-send")
    listening = asyncio.create_task(_listen(websocket, viewer, messages_per_s), name="ws-messages-listen")
    await asyncio.wait([sending, listening], return_when=asyncio.FIRST_COMPLETED)
    for task in (sending, listening):
        task.cancel()
    for result in await asyncio.gather(sending, listening, return_exceptions=True):
        match result:
            case ViewerClosed():
                await _close(websocket, result.code, str(result))
            case BuffersUnavailable():
                log.warning("resume_failed", reason=str(result))
                await _close(websocket, 1013, "kept messages cannot be read now, connect again later")
            case WebSocketDisconnect() | RuntimeError() | OSError() | asyncio.CancelledError():
                pass  # the viewer has gone
            case BaseException():
                raise result


async def _listen(websocket: WebSocket, viewer: Viewer, messages_per_s: float) -> None:
    """Answer pings until the viewer leaves. ViewerClosed (4400): it sent something else."""
    allowed = TokenBucket.full(messages_per_s, time.monotonic(), 2 * messages_per_s)
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        await asyncio.sleep(allowed.reserve(time.monotonic()))
        try:
            is_ping = json.loads(message.get("text") or "") == {"action": "ping"}
        except (ValueError, RecursionError):
            is_ping = False
        if not is_ping:
            raise ViewerClosed(4400, 'send {"action":"ping"} or nothing: filters are in the address')
        viewer.ping()


def _selection(websocket: WebSocket, settings: GatewaySettings) -> TopicSelection:
    """The messages that the address asks for. SentAway (4400): a level or a filter is wrong."""
    query = websocket.query_params
    priority, filters = query.get("priority", "6"), query.getlist("filter")
    if priority not in {"1", "2", "3", "4", "5", "6"}:
        raise SentAway(4400, "priority is 1 to 6")
    try:
        return TopicSelection(int(priority), filters, settings.vda5050_interfaces)
    except WrongFilter as error:
        raise SentAway(4400, str(error)) from error


async def _admit(hub: TopicsHub, identity: Identity, client_id: str, settings: GatewaySettings) -> TopicIndex:
    """The index, once it is read. SentAway: 1001, 1013, 4400."""
    if hub.draining:
        raise SentAway(1001, "the server is going away")
    if len(client_id) > LONGEST_ID:
        raise SentAway(4400, f"client_id is longer than {LONGEST_ID} characters")
    if len(hub) >= settings.ws_viewers:
        raise SentAway(1013, f"{settings.ws_viewers} viewers look already, try again later")
    most = max(1, settings.ws_viewers // _SHARE_OF_A_USER)
    if hub.viewers_of(identity.user) >= most:
        raise SentAway(1013, f"a user may have {most} viewers open: close one first")
    index = await hub.ready(_READY_WITHIN_S if hub.environment is not None else 1.0)
    if index is None:
        raise SentAway(1013, "no messages are kept that could be shown, or they are not read yet")
    return index


def _after(websocket: WebSocket, index: TopicIndex) -> int | None:
    """Where to resume: `?after=SEQ&epoch=N`, where the same environment is still in force; None: nowhere."""
    query = websocket.query_params
    after, epoch = query.get("after", ""), query.get("epoch", "")
    if not (after.isascii() and after.isdigit() and len(after) < 17) or epoch != str(index.environment.epoch):
        return None
    return int(after)


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    try:
        async with asyncio.timeout(_CLOSE_WITHIN_S):
            await websocket.close(code, reason[:120])
    except (TimeoutError, RuntimeError, OSError, WebSocketDisconnect):
        log.debug("viewer_gone_before_close", code=code)
