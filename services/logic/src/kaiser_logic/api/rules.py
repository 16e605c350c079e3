"""Requests about rules and their executions."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from kaiser_common.bus.bucket import BucketWriter
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.bus.turns import TURN_WITHIN_S, held, turn_of
from kaiser_common.contract.errors import Code
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.logic import (
    CreateRule,
    ExecutionsPage,
    ExecutionsQuery,
    PatchRule,
    PutRule,
    Rule,
    RuleId,
    RulesPage,
    RulesQuery,
    TestResult,
    TestRule,
    TestSettings,
)
from kaiser_common.contract.schemas.api.rules import RuleSettings
from kaiser_common.contract.schemas.api.times import BEFORE_2100_MS
from kaiser_common.contract.subjects import LOGIC_RULES_BUCKET
from kaiser_common.contract.times import time_of
from kaiser_common.runtime.cursors import parse_cursor, to_cursor
from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.loops import every
from kaiser_common.runtime.versions import check_version, patched
from nats.errors import Error as NatsError

from kaiser_logic.domain.loops import find_loop
from kaiser_logic.store import Connection, rules

log = structlog.get_logger()

_MEND_EVERY_S = 2.0
_OTHERS = "other rules are being changed"
_REBUILT_WITHIN_S = 30.0


class LogicApi:
    """The handlers; the table first, then the bucket, from which the rule is in force. Killed or NATS away between the
    two: `keep_mending` makes the bucket say what the table says.

    waits_s: how long a change waits for those before it; 503 beyond that.
    """

    def __init__(
        self,
        pool: DatabasePool,
        bus: Bus,
        test: Callable[[TestRule], TestResult | None],
        test_settings: Callable[[TestSettings], Awaitable[TestResult]],
        clock: Callable[[], int],
        rules_max: int,
        waits_s: float = TURN_WITHIN_S,
    ) -> None:
        self._pool = pool
        self._bus = bus
        self._test = test
        self._test_settings = test_settings
        self._clock = clock
        self._rules_max = rules_max
        self._changing = asyncio.Lock()
        self._waits_s = waits_s
        self._to_mend = True
        self._mended: BucketWriter | None = None
        self._known: dict[str, Rule] = {}
        """Rules as last read from the table, so that only changed ones are read again."""

    async def page(self, query: RulesQuery, caller: Caller) -> RulesPage:
        """A page of rules."""
        after = None
        if query.cursor:
            name, rule_id = parse_cursor(query.cursor, str, str)
            after = (str(name), str(rule_id))
        async with self._pool.connection() as connection:
            items = await rules.page(connection, query, after)
        more = len(items) == query.limit
        return RulesPage(items=items, next_cursor=to_cursor(items[-1].name, items[-1].rule_id) if more else None)

    async def read(self, request: RuleId, caller: Caller) -> Rule:
        """One rule. 404 when it is not there."""
        async with self._pool.connection() as connection:
            return _found(await rules.read(connection, request.rule_id), request.rule_id)

    async def create(self, request: CreateRule, caller: Caller) -> Rule:
        """Add a rule, in force immediately. 422 (5003) if it closes a loop, 409 if there are too many."""
        now_ms = self._clock()
        settings = request.settings
        rule = _rule(settings, rule_id=secrets.token_hex(8), created_at=now_ms, updated_at=now_ms)
        async with turn_of(self._changing, _OTHERS, self._waits_s):
            async with self._pool.connection() as connection:
                others = await self._others(connection, rule)
                if len(others) >= self._rules_max:
                    raise RpcError(
                        409, Code.VALUE_OUT_OF_RANGE, f"there are {len(others)} rules already, which is the maximum"
                    )
                await rules.insert(connection, rule, settings, caller.user)
            await self._publish(rule)
        log.info("rule_created", rule_id=rule.rule_id, name=rule.name, user=caller.user)
        return rule

    async def put(self, request: PutRule, caller: Caller) -> Rule:
        """Replace a rule, in force immediately; its running execution is ended. 404, 422 as above, 412 if the rule has
        another version than expected."""
        return await self._change(request, caller, lambda _: request.settings)

    async def patch(self, request: PatchRule, caller: Caller) -> Rule:
        """As `put`, with the settings that are given; the others stay as they are."""
        return await self._change(request, caller, lambda known: patched(RuleSettings, known, request.patch))

    async def _change(
        self, request: PutRule | PatchRule, caller: Caller, settings_of: Callable[[Rule], RuleSettings]
    ) -> Rule:
        async with turn_of(self._changing, _OTHERS, self._waits_s):
            async with self._pool.connection() as connection:
                known = _found(await rules.read(connection, request.rule_id), request.rule_id)
                check_version(request.expected, known.version, f"rule {known.rule_id}")
                settings = settings_of(known)
                rule = _rule(
                    settings,
                    rule_id=known.rule_id,
                    version=known.version + 1,
                    created_at=known.created_at,
                    updated_at=self._clock(),
                )
                await self._others(connection, rule)
                await rules.update(connection, rule, settings, caller.user)
            await self._publish(rule)
        log.info("rule_changed", rule_id=rule.rule_id, version=rule.version, user=caller.user)
        last = {"last_executed_at": known.last_executed_at, "last_outcome": known.last_outcome}
        return rule.model_copy(update=last)

    async def delete(self, request: RuleId, caller: Caller) -> Nothing:
        """Remove a rule; what it is doing is ended. 404 when it is not there."""
        async with turn_of(self._changing, _OTHERS, self._waits_s):
            async with self._pool.connection() as connection:
                await rules.lock_rules(connection)
                if not await rules.delete(connection, request.rule_id):
                    _found(None, request.rule_id)
            try:
                await (await self._bucket()).delete(request.rule_id)
            except (NatsError, OSError) as error:
                self._mend_later(request.rule_id, error)
        log.info("rule_removed", rule_id=request.rule_id, user=caller.user)
        return Nothing()

    async def test(self, request: TestRule, caller: Caller) -> TestResult:
        """A dry run with given or current values: nothing is sent. 404 when the rule is not there."""
        result = self._test(request)
        if result is None:
            raise _missing(request.rule_id)
        return result

    async def test_settings(self, request: TestSettings, caller: Caller) -> TestResult:
        """A dry run of a rule that is not stored, with given or current values: nothing is sent."""
        return await self._test_settings(request)

    async def executions(self, query: ExecutionsQuery, caller: Caller) -> ExecutionsPage:
        """A page of executions, newest first."""
        before = None
        if query.cursor:
            at_ms, execution_id = parse_cursor(query.cursor, float, str)
            if not 0 <= float(at_ms) <= BEFORE_2100_MS:
                raise RpcError(422, Code.VALUE_OUT_OF_RANGE, "The cursor's time is out of range.", "cursor")
            before = (time_of(int(at_ms)), str(execution_id))
        async with self._pool.connection() as connection:
            items = await rules.executions(connection, query, before)
        more = len(items) == query.limit
        cursor = to_cursor(items[-1].started_at, items[-1].execution_id) if more else None
        return ExecutionsPage(items=items, next_cursor=cursor)

    async def keep_mending(self) -> None:
        """Make the bucket say what the table says: at the start, after a write to it failed, and when it was deleted
        and declared again. Database or NATS away: again in 2 s. Meanwhile the rules of the bucket are in force."""
        await every(_MEND_EVERY_S, self._mend, "rules_not_compared_yet")

    async def _mend(self) -> None:
        self._mended = bucket = self._mended or await self._bucket()
        if self._to_mend or await bucket.is_another():
            await self._rebuild(bucket)

    async def _rebuild(self, bucket: BucketWriter) -> None:
        async with held(self._changing, _REBUILT_WITHIN_S):
            async with self._pool.connection() as connection:
                found = await self._every(connection)
            wanted = {rule.rule_id: rule.model_dump_json().encode() for rule in found}
            await bucket.rebuild(wanted)
            self._to_mend = False

    async def _others(self, connection: Connection, rule: Rule) -> list[Rule]:
        """Every other rule, locked against changes. RpcError 422 where the rule closes a loop."""
        await rules.lock_rules(connection)
        others = [other for other in await self._every(connection) if other.rule_id != rule.rule_id]
        names = find_loop(rule, others)
        if names is not None:
            text = f"these rules would trigger each other without end: {' → '.join(names)}"
            raise RpcError(422, Code.CONFIG_PAYLOAD_INVALID, text, "conditions")
        return others

    async def _every(self, connection: Connection) -> list[Rule]:
        """Every rule of the table."""
        versions = await rules.versions(connection)
        known = {rule_id: rule for rule_id, rule in self._known.items() if versions.get(rule_id) == rule.version}
        for rule in await rules.some(connection, sorted(versions.keys() - known.keys())):
            known[rule.rule_id] = rule
        self._known = known
        return list(known.values())

    async def _publish(self, rule: Rule) -> None:
        try:
            await (await self._bucket()).put(rule.rule_id, rule.model_dump_json().encode())
        except (NatsError, OSError) as error:
            self._mend_later(rule.rule_id, error)

    def _mend_later(self, rule_id: str, error: Exception) -> None:
        self._to_mend = True
        log.warning("rule_not_in_force_yet", rule_id=rule_id, error=str(error) or type(error).__name__)

    async def _bucket(self) -> BucketWriter:
        return await BucketWriter.open(self._bus, LOGIC_RULES_BUCKET)


def _rule(settings: RuleSettings, **more: Any) -> Rule:
    return Rule.model_validate({**settings.model_dump(mode="json"), **more})


def _found(rule: Rule | None, rule_id: str) -> Rule:
    if rule is None:
        raise _missing(rule_id)
    return rule


def _missing(rule_id: str) -> RpcError:
    return RpcError(404, Code.NOT_FOUND, f"no rule {rule_id}", "rule_id")
