"""Feeds the engine with events and time while this process holds the lease."""

import asyncio
import time
from collections.abc import Sequence

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.pull import Delivery
from kaiser_common.bus.reader import OrderedReader
from kaiser_common.contract.schemas.api.logic import Rule, TestResult, TestRule
from kaiser_common.contract.schemas.event import ActuatorResponseEvent
from kaiser_common.contract.subjects import EVENTS, is_packed

from kaiser_logic import metrics
from kaiser_logic.domain.decode import FILTERS, decode, readings_of
from kaiser_logic.domain.dry_run import dry_run
from kaiser_logic.domain.engine import Effect, Engine
from kaiser_logic.domain.readings import Readings, RuleInput
from kaiser_logic.domain.rules import Limits
from kaiser_logic.domain.state import RuleState, Running
from kaiser_logic.jobs.executor import Executor, ExecutorLimits
from kaiser_logic.publish.commands import Commands
from kaiser_logic.publish.events import Telling
from kaiser_logic.publish.webhooks import Webhooks
from kaiser_logic.settings import LogicSettings
from kaiser_logic.store import latest
from kaiser_logic.store.rule_cache import RuleBook
from kaiser_logic.store.state_writer import Saving
from kaiser_logic.store.states import StateStore

log = structlog.get_logger()

_CAUGHT_UP_WITHIN_S = 10.0
_LOOK_EVERY_S = 1.0
_MOST_UNREAD = 256
"""Messages that wait to be evaluated at most; packs of the largest size are 128 MB."""

Begun = tuple[Rule, Running, bool]
"""A rule, an execution of it that was running, and whether the rule is the same still."""


