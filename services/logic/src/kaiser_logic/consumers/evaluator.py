"""Feeds the engine with events and time while this process holds the lease."""

import asyncio
from collections.abc import Mapping, Sequence

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.pull import Delivery
from kaiser_common.bus.reader import OrderedReader
from kaiser_common.bus.rpc import RpcError
from kaiser_common.bus.waiting import set_within
from kaiser_common.contract.errors import Code
from kaiser_common.contract.pack import seq_of
from kaiser_common.contract.schemas.api.logic import Rule, TestResult, TestRule, TestSettings
from kaiser_common.contract.schemas.event import ActuatorResponseEvent
from kaiser_common.contract.subjects import EVENTS, is_packed
from kaiser_common.runtime.clock import now_ms

from kaiser_logic import metrics
from kaiser_logic.domain.decode import FILTERS, alarm_of, decode, readings_of
from kaiser_logic.domain.dry_run import dry_run, recalled, unstored
from kaiser_logic.domain.effects import Effect
from kaiser_logic.domain.engine import Engine
from kaiser_logic.domain.events import of_end
from kaiser_logic.domain.readings import Away, Readings, RuleInput
from kaiser_logic.domain.rules import Limits, sensors
from kaiser_logic.domain.state import RuleState, Running
from kaiser_logic.jobs.executor import Executor, ExecutorLimits
from kaiser_logic.publish.commands import Commands
from kaiser_logic.publish.events import EventPublisher
from kaiser_logic.publish.outputs import Outputs
from kaiser_logic.publish.webhooks import Webhooks
from kaiser_logic.settings import LogicSettings
from kaiser_logic.store import alarms, latest
from kaiser_logic.store.rule_cache import RuleCache
from kaiser_logic.store.state_writer import StateWriter
from kaiser_logic.store.states import StateStore

log = structlog.get_logger()

_CAUGHT_UP_WITHIN_S = 10.0
_LOOK_EVERY_S = 1.0
_LIST_AGAIN_S = 2.0
_REPORTED_WITHIN_S = 5.0
_MOST_UNREAD = 256
"""Messages that wait to be evaluated at most; packs of the largest size are 128 MB."""
_REST_S = 0.1
"""While there is no rule, an event waits for others for at most this time."""

Begun = tuple[Rule, Running, bool]
"""A rule, an execution of it that was running, and whether the rule is the same still."""


