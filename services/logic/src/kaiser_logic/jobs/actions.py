"""The actions of one execution, one after the other."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from kaiser_common.bus.rpc import RpcError
from kaiser_common.contract.schemas.api.actuators import OPEN_STATES, OVERRULED, CommandStatus
from kaiser_common.contract.schemas.api.logic import ActionResult, Rule
from kaiser_common.contract.schemas.api.rules import Action, ActuatorAction, AlarmAction, Delay, Notification, Step
from kaiser_common.contract.schemas.api.rules import Sequence as StepSequence

from kaiser_logic import metrics
from kaiser_logic.domain.events import notification, rule_alarm, webhook_body
from kaiser_logic.domain.rules import is_vital, target_of
from kaiser_logic.domain.state import Running
from kaiser_logic.domain.turns import NewestFirings
from kaiser_logic.publish.commands import SUCCESS
from kaiser_logic.publish.outputs import Outputs

_PUBLISHED_WITHIN_S = 5.0
_NEWER_WITHIN_MS = 30_000
"""A command that is tried again is accepted or refused within this time."""
_LOOK_AGAIN_S = 0.2

Clock = Callable[[], int]
"""Now in ms since 1970."""


class ActionRunner:
    """Performs a rule's actions and notes each result in `running`, under the action's path.

    A command at the top is sent and its end waited for after the last action; within a sequence its end is waited for
    before the next step. What `running` has a result for already (after a restart) is not done again; a command whose
    result was not noted is sent again under the same key, so it moves nothing twice. An actuator or alarm that a rule
    which fired later has acted on is left alone, except after a delay: that was meant for a later time. An OFF, and the
    raising of an alarm, are left out only if the newer one was accepted: while that is open they wait, at most 30 s.
    """

    def __init__(
        self,
        rule: Rule,
        running: Running,
        outputs: Outputs,
        clock: Clock,
        progress: Callable[[], Coroutine[Any, Any, None]],
        turns: NewestFirings,
    ) -> None:
        self._rule = rule
        self._running = running
        self._outputs = outputs
        self._clock = clock
        self._progress = progress
        """Writes `running` to where a restart finds it."""
        self._turns = turns
        """Which firings have acted on a target; asked right before acting on it."""
        self._is_delayed = False
        self._results = {result.path: result for result in running.results}
        self._later: dict[str, Coroutine[Any, Any, ActionResult]] = {}
        """The results awaited at the end: ends of commands, webhooks."""

    async def run(self) -> None:
        """Do all of it. Cancelled: what has a result has happened."""
        try:
            for index, action in enumerate(self._rule.actions):
                await self._one(str(index), action)
            while self._later:
                later, self._later = self._later, {}
                for result in await asyncio.gather(*later.values()):
                    self._note(result)
        finally:
            for waiting in self._later.values():
                waiting.close()

    async def _one(self, path: str, action: Action) -> None:
        if isinstance(action, StepSequence):
            await self._sequence(path, action)
        else:
            await self._step(path, action)

    async def _sequence(self, path: str, sequence: StepSequence) -> None:
        failed_at: str | None = None
        for index, step in enumerate(sequence.actions):
            place = f"{path}.{index}"
            if failed_at is not None and sequence.abort_on_failure:
                self._note(_result(place, step, "skipped", f"{failed_at} failed"))
                continue
            await self._step(place, step)
            if isinstance(step, ActuatorAction) and place in self._later:
                self._note(await self._later.pop(place))
            if place in self._results and self._results[place].state == "failed":
                failed_at = place

    async def _step(self, path: str, step: Step) -> None:
        self._is_delayed = self._is_delayed or isinstance(step, Delay)
        done = self._results.get(path)
        if done is not None and not _is_open(done):
            return
        self._running.touched_at = self._clock()
        match step:
            case ActuatorAction():
                await self._command(path, step)
            case Notification():
                self._notify(path, step)
            case AlarmAction():
                await self._alarm(path, step)
            case Delay():
                await self._delay(path, step)

    async def _command(self, path: str, action: ActuatorAction) -> None:
        status = None
        try:
            status = await self._sent(path, action)
        except RpcError as error:
            self._note(_result(path, action, "failed", error.problem.detail))
            return
        finally:
            self._settle(action, acted=status is not None)
        if status is None:
            self._leave_out(path, action)
            return
        metrics.COMMAND_SECONDS.observe((self._clock() - self._running.started_at) / 1000)
        self._note(_of_command(path, action, status))
        if status.state in OPEN_STATES:
            self._later[path] = self._end(path, action, status)

    async def _sent(self, path: str, action: ActuatorAction) -> CommandStatus | None:
        """Send a command. None: it is out of date. RpcError as `Commands.send`."""
        is_current = partial(self._is_current, action, self._clock() + _NEWER_WITHIN_MS)
        execution_id = self._running.execution_id
        while True:
            status = await self._outputs.commands.send(self._rule, execution_id, path, action, is_current)
            if status is not None or not self._may_come_free(action):
                return status
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def _end(self, path: str, action: ActuatorAction, status: CommandStatus) -> ActionResult:
        return _of_command(path, action, await self._outputs.commands.end_of(status), ended=True)

    def _notify(self, path: str, action: Notification) -> None:
        now_ms = self._clock()
        self._outputs.events.publish(
            notification(self._rule, self._running, path, action.message, action.severity, now_ms)
        )
        if action.webhook_url is None:
            self._note(_result(path, action, "done", None))
        else:
            self._later[path] = self._post(path, action, now_ms)

    async def _alarm(self, path: str, action: AlarmAction) -> None:
        """NATS away: the result is a failure, and the event is published once it is back."""
        patient_until = self._clock() + _NEWER_WITHIN_MS
        while not self._is_current(action, patient_until):
            if not self._may_come_free(action):
                self._leave_out(path, action)
                return
            await asyncio.sleep(_LOOK_AGAIN_S)
        self._settle(action, acted=True)
        event = rule_alarm(self._rule, self._running, path, action, self._clock())
        if await self._outputs.events.publish_within(event, within_s=_PUBLISHED_WITHIN_S):
            self._note(_result(path, action, "done", None))
        else:
            self._note(_result(path, action, "failed", "the bus has not taken it yet"))

    async def _post(self, path: str, action: Notification, now_ms: int) -> ActionResult:
        assert action.webhook_url is not None
        body = webhook_body(self._rule, self._running, action.message, action.severity, now_ms)
        key = f"{self._running.execution_id}:{path}"
        reason = await self._outputs.webhooks.post(action.webhook_url, body, key)
        return _result(path, action, "done" if reason is None else "failed", reason)

    async def _delay(self, path: str, action: Delay) -> None:
        if self._running.wait_until is None:
            self._running.wait_until = self._clock() + int(action.seconds * 1000)
            await self._progress()
        await asyncio.sleep(max(0, self._running.wait_until - self._clock()) / 1000)
        self._running.wait_until = None
        self._note(_result(path, action, "done", None))
        await self._progress()

    def _is_current(self, action: ActuatorAction | AlarmAction, patient_until: int) -> bool:
        """Whether no firing that is newer has acted on an action's target, or, until a time (ms), tries to."""
        target, order, vital = target_of(action), self._running.order, is_vital(action)
        if self._is_delayed or self._turns.take(target, order, is_vital=vital):
            return True
        return vital and self._clock() >= patient_until and not self._turns.is_overtaken(target, order)

    def _may_come_free(self, action: ActuatorAction | AlarmAction) -> bool:
        """Whether an action that is not current is done after all if the newer firing is refused."""
        return is_vital(action) and not self._turns.is_overtaken(target_of(action), self._running.order)

    def _settle(self, action: ActuatorAction | AlarmAction, *, acted: bool) -> None:
        if not self._is_delayed:
            self._turns.settle(target_of(action), self._running.order, acted=acted)

    def _leave_out(self, path: str, action: ActuatorAction | AlarmAction) -> None:
        """A command that was accepted before a restart keeps its result."""
        if path not in self._results:
            self._note(_result(path, action, "skipped", "a rule that fired later has acted on it"))

    def _note(self, result: ActionResult) -> None:
        self._results[result.path] = result
        self._running.results = [self._results[path] for path in sorted(self._results, key=_place)]