class Evaluator:
    """One holder's evaluation, from taking the lease to letting go of it.

    Everything it knows is rebuilt at its start: rules from their bucket, states from theirs,
    readings from the events since the checkpoint and from the sensor service.
    """

    def __init__(self, bus: Bus, book: RuleBook, telling: Telling, webhooks: Webhooks, settings: LogicSettings) -> None:
        self._bus = bus
        self._book = book
        self._telling = telling
        self._webhooks = webhooks
        self._settings = settings
        self._commands = Commands(bus, settings.logic_command_wait_s)
        self._wake = asyncio.Event()
        self._asleep_until = 0
        self._caught_up = asyncio.Event()
        readings = Readings(int(settings.logic_late_s * 1000))
        self._latest_ms = int(settings.logic_latest_s * 1000)
        grace_ms = int(settings.logic_grace_s * 1000)
        self.engine = Engine(_limits(settings), readings, now_ms(), grace_ms, self._latest_ms)
        self._executor: Executor | None = None
        self._news = asyncio.Event()
        self._removed: list[str] = []

    async def run(self, store: StateStore) -> None:
        """Evaluate until cancelled. Fenced: another process evaluates too; begin again with a new Evaluator."""
        states, seq = await store.load()
        saving = Saving(self.engine, store)
        saving.seen_seq = seq or 0
        try:
            async with asyncio.TaskGroup() as tasks:
                self._executor = Executor(
                    tasks,
                    self.engine,
                    saving,
                    self._commands,
                    self._webhooks,
                    self._telling,
                    now_ms,
                    ExecutorLimits(self._settings.logic_executions_at_once, int(self._settings.logic_resume_s * 1000)),
                    self._wake_in_time,
                )
                begun = await self._take_over(states, saving)
                reader = OrderedReader(
                    self._bus,
                    EVENTS.name,
                    FILTERS,
                    start_sequence=None if seq is None else seq + 1,
                    max_messages=_MOST_UNREAD,
                )
                tasks.create_task(self._read(reader, saving), name="events")
                tasks.create_task(self._watch_clock(), name="clock")
                tasks.create_task(saving.run(), name="saving")
                await self._start(tasks, saving, self._executor, begun)
        finally:
            self._book.listener = None
            await saving.finish()

    def test(self, request: TestRule) -> TestResult | None:
        """A dry run; None when the rule is not there."""
        rule = self.engine.rules.get(request.rule_id)
        return None if rule is None else dry_run(self.engine, rule, request.request, now_ms())

    async def _take_over(self, states: dict[str, RuleState], saving: Saving) -> list[Begun]:
        """Take rules and states; what was running when the process before this one ended."""
        now = now_ms()
        self.engine.states = {rule_id: state for rule_id, state in states.items() if rule_id in self._book.rules}
        begun: list[Begun] = []
        for rule in self._book.rules.values():
            state = self.engine.states.get(rule.rule_id)
            if state is not None and state.running is not None:
                begun.append((rule, state.running, state.version == rule.version and rule.enabled))
            self.engine.put_rule(rule, now)
        self._book.listener = self._on_rule
        for rule_id in sorted(states.keys() - self._book.rules.keys()):
            await saving.forget(rule_id)
        metrics.RULES.set(sum(rule.enabled for rule in self._book.rules.values()))
        return begun

    async def _start(
        self, tasks: asyncio.TaskGroup, saving: Saving, executor: Executor, begun: Sequence[Begun]
    ) -> None:
        """Once events are read (they report the results of commands), continue running executions, and evaluate every
        rule once with the stored readings and the events since."""
        readings = self.engine.view.readings
        readings.fresh.clear()
        known = await latest.latest(self._bus, readings.devices)
        try:
            async with asyncio.timeout(_CAUGHT_UP_WITHIN_S):
                await self._caught_up.wait()
        except TimeoutError:
            log.warning("events_not_read_yet", within_s=_CAUGHT_UP_WITHIN_S)
        for rule, running, unchanged in begun:
            state = self.engine.states.get(rule.rule_id)
            if state is None or state.running is not running:
                continue  # the rule was changed or removed a moment ago, and that has ended it
            if unchanged:
                executor.resume(rule, running)
            else:
                executor.interrupt(rule, running, "the rule was changed meanwhile")
        self.engine.recall(known, now_ms(), self._latest_ms)
        self._act(self.engine.start(now_ms()))
        log.info("rules_in_force", rules=len(self.engine.rules), latest=len(known))
        tasks.create_task(self._follow(saving), name="follow")

    async def _read(self, reader: OrderedReader, saving: Saving) -> None:
        """Hand each event to the engine, in order, until cancelled."""
        restarts, left = 0, -1
        async for batch in reader:
            if reader.restarts != restarts:
                restarts = reader.restarts
                self.engine.listen_again(now_ms())
            self.on_events(batch)
            if batch:
                saving.seen_seq = batch[-1].stream_sequence
            if not self._caught_up.is_set():
                left = reader.pending_at_start - len(batch) if left < 0 else left - len(batch)
                if left <= 0:
                    self._caught_up.set()
            await asyncio.sleep(0)  # let executions run between batches

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
            if kind != "actuator_response" and not readings.of_device(esp_id):
                continue
            message = decode(delivery)
            if isinstance(message, ActuatorResponseEvent):
                self._commands.note(message)
            elif isinstance(message, RuleInput):
                self._on_reading(message)
        self._wake_in_time()

    def _on_reading(self, reading: RuleInput) -> None:
        verdict, effects = self.engine.on_reading(reading, now_ms())
        metrics.READINGS.labels(verdict).inc()
        self._act(effects)

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
            try:
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            except TimeoutError:
                continue

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
            self._removed.append(rule_id)
        else:
            self._act(self.engine.put_rule(rule, now_ms()))
        if known is not None and running is not None and self._executor is not None:
            reason = "the rule was removed" if rule is None else "the rule was changed"
            self._executor.interrupt(known, running, reason)
        metrics.RULES.set(sum(one.enabled for one in self.engine.rules.values()))
        self._news.set()

    async def _follow(self, saving: Saving) -> None:
        """After changes of rules: ask for what new sensors showed last, delete the states of removed rules."""
        readings = self.engine.view.readings
        while True:
            await self._news.wait()
            self._news.clear()
            while self._removed:
                await saving.forget(self._removed.pop())
            fresh, readings.fresh = readings.fresh, set()
            known = await latest.latest(self._bus, sorted(fresh))
            self._act(self.engine.recall(known, now_ms(), self._latest_ms))

    def _act(self, effects: list[Effect]) -> None:
        if self._executor is not None:
            self._executor.take(effects)


def now_ms() -> int:
    """The clock of the service, in ms since 1970."""
    return time.time_ns() // 1_000_000


def _limits(settings: LogicSettings) -> Limits:
    return Limits(
        loop_fires=settings.logic_loop_fires,
        loop_pause_ms=int(settings.logic_loop_pause_s * 1000),
        backoff_first_ms=int(settings.logic_backoff_s * 1000),
        backoff_most_ms=int(settings.logic_backoff_max_s * 1000),
    )
