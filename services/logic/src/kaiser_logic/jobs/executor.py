"""Runs executions: claim, actions, record; each in a task of its own, so that none holds up the evaluation."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from kaiser_common.contract.schemas.api.logic import Outcome, Rule

from kaiser_logic import metrics
from kaiser_logic.domain import events
from kaiser_logic.domain.effects import Effect, Over, Suppressed
from kaiser_logic.domain.engine import Engine
from kaiser_logic.domain.rules import prompt_actions
from kaiser_logic.domain.state import Running
from kaiser_logic.jobs.actions import ActionRunner, Clock, commands_failed
from kaiser_logic.publish.outputs import Outputs
from kaiser_logic.store.state_writer import StateWriter

log = structlog.get_logger()

_PUBLISHED_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class ExecutorLimits:
    """most: concurrent executions; resume_ms: an execution that was interrupted for longer is not continued."""

    most: int
    resume_ms: int


class Executor:
    """Killed in the middle of an execution: the next start goes on with it, from what the rule's state says."""

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        engine: Engine,
        writer: StateWriter,
        outputs: Outputs,
        clock: Clock,
        limits: ExecutorLimits,
        on_change: Callable[[], None],
    ) -> None:
        self._tasks = tasks
        self._engine = engine
        self._writer = writer
        self._outputs = outputs
        self._clock = clock
        self._limits = limits
        self._on_change = on_change
        """Called after anything that may have changed when the engine wants to be called."""
        self._running: dict[str, asyncio.Task[None]] = {}

    def take(self, effects: list[Effect]) -> None:
        """Do what the engine decided."""
        for effect in effects:
            if isinstance(effect, Suppressed):
                self._record_suppression(effect)
            elif isinstance(effect, Over):
                self._tasks.create_task(self._clear(effect), name=f"clear-{effect.rule.rule_id}")
            elif len(self._running) < self._limits.most:
                self._start(effect.rule, effect.running, resumed=False)
            else:
                reason = f"{len(self._running)} executions run already"
                self._end(effect.rule, effect.running, "failed", reason, backs_off=True)
        self._on_change()

    def resume(self, rule: Rule, running: Running) -> None:
        """Go on with what a process before this one had begun, if that is not too long ago."""
        still_ms = self._clock() - max(running.touched_at, running.wait_until or 0)
        if still_ms > self._limits.resume_ms:
            self._end(rule, running, "interrupted", f"the service was away for {still_ms / 1000:g} s", backs_off=False)
        else:
            log.info("execution_resumed", rule_id=rule.rule_id, execution_id=running.execution_id)
            self._start(rule, running, resumed=True)

    def interrupt(self, rule: Rule, running: Running, reason: str) -> None:
        """End an execution before its time."""
        task = self._running.pop(rule.rule_id, None)
        if task is not None:
            task.cancel()
        self._end(rule, running, "interrupted", reason, backs_off=False)

    def _start(self, rule: Rule, running: Running, *, resumed: bool) -> None:
        task = self._tasks.create_task(self._run(rule, running, resumed), name=f"execution-{running.execution_id}")
        self._running[rule.rule_id] = task
        metrics.RUNNING.set(len(self._running))

    async def _run(self, rule: Rule, running: Running, resumed: bool) -> None:
        if not resumed:
            await self._writer.claim(rule.rule_id)
            late_ms = self._clock() - running.started_at
            if late_ms > self._limits.resume_ms:
                await self._finish(rule, running, "interrupted", f"it could not be claimed for {late_ms / 1000:g} s")
                return
            if any(action.type in ("delay", "sequence") for action in rule.actions):
                self._outputs.events.publish(
                    events.record(events.execution(rule.name, rule.rule_id, running, "running", None, None))
                )
        runner = ActionRunner(
            rule,
            running,
            self._outputs,
            self._clock,
            lambda: self._progress(rule.rule_id),
            self._engine.turns,
        )
        await runner.run()
        reason = events.first_failure(running.results)
        await self._finish(rule, running, "failed" if reason else "succeeded", reason)
        await self._writer.try_to_save(rule.rule_id)

    async def _progress(self, rule_id: str) -> None:
        """Write how far an execution is; NATS away: it goes on when it is back."""
        self._engine.changed.add(rule_id)
        await self._writer.claim(rule_id)

    async def _finish(self, rule: Rule, running: Running, outcome: Outcome, reason: str | None) -> None:
        """Record the end, and only then forget that it runs: killed in between, the next start records it again."""
        done = events.execution(rule.name, rule.rule_id, running, outcome, reason, self._clock())
        await self._outputs.events.publish_within(events.record(done), events.event(done), within_s=_PUBLISHED_WITHIN_S)
        self._ended(rule, running, outcome, commands_failed(running.results))

    def _end(self, rule: Rule, running: Running, outcome: Outcome, reason: str, *, backs_off: bool) -> None:
        """As _finish, where nothing can be waited for."""
        done = events.execution(rule.name, rule.rule_id, running, outcome, reason, self._clock())
        self._outputs.events.publish(events.record(done), events.event(done))
        self._ended(rule, running, outcome, backs_off)

    def _ended(self, rule: Rule, running: Running, outcome: Outcome, backs_off: bool) -> None:
        self._running.pop(rule.rule_id, None)
        self._engine.turns.end(prompt_actions(rule).values(), running.order)
        metrics.RUNNING.set(len(self._running))
        metrics.EXECUTIONS.labels(outcome).inc()
        log.info("rule_executed", rule_id=rule.rule_id, execution_id=running.execution_id, outcome=outcome)
        ended = "failed" if backs_off else "interrupted" if outcome == "interrupted" else "succeeded"
        effects = self._engine.on_ended(rule.rule_id, running.execution_id, ended, self._clock())
        self.take(effects)

    async def _clear(self, over: Over) -> None:
        """Publish that the alarms of a rule are over, and only then forget that it raised them: killed in between, the
        next start publishes it again, under the same id."""
        names = [name for name in over.names if self._engine.turns.take(name, over.order)]
        for name in names:
            self._engine.turns.settle(name, over.order, acted=True)
        messages = [events.rule_alarm_over(over.rule, name, over.fired_at, self._clock()) for name in names]
        done = not messages or await self._outputs.events.publish_within(*messages, within_s=_PUBLISHED_WITHIN_S)
        self._engine.on_cleared(over, done, self._clock())
        self._on_change()

    def _record_suppression(self, suppressed: Suppressed) -> None:
        metrics.EXECUTIONS.labels("suppressed").inc()
        metrics.SUPPRESSED.labels(suppressed.why.reason).inc()
        done = events.suppression(suppressed)
        self._outputs.events.publish(events.record(done), events.event(done))
        if suppressed.why.reason == "loop":
            log.warning("rule_loop_suspected", rule_id=suppressed.rule.rule_id, until=suppressed.why.until)
            self._outputs.events.publish(events.loop_suspected(suppressed))