def commands_failed(results: Sequence[ActionResult]) -> bool:
    """Whether a command did not reach its end well: then the rule backs off, and tries again. An OFF that came while
    the command waited for its device has the last word instead."""
    return any(
        result.type == "actuator_command" and result.state == "failed" and not _is_overruled(result)
        for result in results
    )


def _is_overruled(result: ActionResult) -> bool:
    return result.command_state == "cancelled" and (result.detail or "").endswith(OVERRULED)


def _is_open(result: ActionResult) -> bool:
    """Whether a command was accepted and its end is not known."""
    return result.command_state in OPEN_STATES and result.state == "done"


def _of_command(path: str, action: ActuatorAction, status: CommandStatus, *, ended: bool = False) -> ActionResult:
    state, detail = "done", status.message
    if status.state in OPEN_STATES:
        if ended:
            state, detail = "failed", f"the command is still {status.state}: no answer came in time"
    elif status.state not in SUCCESS:
        state, detail = (
            "failed",
            f"the command {status.state}: {status.message or status.state_reason or 'no reason given'}",
        )
    return _result(path, action, state, detail).model_copy(
        update={"command_id": status.command_id, "command_state": status.state}
    )


def _result(path: str, step: Step, state: Any, detail: str | None) -> ActionResult:
    result = ActionResult(path=path, type=step.type, state=state, detail=detail)
    if isinstance(step, ActuatorAction):
        return result.model_copy(update={"esp_id": step.esp_id, "gpio": step.gpio, "command": step.command})
    return result


def _place(path: str) -> list[int]:
    return [int(part) for part in path.split(".")]
