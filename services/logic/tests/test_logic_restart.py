"""A restart acts by the newest values: by none that is older than one that was acted on, wherever it is killed."""

import json
import signal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.schemas.api.actuators import SendCommand
from kaiser_common.contract.subjects import LOGIC_STATE_BUCKET
from kaiser_logic.consumers.evaluator import Evaluator
from kaiser_logic.domain.effects import Firing
from kaiser_logic.domain.engine import Engine
from kaiser_logic.domain.readings import Readings, RuleInput
from kaiser_logic.domain.rules import Limits
from kaiser_logic.domain.state import from_json, to_json
from kaiser_logic.domain.turns import NewestFirings
from kaiser_logic.settings import LogicSettings
from kaiser_logic.store.state_writer import StateWriter
from logic_world import DRY, PUMP, until

HIGH = {**DRY, "operator": ">", "value": 40}
ON, OFF = {**PUMP, "duration_s": 0}, {**PUMP, "command": "OFF", "duration_s": 0}
RAISE = {"type": "alarm", "do": "raise", "name": "wet", "message": "m"}
CLEAR = {"type": "alarm", "do": "clear", "name": "wet"}
ENDS = "acknowledged"
PLACE = ("ESP_B", 25)


class Killed:
    """An engine that is killed and started again. A firing is written before it acts, what rules remember now and then,
    and the checkpoint after that; after a restart the events since the checkpoint are read again."""

    def __init__(self, rules) -> None:
        self.rules = {rule.rule_id: rule for rule in rules}
        self.now = 1_000
        self.events: list[RuleInput] = []
        self.stored: dict[str, bytes] = {}
        self.checkpoint = 0
        self.alive = True
        self.acted: list[tuple[str, float]] = []
        """The rules that fired, each with the newest value that there was."""
        self.engine = self._begin()
        self._take(self.engine.start(self.now))

    def _begin(self) -> Engine:
        engine = Engine(Limits(loop_fires=1000), Readings(60_000), self.now, 0)
        engine.states = {rule_id: from_json(body) for rule_id, body in self.stored.items()}
        for rule in self.rules.values():
            assert engine.put_rule(rule, self.now) == []
        return engine

    def read(self, value: float) -> None:
        """A reading; while the process is down it waits in the stream."""
        self.now += 10
        seq = len(self.events) + 1
        self.events.append(RuleInput("ESP_A", 34, "soil_moisture", self.now, value, "good", seq))
        if self.alive:
            self._take(self.engine.on_reading(self.events[-1], self.now)[1])

    def save(self, rule_id: str) -> None:
        """Write the memory of one rule."""
        if self.alive:
            self.stored[rule_id] = to_json(self.engine.states[rule_id])

    def save_all(self) -> None:
        """Everything is written, then how far it goes."""
        if self.alive:
            for rule_id in self.engine.changed:
                self.save(rule_id)
            self.engine.changed.clear()
            self.checkpoint = len(self.events)

    def kill(self) -> None:
        """Lose everything that is not written."""
        self.alive = False

    def restart(self) -> None:
        """Started again, it reads what came since the checkpoint, ends what was in progress, and then acts."""
        self.alive = True
        self.now += 10
        self.engine = self._begin()
        self.engine.catching_up = True
        for event in self.events[self.checkpoint :]:
            assert self.engine.on_reading(event, self.now)[1] == []
        self.engine.catching_up = False
        for rule_id, state in self.engine.states.items():
            if state.running is not None:
                assert self.engine.on_ended(rule_id, state.running.execution_id, "succeeded", self.now) == []
        if self.events:
            self.engine.view.readings.recall(self.events[-1], self.now, 900_000)
        self._take(self.engine.start(self.now))

    def _take(self, effects) -> None:
        for effect in effects:
            assert isinstance(effect, Firing)
            rule_id = effect.rule.rule_id
            self.save(rule_id)
            self.acted.append((rule_id, self.events[-1].value or 0.0))
            self._take(self.engine.on_ended(rule_id, effect.running.execution_id, "succeeded", self.now))


