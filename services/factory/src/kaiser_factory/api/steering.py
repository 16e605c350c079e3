"""Steering requests: planned against the live state, committed to the journal, then sent.

The order is: checks, one transaction that gives out the update ids and writes the commands, OUTBOX. Killed between the
commit and the OUTBOX, or the connection lost during the commit: the command expires in the journal and was never sent.
"""

import secrets
import uuid
from collections.abc import Callable, Mapping
from typing import Any, cast

from kaiser_common.bus.rpc import Caller, RpcError, is_late
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.api.factory import (
    CommandsPage,
    CommandsQuery,
    FactoryCommandId,
    SteerAnswer,
    SteerCheck,
    SteerMessage,
    SteerPlan,
    SteerRequest,
)
from kaiser_common.contract.schemas.factory import FactoryCommandEntry, FactoryEnvironment
from kaiser_common.runtime.cursors import parse_cursor, to_cursor
from kaiser_common.runtime.database import DatabasePool
from kaiser_factory_dialect.journal import queue
from kaiser_factory_dialect.steer_checks import Circumstances, SteerRole
from kaiser_factory_dialect.steer_vda5050 import header_topics
from kaiser_factory_dialect.steering import Plan, plan

from kaiser_factory.consumers.journal import Journal
from kaiser_factory.domain.live import FactoryState
from kaiser_factory.store import Connection
from kaiser_factory.store import commands as store
from kaiser_factory.store.commands import Command
from kaiser_factory.store.entries import entry_of, shown

_ROLES = frozenset({"viewer", "operator", "admin"})


class RandomIds:
    """New ids from the system's random numbers."""

    def uuid(self) -> str:
        """A new UUID."""
        return str(uuid.uuid4())

    def digits(self, count: int) -> str:
        """That many new hexadecimal digits."""
        return secrets.token_hex((count + 1) // 2)[:count]


class SteeringApi:
    """The methods of steering and of the journal."""

    def __init__(
        self,
        pool: DatabasePool,
        journal: Journal,
        live: Callable[[], FactoryState],
        interfaces: tuple[str, ...],
        now_ms: Callable[[], int],
    ) -> None:
        self._now_ms = now_ms
        self._interfaces = interfaces
        self._pool = pool
        self._journal = journal
        self._live = live

    async def preview(self, request: SteerRequest, caller: Caller) -> SteerPlan:
        """The messages of a request, and the checks up to the first that fails. Nothing is sent or used up."""
        async with self._pool.reading() as connection:
            found = await self._plan(connection, request.request, caller)
        return SteerPlan(
            messages=[
                SteerMessage(topic=one.topic, payload=shown(one.payload), after=one.after) for one in found.messages
            ],
            checks=[
                SteerCheck(
                    ok=one.ok, code=None if one.code is None else int(one.code), text=one.text, status=one.status
                )
                for one in found.checks
            ],
        )

    async def steer(self, request: SteerRequest, caller: Caller) -> SteerAnswer:
        """Send what a request becomes. A refused one: RpcError with the first check that failed."""
        environment = self._environment()
        key = f"{caller.user} {request.idempotency_key}" if request.idempotency_key else f"- {uuid.uuid4()}"
        async with self._pool.connection() as connection:
            await store.lock(connection)
            before = await store.of_request(connection, environment.env, key)
            if before:
                if dict(before[0].request) != request.request:
                    text = "the Idempotency-Key was used for another request"
                    raise RpcError(409, Code.PERMISSION_DENIED, text, "Idempotency-Key")
                return SteerAnswer(commands=[entry_of(each) for each in before])
            found = await self._plan(connection, request.request, caller)
            if (refusal := found.refusal) is not None:
                raise RpcError(refusal.status, refusal.code, refusal.text, refusal.field)
            if is_late(caller, self._now_ms()):
                # The caller was answered with a failure, and may ask again: nothing moves without its knowledge.
                raise RpcError(
                    504, Code.OPERATION_TIMEOUT, "the caller stopped waiting for the request: nothing was sent"
                )
            made = self._commands(found, request.request, key, caller)
            await store.insert(connection, made)
            self._journal.begin(key, self._now_ms())
        due = self._journal.confirm(key, made)
        await self._journal.publish(due)
        await self._journal.send([each for each in due if each.entry is not None])
        return SteerAnswer(commands=[entry_of(each) for each in made])

    async def commands(self, query: CommandsQuery, _: Caller) -> CommandsPage:
        """A page of the journal, newest first."""
        before = None
        if query.cursor:
            at, command_id = parse_cursor(query.cursor, int, str)
            before = (int(at), str(command_id))
        async with self._pool.reading() as connection:
            found = await store.page(
                connection,
                self._environment().env,
                state=query.state,
                serial=query.serial,
                before=before,
                limit=query.limit,
            )
        more = len(found) == query.limit
        cursor = to_cursor(found[-1].queued_at, found[-1].command_id) if more else None
        return CommandsPage(items=[entry_of(each) for each in found], next_cursor=cursor)

    async def command(self, request: FactoryCommandId, _: Caller) -> FactoryCommandEntry:
        """One command; 404 where it is not known."""
        async with self._pool.reading() as connection:
            found = await store.read(connection, request.command_id)
        if found is None:
            raise RpcError(404, Code.NOT_FOUND, f"there is no command {request.command_id}", "command_id")
        return entry_of(found)

    def _environment(self) -> FactoryEnvironment:
        return self._journal.environment

    async def _plan(self, connection: Connection, request: Mapping[str, Any], caller: Caller) -> Plan:
        live, environment = self._live(), self._environment()
        if (live.environment.env, live.environment.epoch) != (environment.env, environment.epoch):
            raise RpcError(503, Code.BROKER_UNAVAILABLE, "the environment is being switched, try again")
        now = self._now_ms()
        named = request.get("order_id")
        order_ids = await store.next_update_ids(
            connection, environment.env, [named] if isinstance(named, str) and "\0" not in named else []
        )
        vehicles = header_topics(live.factory, request.get("agv") or request.get("serial"))
        circumstances = Circumstances(
            now=now,
            fresh=RandomIds(),
            env_kind=environment.kind,
            armed=environment.armed,
            role=cast(SteerRole, caller.role if caller.role in _ROLES else "viewer"),
            order_ids=order_ids,
            last_minute=await store.last_minute(connection, environment.env, now),
            unanswered=self._journal.unanswered(),
            header_ids=await store.next_header_ids(connection, environment.env, vehicles),
            interfaces=self._interfaces,
        )
        return plan(request, live.factory, circumstances)

    def _commands(self, found: Plan, request: Mapping[str, Any], key: str, caller: Caller) -> list[Command]:
        environment, now = self._environment(), self._now_ms()
        sequence_id = uuid.uuid4().hex if any(one.after is not None for one in found.messages) else None
        return [
            Command(
                command_id=uuid.uuid4().hex,
                env=environment.env,
                epoch=environment.epoch,
                request_key=key,
                step=number,
                user=caller.user,
                request=request,
                topic=one.topic,
                payload=one.payload,
                command=one.command,
                queued_at=now,
                free=one.free,
                after=one.after,
                sequence_id=sequence_id,
                entry=None if one.after is not None else queue(one.command, now),
                header_id=one.header_id,
            )
            for number, one in enumerate(found.messages)
        ]
