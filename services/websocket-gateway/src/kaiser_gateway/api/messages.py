"""The message centre: topics and their messages, read from TOPICS."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Path, Query
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.bus.turns import turn_of
from kaiser_common.contract.bounds import MAX_EXACT
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.api.messages import (
    ClearedTopics,
    ClearTopics,
    MessageDetails,
    MessageDiff,
    MessagesPage,
    MessageTopic,
    MessageTopics,
    Verdict,
)
from kaiser_common.runtime.clock import now_ms
from kaiser_common.runtime.database import DatabasePool
from kaiser_factory_dialect.priorities import level_of

from kaiser_gateway.domain.details import details_of, diff_of
from kaiser_gateway.domain.kept import TopicMessage
from kaiser_gateway.domain.selection import TopicSelection, WrongFilter
from kaiser_gateway.domain.topic_index import TopicIndex
from kaiser_gateway.http.auth import Guard
from kaiser_gateway.settings import GatewaySettings
from kaiser_gateway.store.access_log import LogEntry, note_alone
from kaiser_gateway.store.buffers import BuffersUnavailable
from kaiser_gateway.ws.topics import TopicsHub

AnswerT = TypeVar("AnswerT")

_READY_WITHIN_S = 5.0
_DEVICES = "kaiser/"
_AT_ONCE = 100
_LARGE = "many large messages are being read"

Priority = Annotated[int, Query(ge=1, le=6, description="level: modules, AGVs, orders, system, extended, all")]
Filter = Annotated[
    list[Annotated[str, Query(min_length=1, max_length=1024)]] | None,
    Query(alias="filter", max_length=50, description="MQTT topic filter with + and #", examples=["module/v1/#"]),
]
Search = Annotated[str, Query(max_length=200, description="text in the topic or the payload, in any case")]
SeqPath = Annotated[int, Path(ge=1, le=MAX_EXACT, examples=[4711])]
TopicQuery = Annotated[str, Query(min_length=1, max_length=1024, examples=["ccu/order/request"])]


def router(bus: Bus, hub: TopicsHub, pool: DatabasePool, guard: Guard, settings: GatewaySettings) -> APIRouter:
    """/api/v1/messages."""
    routes = APIRouter(prefix="/api/v1/messages", tags=["messages"])
    viewer, operator = guard.needs("viewer"), guard.needs("operator")
    interfaces = settings.vda5050_interfaces
    reading = asyncio.Lock()
    """A message of a megabyte takes a second to read: in a thread, one at a time, so that stops do not wait for it."""
    counting = asyncio.Lock()
    """To count 10,000 topics takes NATS and this process a tenth of a second."""

    @routes.get("/topics")
    async def list_topics(
        priority: Priority = 6,
        filters: Filter = None,
        search: Search = "",
        retained: bool = False,
        _: Caller = viewer,
    ) -> MessageTopics:
        """The topics of the environment in force, by name, each with its last message. retained: only those whose last
        message came from the broker's store."""
        index, selection = await _index(hub), _selection(priority, filters, interfaces)
        async with turn_of(counting, "many lists of topics are being counted", _READY_WITHIN_S):
            counts = await _of_nats(hub.buffers.counts(index.environment.env))
        index.count(counts.held, counts.last_seq)
        now = now_ms()

        def topic_of(last: TopicMessage) -> MessageTopic:
            return MessageTopic.model_construct(
                topic=last.topic,
                level=level_of(last.topic, interfaces),
                held=index.held(last.topic),
                full=index.held(last.topic) >= index.per_topic,
                age_ms=max(0, now - last.received_at),
                last=last.to_head(),
            )

        return MessageTopics(
            env=index.environment.env,
            kind=index.environment.kind,
            epoch=index.environment.epoch,
            complete=index.complete,
            topics=[topic_of(last) async for last in _sought(index, selection, search, retained=retained)],
        )

    @routes.get("")
    async def list_messages(
        priority: Priority = 6,
        filters: Filter = None,
        topic: Annotated[str | None, Query(min_length=1, max_length=1024)] = None,
        search: Search = "",
        verdict: Verdict | None = None,
        cursor: Annotated[int | None, Query(ge=1, le=MAX_EXACT)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        _: Caller = viewer,
    ) -> MessagesPage:
        """Kept messages, newest first. A request looks back for 3 s; with a cursor in its answer there may be more."""
        index = await _index(hub)
        selection = _selection(priority, filters if topic is None else [topic], interfaces)

        def wanted(message: TopicMessage) -> bool:
            return (
                selection.admits(message.topic)
                and (verdict is None or message.verdict == verdict)
                and _has(message, search)
            )

        subject = selection.subject(index.environment.env)
        page = await _of_nats(hub.buffers.page(subject, wanted, cursor, limit))
        items = [one.to_message() for one in page.messages]
        return MessagesPage.model_construct(items=items, next_cursor=page.before)

    @routes.post("/clear")
    async def clear_topics(body: ClearTopics, caller: Caller = operator) -> ClearedTopics:
        """Delete the kept messages of the topics of a filter, all but the last of each. It is in the audit first."""
        index, selection = await _index(hub), _selection(6, [body.filter], interfaces)
        env = index.environment.env
        await note_alone(pool, LogEntry(caller.user, "clear_messages", body.filter, caller.address))
        counts = await _of_nats(hub.buffers.counts(env))
        cleared, deleted = await _of_nats(hub.buffers.clear(env, counts, selection.admits))
        return ClearedTopics(topics=cleared, messages=deleted)

    @routes.get("/{seq}")
    async def read_message(seq: SeqPath, _: Caller = viewer) -> MessageDetails:
        """A message with its whole payload: as text, indented if it is JSON; as base64 if it is not text."""
        found = await _message(hub, seq)
        async with turn_of(reading, _LARGE, _READY_WITHIN_S):
            return await asyncio.to_thread(details_of, found)

    @routes.get("/{seq}/diff")
    async def read_message_difference(seq: SeqPath, _: Caller = viewer) -> MessageDiff:
        """The differences between a message and the one before on its topic; lists of objects by their id."""
        index, found = await _index(hub), await _message(hub, seq)
        before = await _of_nats(hub.buffers.before(index.environment.env, found))
        async with turn_of(reading, _LARGE, _READY_WITHIN_S):
            return await asyncio.to_thread(diff_of, found, before)

    return routes


async def _index(hub: TopicsHub) -> TopicIndex:
    """The last messages. RpcError 503: no ingest keeps any, or they are not read yet."""
    index = await hub.ready(_READY_WITHIN_S if hub.environment is not None else 0.0)
    if index is None:
        off = "set KAISER_MQTT_DIALECTS for those of a factory, KAISER_TOPICS_DIALECTS for those of devices"
        why = "they are not read yet, try again" if hub.environment is not None else off
        raise RpcError(503, Code.DEPENDENCY_MISSING, f"no messages are kept that could be shown: {why}")
    return index


async def _sought(
    index: TopicIndex, selection: TopicSelection, search: str, *, retained: bool
) -> AsyncIterator[TopicMessage]:
    """The last messages that are asked for, by topic. A search through 10,000 of them takes a quarter of a second, and
    to answer with all of them a tenth, so others get their turn in between."""
    for number, last in enumerate(sorted(index, key=lambda one: one.topic)):
        if number % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0)
        if selection.admits(last.topic) and (last.retained or not retained) and _has(last, search):
            yield last


async def _message(hub: TopicsHub, seq: int) -> TopicMessage:
    env = (await _index(hub)).environment.env
    found = await _of_nats(hub.buffers.message(env, seq))
    if found is None:
        raise RpcError(404, Code.NOT_FOUND, f"message {seq} of {env} is not kept", "seq")
    return found


def _selection(priority: int, filters: list[str] | None, interfaces: tuple[str, ...]) -> TopicSelection:
    try:
        return TopicSelection(priority, filters or [], interfaces)
    except WrongFilter as error:
        raise RpcError(422, Code.VALUE_OUT_OF_RANGE, str(error), "filter") from error


async def _of_nats(answer: Awaitable[AnswerT]) -> AnswerT:
    """The answer of TOPICS. RpcError 503: it cannot be read now."""
    try:
        return await answer
    except BuffersUnavailable as error:
        raise RpcError(503, Code.DEPENDENCY_MISSING, str(error)) from error


def _has(message: TopicMessage, search: str) -> bool:
    """Whether a text is in the topic or the payload, whatever the case."""
    if not search:
        return True
    wanted = search.casefold()
    return wanted in message.topic.casefold() or wanted in message.payload.decode(errors="replace").casefold()