@pytest.mark.parametrize("is_saved", [False, True])
def test_the_rule_of_an_older_value_does_not_fire_when_that_is_read_again(make_rule, is_saved):
    """The rules came after the low value, so the one that clears had not been evaluated with it."""
    k = Killed([])
    k.read(20)
    for rule in (make_rule("raise", conditions=[HIGH], actions=[RAISE]), make_rule("clear", actions=[CLEAR])):
        k.rules[rule.rule_id] = rule
        assert k.engine.put_rule(rule, k.now) == []
    k.read(50)
    if is_saved:
        k.save("clear")
    k.kill()
    k.restart()
    assert [rule_id for rule_id, _ in k.acted] == ["raise"]


def test_a_rule_that_fired_by_a_value_from_before_it_was_there_does_not_fire_by_it_again(make_rule):
    k = Killed([make_rule("other", conditions=[{**HIGH, "value": 1000}], actions=[RAISE])])
    k.read(20)
    k.read(50)
    k.rules["on"] = make_rule("on", conditions=[HIGH], actions=[ON])
    k._take(k.engine.put_rule(k.rules["on"], k.now))
    k.kill()
    k.restart()
    assert k.acted == [("on", 50.0)]


STEPS = st.lists(
    st.one_of(
        st.sampled_from([20.0, 35.0, 50.0]).map(lambda value: ("read", value)),
        st.sampled_from(["on", "off"]).map(lambda rule_id: ("save", rule_id)),
        st.sampled_from(["save_all", "kill", "restart"]).map(lambda what: (what,)),
    ),
    max_size=40,
)


@settings(
    max_examples=400,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # a factory without a state
)
@given(STEPS)
def test_wherever_it_is_killed_a_pump_is_switched_by_the_newest_value_and_once_an_edge(make_rule, steps):
    k = Killed([make_rule("on", conditions=[HIGH], actions=[ON]), make_rule("off", conditions=[DRY], actions=[OFF])])
    edges = {"on": 0, "off": 0}
    newest = ""
    for what, *arguments in steps:
        if what == "kill" and not k.alive:
            continue
        if what == "restart" and k.alive:
            continue
        if what == "read":
            came = "on" if arguments[0] > 40 else "off" if arguments[0] < 30 else ""
            edges[came] = edges.get(came, 0) + (came != newest)
            newest = came
        getattr(k, what)(*arguments)
    if not k.alive:
        k.restart()
    for rule_id, value in k.acted:
        assert (value > 40) if rule_id == "on" else (value < 30)
    for rule_id in ("on", "off"):
        assert sum(fired == rule_id for fired, _ in k.acted) <= edges[rule_id]
    if newest:
        assert k.acted[-1][0] == newest


def test_events_of_a_stream_that_was_created_again_count(make_engine, make_rule):
    engine = make_engine(make_rule(actions=[ON]))
    for seq, value in ((500, 40.0), (1, 20.0)):
        _, effects = engine.on_reading(RuleInput("ESP_A", 34, "soil_moisture", 2_000 - seq, value, "good", seq), 2_000)
    assert [effect.rule.name for effect in effects] == ["water"]


def test_a_firing_acts_on_a_target_only_while_none_that_is_newer_has():
    turns = NewestFirings()
    assert turns.take(("ESP_B", 25), 5)
    assert turns.take(("ESP_B", 25), 5)
    assert turns.take("wet", 3)
    assert not turns.take(("ESP_B", 25), 4)
    turns.note(["wet"], 9)
    assert not turns.take("wet", 8)
    assert turns.take("wet", 10)


def test_what_must_not_be_lost_waits_for_a_newer_firing_and_is_left_out_only_if_that_has_acted():
    turns = NewestFirings()
    assert turns.take(PLACE, 5)
    assert not turns.take(PLACE, 4, is_vital=True)
    assert not turns.is_overtaken(PLACE, 4)
    turns.settle(PLACE, 5, acted=False)
    assert turns.take(PLACE, 4, is_vital=True)
    assert not turns.take(PLACE, 4), "an ON does not go out behind a newer one that was tried"
    turns.expect(PLACE, 6)
    assert not turns.take(PLACE, 4, is_vital=True)
    turns.settle(PLACE, 6, acted=True)
    assert turns.is_overtaken(PLACE, 4)
    assert not turns.take(PLACE, 4, is_vital=True)


