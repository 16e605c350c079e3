"""The rule engine: readings and time in, firings out; it holds the state of every rule. No I/O; time is an argument
(ms)."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

from kaiser_common.contract.schemas.api.logic import Rule
from kaiser_common.contract.schemas.sensor import type_of

from kaiser_logic.domain.alarms import AlarmInput
from kaiser_logic.domain.conditions import evaluate
from kaiser_logic.domain.effects import Effect, Firing, Over, Suppressed
from kaiser_logic.domain.ends import RuleEnd, end_of, fired_by, reported
from kaiser_logic.domain.index import RuleIndex
from kaiser_logic.domain.readings import Away, Place, Readings, RuleInput, Verdict
from kaiser_logic.domain.rules import (
    Blocked,
    Limits,
    alarm_kinds,
    blocked,
    cleared_names,
    failed,
    fired,
    is_recorded,
    prompt_actions,
    raised_names,
    self_clearing,
    sensors,
)
from kaiser_logic.domain.state import RuleState, Running
from kaiser_logic.domain.turns import NewestFirings
from kaiser_logic.domain.view import ALWAYS_MS, View
from kaiser_logic.domain.wakes import Wakes

_TELL_EVERY_MS = 10_000
_CLEAR_AGAIN_MS = 1_000


class Engine:
    """Call `start` once rules, states and first readings are there; before that no rule fires. `changed` names the
    rules whose state must be written. After any call `next_wake` is the next time at which something may be due.

    catching_up: events are from before this process took over. They change what rules remember, and fire none: a later
    one may have been acted on already, or has made them out of date. Call `start` when they are read.
    """

    def __init__(
        self,
        limits: Limits,
        readings: Readings,
        listening_since: int,
        grace_ms: int,
        known_ms: int = ALWAYS_MS,
        away: Mapping[str, Away] = MappingProxyType({}),
    ) -> None:
        self.limits = limits
        self.view = View(readings, listening_since, grace_ms, known_ms, away=away)
        self.rules: dict[str, Rule] = {}
        self.states: dict[str, RuleState] = {}
        self.changed: set[str] = set()
        self.started = False
        self.catching_up = False
        self.turns = NewestFirings()
        self.ending: set[str] = set()
        """Rules that may owe a report of their end."""
        self._gone: dict[str, RuleState] = {}
        """The states of removed rules whose end is not reported yet."""
        self._clearing: set[str] = set()
        self._seq = 0
        """Up to which event everything is known."""
        self._order = 0
        self._index = RuleIndex()
        self._wakes = Wakes()

    # Rules come and go

    def take_states(self, states: Mapping[str, RuleState], rule_ids: Container[str]) -> None:
        """Take what a process before this one has stored. Rules that are not there any more may owe a report."""
        self.states = {rule_id: state for rule_id, state in states.items() if rule_id in rule_ids}
        self._gone = {rule_id: state for rule_id, state in states.items() if rule_id not in rule_ids}
        self.ending |= self._gone.keys()

    def put_rule(self, rule: Rule, now_ms: int) -> list[Effect]:
        """Take a rule, new or changed, in force immediately. A changed rule loses the memory of its conditions, but not
        the time when it last fired."""
        freed, places, kinds = self._forget(rule.rule_id)
        state = self.states.setdefault(rule.rule_id, RuleState(version=rule.version))
        self.ending.add(rule.rule_id)
        gone = self._gone.pop(rule.rule_id, None)
        if gone is not None:  # it was removed a moment ago: what it owes stays
            state.name, state.raises = gone.name, gone.raises
        if state.order and not state.name and rule.enabled and state.version == rule.version:
            fired_by(rule, state)  # fired by a version of Kaiser that did not note it
            self.changed.add(rule.rule_id)
        if state.version != rule.version:
            state.version, state.memory, state.armed, state.told = rule.version, {}, True, None
            state.holds = []
            state.raised = state.order > 0 and bool(self_clearing(rule))
            self.changed.add(rule.rule_id)
        self.rules[rule.rule_id] = rule
        if not self.started:
            self._order = max(self._order, state.order)
            self._remember_firing(rule, state)
        if rule.enabled:
            self._index.add(rule)
            self._index.hold(rule, state.holds, 0)
            for place, _, _ in sensors(rule):
                self.view.readings.watch(place)
            for kind in alarm_kinds(rule):
                self.view.alarms.watch(kind)
        else:
            state.holds = []
        self._unwatch(places, kinds)
        considered = freed | ({rule.rule_id} if rule.enabled else set())
        return self._consider(considered, {"kind": "rule"}, 0, now_ms) if self.started else []

    def _remember_firing(self, rule: Rule, state: RuleState) -> None:
        """Note what the last firing before this start acted on. One that was in progress acted as far as its results
        say, and the rest is still to come. One that failed may have been refused."""
        actions, running = prompt_actions(rule), state.running
        if running is None:
            self.turns.note(actions.values(), state.order, acted=not state.failures)
            return
        ended = {result.path: result for result in running.results}
        for path, target in actions.items():
            if path not in ended:
                self.turns.expect(target, running.order)
            else:
                acted = ended[path].state == "done" or ended[path].command_id is not None
                self.turns.note((target,), running.order, acted=acted)

    def remove_rule(self, rule_id: str, now_ms: int) -> list[Effect]:
        """Forget a rule."""
        self._clearing.discard(rule_id)
        freed, places, kinds = self._forget(rule_id)
        self.rules.pop(rule_id, None)
        state = self.states.pop(rule_id, None)
        self.changed.discard(rule_id)
        if state is not None:
            self._gone[rule_id] = state
            self.ending.add(rule_id)
        self._unwatch(places, kinds)
        return self._consider(freed, {"kind": "released"}, 0, now_ms) if self.started else []

    def start(self, now_ms: int) -> list[Effect]:
        """Evaluate every rule once with what is known; once more if it was called before all was read."""
        self.started = True
        return self._consider(self.rules, {"kind": "start"}, 0, now_ms)

    def listen_again(self, now_ms: int) -> None:
        """The bus was away: silence counts from now on, and alarms are to be listed again."""
        self.view = replace(self.view, listening_since=now_ms)
        self.view.alarms.list_again()

    # What happens

    def on_reading(self, reading: RuleInput, now_ms: int) -> tuple[Verdict, list[Effect]]:
        """Take a reading and evaluate the rules that name its sensor."""
        self._note_seq(reading.seq)
        verdict = self.view.readings.note(reading, now_ms)
        if verdict != "taken":
            return verdict, []
        named = self._index.concerned(reading.place, type_of(reading.sensor_type))
        trigger = {
            "kind": "reading",
            "esp_id": reading.esp_id,
            "gpio": reading.gpio,
            "sensor_type": reading.sensor_type,
            "value": reading.value,
            "ts": reading.ts,
        }
        if reading.address:
            trigger["address"] = reading.address
        return verdict, self._consider(named, trigger, reading.seq, now_ms)

    def on_alarm(self, alarm: AlarmInput, seq: int, now_ms: int) -> list[Effect]:
        """Take a step of an alarm and evaluate the rules that name its kind."""
        self._note_seq(seq)
        if not self.view.alarms.note(alarm):
            return []
        trigger = {
            "kind": "alarm",
            "alarm": alarm.kind,
            "source": alarm.source,
            "severity": alarm.severity,
            "state": alarm.state,
        }
        if alarm.esp_id is not None:
            trigger["esp_id"] = alarm.esp_id
        return self._consider(self._index.of_alarm(alarm.kind), trigger, seq, now_ms)

    def on_alarms_listed(self, kind: str, alarms: Iterable[AlarmInput], now_ms: int) -> list[Effect]:
        """Take the open alarms of a kind, and evaluate the rules that name it."""
        self.view.alarms.listed(kind, alarms)
        return self._consider(self._index.of_alarm(kind), {"kind": "start"}, 0, now_ms) if self.started else []

    def recall(self, readings: Iterable[RuleInput], now_ms: int, oldest_ms: int) -> list[Effect]:
        """Take readings that were stored earlier; a value older than oldest_ms is not known."""
        named: set[str] = set()
        for reading in readings:
            if self.view.readings.recall(reading, now_ms, oldest_ms) == "taken":
                named |= self._index.concerned(reading.place, None)
        return self._consider(named, {"kind": "start"}, 0, now_ms) if self.started else []

    def on_time(self, now_ms: int, at_most: int = 50) -> list[Effect]:
        """Evaluate the rules whose time has come, at most `at_most`; if more are due, `next_wake` stays in the past."""
        due = self._wakes.due(now_ms, at_most)
        return self._consider(due, {"kind": "timer"}, 0, now_ms) if due and self.started else []

    @property
    def next_wake(self) -> int | None:
        """When `on_time` should be called next (ms)."""
        return self._wakes.next

    def on_ended(self, rule_id: str, execution_id: str, outcome: str, now_ms: int) -> list[Effect]:
        """An execution ended: succeeded; failed (the rule backs off and tries again while its conditions are true); or
        interrupted (it may fire again). Executions that are no longer running are ignored."""
        state = self.states.get(rule_id)
        if state is None or state.running is None or state.running.execution_id != execution_id:
            return []
        state.running = None
        self.changed.add(rule_id)
        considered = {rule_id}
        if outcome == "succeeded":
            state.failures, state.backoff_until = 0, None
        else:
            considered |= self._index.release(rule_id, state.holds)
            if outcome == "failed":
                failed(state, self.limits, now_ms)
            state.armed, state.holds = True, []
        return self._consider(considered & self.rules.keys(), {"kind": "ended"}, 0, now_ms)

    def on_cleared(self, over: Over, done: bool, now_ms: int) -> None:
        """The alarms of a rule were cleared; if not, this is tried again soon."""
        rule_id = over.rule.rule_id
        self._clearing.discard(rule_id)
        state = self.states.get(rule_id)
        if state is None or state.order != over.order:
            return
        if done:
            state.raised = False
            self.changed.add(rule_id)
        else:
            self._wakes.set(rule_id, now_ms + _CLEAR_AGAIN_MS)

    def blocked(self, rule: Rule, state: RuleState, now_ms: int) -> Blocked | None:
        """The reason that prevents a rule from firing now."""
        return blocked(rule, state, self._index.holders_of(rule), self.limits, now_ms)

    # How it is done

    def _consider(self, rule_ids: Iterable[str], trigger: dict[str, Any], seq: int, now_ms: int) -> list[Effect]:
        """Evaluate rules, the highest priority and then the oldest first; then those whose actuator came free."""
        effects: list[Effect] = []
        pending = set(rule_ids)
        while pending:
            freed: set[str] = set()
            found = [self.rules[rule_id] for rule_id in pending if rule_id in self.rules]
            for rule in sorted(found, key=lambda rule: (-rule.priority, rule.created_at, rule.rule_id)):
                if rule.enabled:
                    freed |= self._evaluate(rule, trigger, seq, now_ms, effects)
            pending, trigger, seq = freed, {"kind": "released"}, 0
        return effects

    def _evaluate(self, rule: Rule, trigger: dict[str, Any], seq: int, now_ms: int, effects: list[Effect]) -> set[str]:
        """Evaluate one rule; the rules that wait for an actuator that it released."""
        state = self.states[rule.rule_id]
        if seq and seq <= state.seq:
            return set()  # an event that this state has seen already, read again after a restart
        state.seq = max(state.seq, self._seq)
        past = state.memory
        found = evaluate(rule.conditions, past, self.view, now_ms)
        if found.memory != past:
            state.memory = found.memory
            self.changed.add(rule.rule_id)
        wake_at, freed = found.wake_at, set()
        if found.result is False:
            freed = self._disarm(rule, state)
            if state.raised and self._may_fire(seq):
                effects += self._over(rule, state)
        elif found.result and self._may_fire(seq) and (state.armed or rule.mode == "level"):
            why = self.blocked(rule, state, now_ms)
            if why is None:
                effects.append(self._fire(rule, state, past, trigger, now_ms))
                freed = set()
            else:
                self._suppress(rule, state, why, past, trigger, now_ms, effects)
            until = why.until if why else self._next_firing(rule, now_ms)
            if until is not None:
                wake_at = until if wake_at is None else min(wake_at, until)
        self._wakes.set(rule.rule_id, wake_at)
        return freed

    def _over(self, rule: Rule, state: RuleState) -> list[Over]:
        """The alarms that a rule no longer raises; not those that another rule still does."""
        if state.running is not None or rule.rule_id in self._clearing or state.last_fired_at is None:
            return []
        self._clearing.add(rule.rule_id)
        names = tuple(sorted(name for name in self_clearing(rule) if not self.stands_by_another(rule.rule_id, name)))
        return [Over(rule, names, state.order, state.last_fired_at)]

    def end_of(self, rule_id: str) -> RuleEnd | None:
        """The report of a rule that may be changed, disabled or removed; None: nothing to report."""
        state = self._gone.get(rule_id) or self.states.get(rule_id)
        if state is None:
            return None
        return end_of(rule_id, self.rules.get(rule_id), state, partial(self.stands_by_another, rule_id))

    def on_end_reported(self, rule_id: str, end: RuleEnd | None) -> bool:
        """The end of a rule, if there was one, is published and not owed any more. Whether the rule is gone, so that
        its state may be deleted."""
        self.ending.discard(rule_id)
        if self._gone.pop(rule_id, None) is not None:
            return True
        state = self.states.get(rule_id)
        if state is not None and end is not None:
            reported(end, state)
            self.changed.add(rule_id)
            if self.end_of(rule_id) is not None:
                self.ending.add(rule_id)
        return False

    def stands_by_another(self, rule_id: str, name: str) -> bool:
        """Whether another rule has raised an alarm of this name: one with `clear_when_false` until its conditions are
        false, one without it until a rule has cleared it."""
        enabled = [(one, self.states[one.rule_id]) for one in self.rules.values() if one.enabled]
        cleared = max((state.order for one, state in enabled if name in cleared_names(one)), default=0)
        return any(
            state.raised if name in self_clearing(one) else name in raised_names(one) and state.order > cleared
            for one, state in enabled
            if one.rule_id != rule_id
        )

    def _note_seq(self, seq: int) -> None:
        """Events come in order: a lower number than before is of a stream that was created again."""
        if 0 < seq < self._seq:
            for state in self.states.values():
                state.seq = 0
            self._seq = seq
        self._seq = max(self._seq, seq)

    def _may_fire(self, seq: int) -> bool:
        return self.started and not (seq and self.catching_up)

    def _disarm(self, rule: Rule, state: RuleState) -> set[str]:
        """The conditions are false: the rule may fire again, and what it holds while they are true comes free."""
        if not state.armed or state.told is not None:
            state.armed, state.told = True, None
            self.changed.add(rule.rule_id)
        if state.running is not None:
            return set()  # it holds its actuators until it has ended
        kept = [hold for hold in state.holds if hold.until is not None]
        if len(kept) == len(state.holds):
            return set()
        freed = self._index.release(rule.rule_id, state.holds)
        state.holds = kept
        self._index.hold(rule, kept, 0)
        self.changed.add(rule.rule_id)
        return freed

    def _fire(self, rule: Rule, state: RuleState, past: dict[str, Any], trigger: dict[str, Any], now_ms: int) -> Firing:
        decisions = evaluate(rule.conditions, past, self.view, now_ms, explain=True).reports
        execution_id = f"{rule.rule_id}-{now_ms}"
        self._index.release(rule.rule_id, state.holds)
        fired(rule, state, self.limits, now_ms)
        fired_by(rule, state)
        self._order += 1
        state.order = self._order
        trigger = self._described(rule, trigger)
        state.running = Running(execution_id, now_ms, now_ms, trigger, decisions, order=self._order)
        self._index.hold(rule, state.holds, now_ms)
        self.changed.add(rule.rule_id)
        return Firing(rule, state.running)

    def _suppress(
        self,
        rule: Rule,
        state: RuleState,
        why: Blocked,
        past: dict[str, Any],
        trigger: dict[str, Any],
        now_ms: int,
        effects: list[Effect],
    ) -> None:
        """Note what keeps the rule from firing, once for each reason while it lasts, and not all the time where a
        value goes to and fro."""
        if why.reason == "loop" and (state.paused_until is None or state.paused_until <= now_ms):
            state.paused_until = why.until
            self.changed.add(rule.rule_id)
        key = f"{why.reason} {why.by or ''}"
        if not is_recorded(rule, why) or state.told == key:
            return
        state.told = key
        if state.told_last == key and now_ms < state.told_at + _TELL_EVERY_MS:
            return
        state.told_last, state.told_at = key, now_ms
        self.changed.add(rule.rule_id)
        decisions = evaluate(rule.conditions, past, self.view, now_ms, explain=True).reports
        execution_id = f"{rule.rule_id}-{now_ms}-s"
        effects.append(Suppressed(rule, execution_id, now_ms, why, self._described(rule, trigger), decisions))

    def _next_firing(self, rule: Rule, now_ms: int) -> int | None:
        return now_ms + int(rule.cooldown_s * 1000) if rule.mode == "level" else None

    def _described(self, rule: Rule, trigger: dict[str, Any]) -> dict[str, Any]:
        """A trigger that is no reading or alarm, with the value of the first sensor of the rule that has one."""
        if trigger["kind"] in ("reading", "alarm"):
            return trigger
        for place, sensor_type, address in sorted(sensors(rule), key=str):
            newest = self.view.readings.of(place, sensor_type, address)
            if newest is not None and newest.value is not None:
                sensor = {"esp_id": place[0], "gpio": place[1], "sensor_type": newest.sensor_type}
                if newest.address:
                    sensor["address"] = newest.address
                return {**trigger, **sensor, "value": newest.value, "ts": newest.ts}
        return trigger

    def _forget(self, rule_id: str) -> tuple[set[str], set[Place], set[str]]:
        """Take a rule out of the index; the rules that wait for an actuator of it, where its sensors are, and the kinds
        of its alarms."""
        self._wakes.set(rule_id, None)
        known, state = self.rules.get(rule_id), self.states.get(rule_id)
        freed = self._index.release(rule_id, state.holds) if state else set()
        if known is None:
            return freed, set(), set()
        self._index.remove(known)
        return freed, {place for place, _, _ in sensors(known)}, alarm_kinds(known)

    def _unwatch(self, places: Iterable[Place], kinds: Iterable[str]) -> None:
        for kind in kinds:
            if not self._index.of_alarm(kind):
                self.view.alarms.unwatch(kind)
        for place in places:
            if not self._index.names(place):
                self.view.readings.unwatch(place)
