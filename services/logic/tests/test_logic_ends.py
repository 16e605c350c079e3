"""A rule that is changed, disabled or removed after it has fired: its alarms are cleared, whatever is killed."""

import psycopg
from hypothesis import given
from hypothesis import strategies as st
from kaiser_common.contract.schemas.api.logic import Rule
from kaiser_common.contract.subjects import LOGIC_RULES_BUCKET
from kaiser_logic.domain.engine import Engine
from kaiser_logic.domain.readings import Readings
from kaiser_logic.domain.rules import Limits
from kaiser_logic.domain.state import RuleState, from_json, to_json
from logic_world import DRY, until_async

NOW = 1_800_000_000_000
RAISE = {"type": "alarm", "do": "raise", "name": "dry", "message": "m"}


def a_rule(name, **settings):

    given = {"name": name, "rule_id": name, "conditions": [DRY], "created_at": 0, "updated_at": 0, **settings}
    return Rule.model_validate(given)


class Owing:
    """Rules that change while their process may be killed at any moment: before a state or a report is stored too."""

    def __init__(self) -> None:
        self.rules = {}
        self.stored: dict[str, bytes] = {}
        self.standing: set[str] = set()
        self.version = 0
        self.restart()

    def restart(self) -> None:
        self.engine = Engine(Limits(loop_fires=1000), Readings(60_000), 0, 0)
        self.engine.take_states({rule_id: from_json(body) for rule_id, body in self.stored.items()}, self.rules)
        for one in self.rules.values():
            self.engine.put_rule(one, NOW)

    def put(self, name: str | None, *, enabled: bool = True) -> None:
        self.version += 1
        alarm = {**RAISE, "name": name or "none"}
        self.rules["r"] = a_rule("r", actions=[alarm], enabled=enabled, version=self.version)
        self.engine.put_rule(self.rules["r"], NOW)

    def remove(self) -> None:
        if self.rules.pop("r", None) is not None:
            self.engine.remove_rule("r", NOW)

    def fire(self) -> None:
        """As the executor: the state is stored before the alarm is raised."""
        rule = self.rules.get("r")
        if rule is None or not rule.enabled:
            return
        state = self.engine.states["r"]
        self.engine._fire(rule, state, {}, {"kind": "start"}, NOW)
        state.running = None
        self.save()
        self.standing.add(rule.actions[0].name)

    def save(self) -> None:
        for rule_id, state in self.engine.states.items():
            self.stored[rule_id] = to_json(state)

    def report(self) -> None:
        for rule_id in sorted(self.engine.ending):
            end = self.engine.end_of(rule_id)
            if end is not None:
                self.standing -= set(end.names)
            if self.engine.on_end_reported(rule_id, end):
                self.stored.pop(rule_id, None)


STEPS = st.lists(
    st.sampled_from(
        ["put x", "put y", "disable", "remove", "fire", "fire", "save", "kill", "report", "report unstored"]
    ),
    max_size=25,
)


@given(steps=STEPS)
def test_no_alarm_of_a_rule_outlives_it_wherever_the_process_is_killed(steps):
    owing = Owing()
    for step in steps:
        match step.split():
            case ["put", name]:
                owing.put(name)
            case ["disable"]:
                owing.put("x", enabled=False)
            case ["remove"]:
                owing.remove()
            case ["fire"]:
                owing.fire()
            case ["save"]:
                owing.save()
            case ["kill"]:
                owing.restart()
            case ["report"]:
                owing.report()
                owing.save()
            case ["report", "unstored"]:
                owing.report()
    owing.restart()
    owing.report()
    rule = owing.rules.get("r")
    allowed = {rule.actions[0].name} if rule is not None and rule.enabled else set()
    assert owing.standing <= allowed


def test_the_state_of_a_version_that_noted_no_names_owes_them_too(make_rule):
    engine = Engine(Limits(), Readings(60_000), 0, 0)
    engine.take_states({"water": RuleState(version=1, order=4)}, {"water"})
    engine.put_rule(make_rule(actions=[RAISE]), NOW)
    engine.remove_rule("water", NOW)
    end = engine.end_of("water")
    assert end is not None
    assert (end.names, end.withdrawn) == (("dry",), True)


async def removed(world, rule_id):
    """The rows and the bucket as a removal leaves them that is killed behind its answer."""
    async with await psycopg.AsyncConnection.connect(world.database, autocommit=True) as connection:
        await connection.execute("DELETE FROM logic.rules WHERE rule_id = %s", [rule_id])
    bucket = await world.bus.jetstream.key_value(LOGIC_RULES_BUCKET.name)
    await bucket.delete(rule_id)


async def test_an_alarm_is_cleared_whose_rule_was_removed_when_logic_was_killed_before_it_could_report(world):
    process = await world.started()
    rule = await world.rule(actions=[RAISE])
    await world.read(20)
    await world.ended(1)
    process.end()
    await removed(world, rule.rule_id)
    await world.started()

    async def said() -> bool:
        names = [one["event"] for one in await world.events("system_event")]
        return names == ["rule_alarm_raised", "rule_alarm_cleared", "rule_withdrawn"]

    await until_async(said, "the alarm of the removed rule is cleared")