def test_a_firing_that_was_in_progress_at_a_kill_may_have_acted_until_it_has_ended(make_rule):
    k = Killed([make_rule("on", conditions=[HIGH], actions=[ON])])
    k.read(50)
    k.kill()
    k.engine = k._begin()
    turns, running = k.engine.turns, k.engine.states["on"].running
    assert not turns.take(PLACE, 0, is_vital=True)
    assert not turns.is_overtaken(PLACE, 0)
    turns.end([PLACE], running.order)
    assert turns.take(PLACE, 0, is_vital=True)


def test_a_firing_that_failed_before_a_restart_does_not_count_as_one_that_has_switched(make_rule):
    k = Killed([make_rule("on", conditions=[HIGH], actions=[ON])])
    k.read(50)
    k.engine.states["on"].failures = 1
    k.save("on")
    engine = k._begin()
    assert engine.turns.take(PLACE, 0, is_vital=True)
    assert not engine.turns.take(PLACE, 0)


def test_the_number_of_a_firing_survives_a_restart(make_rule):
    k = Killed([make_rule("on", conditions=[HIGH], actions=[ON]), make_rule("off", conditions=[DRY], actions=[OFF])])
    for value in (50, 20, 50):
        k.read(value)
    k.kill()
    k.restart()
    assert (k.engine.states["on"].order, k.engine.states["off"].order) == (3, 2)
    assert not k.engine.turns.take(("ESP_B", 25), 2)
    k.read(20)
    assert k.engine.states["off"].order == 4


class Reader:
    """A reader of the events: per batch how often it began again, how many events were kept then, and how many more
    events each message says are to come."""

    def __init__(self, batches):
        self._batches = batches
        self.restarts = self.pending_at_start = 0

    async def __aiter__(self):
        for restarts, kept, pending in self._batches:
            self.restarts, self.pending_at_start = restarts, kept
            yield [Delivery("event.none.ESP_A", f"$JS.ACK.EVENTS.c.1.1.1.0.{left}", b"{}", None) for left in pending]


@pytest.mark.parametrize(
    ("batches", "all_read"),
    [
        ([(0, 0, [])], True),
        ([(0, 3, [2, 1]), (0, 3, [0])], True),
        ([(0, 3, [2, 1])], False),
        ([(0, 3, [5, 4, 3])], True),  # what comes meanwhile is of now
        ([(0, 9, [8]), (1, 0, [])], True),
        ([(0, 9, [8]), (1, 2, [1])], False),
        ([(0, 2, [1]), (1, 3, [2])], False),
        ([(0, 9, [8]), (1, 2, [2, 1])], True),
        ([(0, 9, [8]), (0, 9, [0])], True),  # the rest was purged
    ],
    ids=str,
)
async def test_what_comes_is_of_now_once_the_kept_events_are_read_whatever_happens_to_their_stream(batches, all_read):
    evaluator = Evaluator(None, None, None, None, LogicSettings(), {})
    await evaluator._read(Reader(batches), StateWriter(evaluator.engine, None))
    assert evaluator.engine.catching_up is not all_read


LONG_S = 600
"""A reading is current for so long, however slow the machine is."""


async def begin_before(world, seq: int) -> None:
    """As if the process had been killed before it wrote a checkpoint behind this event of the stream."""
    bucket = await world.bus.jetstream.key_value(LOGIC_STATE_BUCKET.name)
    await bucket.put("checkpoint", json.dumps({"seq": seq - 1}).encode())


async def marked(world) -> None:
    """Another rule has fired by a reading that came later: everything before has been evaluated."""
    sensor = {**DRY, "esp_id": "ESP_M"}
    await world.rule("marker", conditions=[sensor], actions=[{**PUMP, "gpio": 26}])
    await world.read(10, esp_id="ESP_M")
    await until(lambda: 26 in [command.gpio for command in world.commands.values()], "the marker fires")


def pump(world) -> list[str]:
    """The commands that the pump was given."""
    return [command.request.command for command in world.commands.values() if command.gpio == 25]


async def alarm_events(world) -> list[str]:
    events = await world.events("system_event")
    return [one["event"] for one in events if one["event"].startswith("rule_alarm_")]