class Evaluator:
    """One holder's evaluation, from taking the lease to letting go of it.

    Everything it knows is rebuilt at its start: rules from their bucket, states from theirs, readings from the events
    since the checkpoint and from the sensor service, and from the registry which devices are away.
    """

    def __init__(
        self,
        bus: Bus,
        rule_cache: RuleCache,
        publisher: EventPublisher,
        webhooks: Webhooks,
        settings: LogicSettings,
        away: Mapping[str, Away],
    ) -> None:
        self._bus = bus
        self._rule_cache = rule_cache
        self._settings = settings
        self._outputs = Outputs(Commands(bus, settings.logic_command_wait_s), webhooks, publisher)
        self._wake = asyncio.Event()
        self._asleep_until = 0
        self._caught_up = asyncio.Event()
        readings = Readings(int(settings.logic_late_s * 1000))
        self._latest_ms = int(settings.logic_latest_s * 1000)
        grace_ms = int(settings.logic_grace_s * 1000)
        self.engine = Engine(_limits(settings), readings, now_ms(), grace_ms, self._latest_ms, away)
        self.engine.catching_up = True
        self._executor: Executor | None = None
        self._news = asyncio.Event()
        self._listing = asyncio.Event()
        self._ends = asyncio.Event()

    async def run(self, store: StateStore) -> None:
        """Evaluate until cancelled. Fenced: another process evaluates too; begin again with a new Evaluator."""
        states, seq = await store.load()
        writer = StateWriter(self.engine, store)
        writer.seen_seq = seq or 0
        try:
            async with asyncio.TaskGroup() as tasks:
                self._executor = Executor(
                    tasks,
                    self.engine,
                    writer,
                    self._outputs,
                    now_ms,
                    ExecutorLimits(self._settings.logic_executions_at_once, int(self._settings.logic_resume_s * 1000)),
                    self._wake_in_time,
                )
                begun = self._take_over(states)
                reader = OrderedReader(
                    self._bus,
                    EVENTS.name,
                    FILTERS,
                    start_sequence=None if seq is None else seq + 1,
                    max_messages=_MOST_UNREAD,
                    rest=lambda: 0.0 if self.engine.rules else _REST_S,
                )
                tasks.create_task(self._read(reader, writer), name="events")
                tasks.create_task(self._watch_clock(), name="clock")
                tasks.create_task(writer.run(), name="writer")
                await self._start(tasks, writer, self._executor, begun)
        finally:
            self._rule_cache.listener = None
            await writer.finish()

    def test(self, request: TestRule) -> TestResult | None:
        """A dry run; None when the rule is not there. RpcError 503 before anything is evaluated."""
        self._need_states()
        rule = self.engine.rules.get(request.rule_id)
        return None if rule is None else dry_run(self.engine, rule, request.request, now_ms())

    async def test_settings(self, request: TestSettings) -> TestResult:
        """As `test`, of a rule that is not stored; what its sensors showed last is asked for."""
        self._need_states()
        now = now_ms()
        rule = unstored(request.settings, now)
        places = {place for place, _, _ in sensors(rule)}
        known = await latest.latest(self._bus, sorted({esp_id for esp_id, _ in places}))
        readings = recalled(known, places, now, int(self._settings.logic_late_s * 1000), self._latest_ms)
        return dry_run(self.engine, rule, request.request, now, readings)

    def _need_states(self) -> None:
        if self._executor is None:
            text = "no rule is evaluated yet: logic's /readyz says what it waits for"
            raise RpcError(503, Code.DEPENDENCY_MISSING, text)

    def _take_over(self, states: dict[str, RuleState]) -> list[Begun]:
        """Take rules and states; what was running when the process before this one ended."""
        now = now_ms()
        self.engine.take_states(states, self._rule_cache.rules)
        begun: list[Begun] = []
        for rule in self._rule_cache.rules.values():
            state = self.engine.states.get(rule.rule_id)
            if state is not None and state.running is not None:
                begun.append((rule, state.running, state.version == rule.version and rule.enabled))
            self.engine.put_rule(rule, now)
        self._rule_cache.listener = self._on_rule
        metrics.RULES.set(sum(rule.enabled for rule in self._rule_cache.rules.values()))
        return begun

    async def _start(
        self, tasks: asyncio.TaskGroup, writer: StateWriter, executor: Executor, begun: Sequence[Begun]
    ) -> None:
        """Once events are read (they report the results of commands), continue running executions, and evaluate every
        rule once with the stored readings and the events since."""
        readings = self.engine.view.readings
        readings.fresh.clear()
        known = await latest.latest(self._bus, readings.devices)
        if not await set_within(self._caught_up, _CAUGHT_UP_WITHIN_S):
            log.warning("events_not_read_yet", within_s=_CAUGHT_UP_WITHIN_S)
        for rule, running, unchanged in sorted(begun, key=lambda one: one[1].order):
            state = self.engine.states.get(rule.rule_id)
            if state is None or state.running is not running:
                continue  # the rule was changed or removed a moment ago, and that has ended it
            if unchanged:
                executor.resume(rule, running)
            else:
                executor.interrupt(rule, running, "the rule was changed while it ran")
        self.engine.recall(known, now_ms(), self._latest_ms)
        self._act(self.engine.start(now_ms()))
        log.info("rules_in_force", rules=len(self.engine.rules), latest=len(known))
        tasks.create_task(self._report_ends(writer), name="ends")
        tasks.create_task(self._follow(), name="follow")
        tasks.create_task(self._list_alarms(), name="alarms")

    async def _read(self, reader: OrderedReader, writer: StateWriter) -> None:
        """Hand each event to the engine, in order, until cancelled."""
        restarts, left = 0, -1
        async for batch in reader:
            if reader.restarts != restarts:
                restarts, left = reader.restarts, -1
                self.engine.listen_again(now_ms())
            self.on_events(batch)
            if batch:
                writer.seen_seq = batch[-1].stream_sequence
            if not self._caught_up.is_set():
                left = reader.pending_at_start - len(batch) if left < 0 else left - len(batch)
                if left <= 0 or batch[-1].pending == 0:  # of a stream that was purged fewer come than it had
                    self._all_read()
            await asyncio.sleep(0)  # let executions run between batches

    def _all_read(self) -> None:
        """The events from before this process took over are read: rules may fire by what comes now."""
        self.engine.catching_up = False
        self._caught_up.set()
        if self.engine.started:  # it took longer than `_start` waited
            self._act(self.engine.start(now_ms()))

    def on_events(self, batch: Sequence[Delivery]) -> None:
        """Evaluate the rules that these events concern."""
        readings = self.engine.view.readings
        for delivery in batch:
            if is_packed(delivery.subject):
                if readings:
                    for reading in readings_of(delivery, readings.of_device):
                        self._on_reading(reading)
                continue
            _, kind, esp_id = delivery.subject.split(".", 2)
            if kind == "alarm":
                self._on_alarm(delivery)
                continue
            if kind != "actuator_response" and not readings.of_device(esp_id):
                continue
            message = decode(delivery)
            if isinstance(message, ActuatorResponseEvent):
                self._outputs.commands.note(message)
            elif isinstance(message, RuleInput):
                self._on_reading(message)
        self._wake_in_time()

    def _on_reading(self, reading: RuleInput) -> None:
        verdict, effects = self.engine.on_reading(reading, now_ms())
        metrics.READINGS.labels(verdict).inc()
        self._act(effects)

    def _on_alarm(self, delivery: Delivery) -> None:
        alarm = alarm_of(delivery)
        if alarm is not None:
            self._act(self.engine.on_alarm(alarm, seq_of(delivery.stream_sequence), now_ms()))

    async def _list_alarms(self) -> None:
        """List the open alarms of kinds that a rule names for the first time, and of all kinds after a gap in the
        events. The service alarm away: a kind that was not listed yet is not known, and is asked for again."""
        known = self.engine.view.alarms
        while True:
            for kind in sorted(known.unlisted):
                known.begin_list(kind)
                try:
                    found = await alarms.open_alarms(self._bus, kind)
                except RpcError as error:
                    log.info("alarms_not_listed", kind=kind, reason=error.problem.detail)
                    break
                self._act(self.engine.on_alarms_listed(kind, found, now_ms()))
            self._listing.clear()
            await set_within(self._listing, _LIST_AGAIN_S)

    async def _watch_clock(self) -> None:
        """Evaluate rules whose time has come, a few at a time so that readings get their turn."""
        while True:
            wake_at = self.engine.next_wake if self.engine.started else None
            wait_s = _LOOK_EVERY_S if wake_at is None else min(_LOOK_EVERY_S, (wake_at - now_ms()) / 1000)
            if wait_s <= 0:
                self._act(self.engine.on_time(now_ms()))
                await asyncio.sleep(0)
                continue
            self._wake.clear()
            self._asleep_until = now_ms() + int(wait_s * 1000)
            await set_within(self._wake, wait_s)

    def _wake_in_time(self) -> None:
        """Wake the clock if something is due before its next wake-up."""
        wake_at = self.engine.next_wake
        if wake_at is not None and wake_at < self._asleep_until:
            self._wake.set()

    def _on_rule(self, rule_id: str, rule: Rule | None) -> None:
        """A rule was added, changed or removed: in force immediately, its running execution is ended."""
        known, state = self.engine.rules.get(rule_id), self.engine.states.get(rule_id)
        if known == rule:
            return
        running = state.running if state is not None else None
        if rule is None:
            self._act(self.engine.remove_rule(rule_id, now_ms()))
        else:
            self._act(self.engine.put_rule(rule, now_ms()))
        if known is not None and running is not None and self._executor is not None:
            reason = "the rule was removed" if rule is None else "the rule was changed"
            self._executor.interrupt(known, running, reason)
        metrics.RULES.set(sum(one.enabled for one in self.engine.rules.values()))
        self._news.set()
        self._listing.set()
        self._ends.set()

    async def _report_ends(self, writer: StateWriter) -> None:
        """Report the ends of rules that were changed, disabled or removed, before this process took over too. Only then
        is forgotten that they are owed: killed in between, the next start publishes them again."""
        while True:
            self._ends.clear()
            for rule_id in sorted(self.engine.ending):
                end = self.engine.end_of(rule_id)
                messages = [] if end is None else of_end(end, now_ms())
                if messages and not await self._outputs.events.publish_within(*messages, within_s=_REPORTED_WITHIN_S):
                    self._ends.set()  # under the same ids
                    break
                if self.engine.on_end_reported(rule_id, end):
                    await writer.forget(rule_id)
            await self._ends.wait()

    async def _follow(self) -> None:
        """After changes of rules, ask for what new sensors showed last."""
        readings = self.engine.view.readings
        while True:
            await self._news.wait()
            self._news.clear()
            fresh, readings.fresh = readings.fresh, set()
            known = await latest.latest(self._bus, sorted(fresh))
            self._act(self.engine.recall(known, now_ms(), self._latest_ms))

    def _act(self, effects: list[Effect]) -> None:
        if self._executor is not None:
            self._executor.take(effects)


def _limits(settings: LogicSettings) -> Limits:
    return Limits(
        loop_fires=settings.logic_loop_fires,
        loop_pause_ms=int(settings.logic_loop_pause_s * 1000),
        backoff_first_ms=int(settings.logic_backoff_s * 1000),
        backoff_most_ms=int(settings.logic_backoff_max_s * 1000),
    )