async def test_an_older_value_that_is_read_again_switches_nothing_and_clears_no_alarm(world):
    await world.started(logic_late_s=LONG_S)
    await world.read(20)
    low = (await world.bus.jetstream.stream_info("EVENTS")).state.last_seq
    world.latest.clear()  # the sensor service has not stored it yet
    await world.rule("on", conditions=[HIGH], actions=[ON, RAISE])
    await world.rule("off", conditions=[DRY], actions=[OFF, CLEAR])
    await world.read(50)
    await world.ended(1)
    world.processes[-1].end()
    await begin_before(world, low)
    await world.started(logic_late_s=LONG_S)
    await marked(world)
    assert pump(world) == ["ON"]
    assert await alarm_events(world) == ["rule_alarm_raised"]


async def test_what_came_and_went_while_it_was_away_switches_nothing_and_what_stayed_does(world):
    await world.started(logic_late_s=LONG_S)
    await world.rule("on", conditions=[HIGH], actions=[ON])
    await world.rule("off", conditions=[DRY], actions=[OFF])
    await world.read(35)
    seq = (await world.bus.jetstream.stream_info("EVENTS")).state.last_seq
    world.processes[-1].end()
    for value in (50, 20):
        await world.read(value)
    await begin_before(world, seq)
    await world.started(logic_late_s=LONG_S)
    await marked(world)
    assert pump(world) == ["OFF"]


async def test_an_older_command_that_waits_for_its_turn_is_left_out_once_a_newer_one_was_given(world):
    """The actuator service refuses the first ones for a moment."""
    world.answer = lambda request: "unavailable" if pump(world) == [] and request.request.command == "OFF" else ENDS
    await world.started()
    await world.rule("off", conditions=[DRY], actions=[OFF, RAISE])
    await world.rule("on", conditions=[HIGH], actions=[ON])
    await world.read(20)
    await until(lambda: world.requests, "OFF is tried")
    await world.read(50)
    done = {one.rule_name: one for one in await world.ended(2)}
    assert pump(world) == ["ON"]
    assert [(one.state, one.detail) for one in done["off"].actions] == [
        ("skipped", "a rule that fired later has acted on it"),
        ("done", None),
    ]
    assert {one.outcome for one in done.values()} == {"succeeded"}


async def test_an_off_that_waits_for_its_turn_is_sent_after_all_when_the_newer_command_is_refused(world):
    """The newer one is tried again too, and refused while OFF waits for its turn."""
    tries: list[str] = []

    def answer(request: SendCommand) -> str:
        tries.append(request.request.command)
        if request.request.command == "OFF":
            return "unavailable" if "ON" not in tries else ENDS
        return "unavailable" if tries.count("ON") < 3 else "refused"

    world.answer = answer
    await world.started(logic_backoff_s=LONG_S)
    await world.rule("off", conditions=[DRY], actions=[OFF])
    await world.rule("on", conditions=[HIGH], actions=[ON])
    await world.read(20)
    await until(lambda: world.requests, "OFF is tried")
    await world.read(50)
    done = {one.rule_name: one for one in await world.ended(2)}
    assert pump(world) == ["OFF"]
    assert tries[-4:] == ["ON", "ON", "ON", "OFF"]
    assert [one.state for one in done["off"].actions] == ["done"]
    assert (done["off"].outcome, done["on"].outcome) == ("succeeded", "failed")


async def test_an_execution_that_is_continued_after_a_kill_does_not_switch_back_what_a_newer_one_has_switched(world):
    killed: list[int] = []

    def answer(request: SendCommand) -> str:
        """OFF is not taken; logic dies when it gives ON."""
        if request.request.command == "OFF":
            return "unavailable" if not killed else ENDS
        if not killed:
            killed.append(process.end(signal.SIGKILL))
        return ENDS

    world.answer = answer
    process = await world.started()
    await world.rule("off", conditions=[DRY], actions=[OFF])
    await world.rule("on", conditions=[HIGH], actions=[ON])
    await world.read(20)
    await until(lambda: world.requests, "OFF is tried")
    await world.read(50)
    await until(lambda: killed, "it was killed")
    await world.started()
    await marked(world)
    await world.ended(3)
    assert pump(world) == ["ON"]
