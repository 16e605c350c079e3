"""The life of an alarm: cases by hand, and a model of everything that may happen in any order."""

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from kaiser_alarm.domain import active
from kaiser_alarm.domain.board import Board
from kaiser_alarm.domain.life import (
    MAX_MESSAGE,
    MOMENTARY_AGAIN_MS,
    Clear,
    Key,
    Raise,
    acknowledged,
    applied,
    cleared,
    is_active,
    is_shelved,
    raised,
    shelved,
    unshelved,
)

OFFLINE = Key("device_offline", "ESP_1")
KEYS = [
    OFFLINE,
    Key("device_offline", "ESP_3"),
    Key("sensor_silent", "ESP_1/4/ds18b20"),
    Key("command_failed", "ESP_2/25"),
]


def begins(key=OFFLINE, at=1000, severity="warning", message="it is so"):
    return Raise(key, severity, message, at, esp_id=key.source[:5])


def alarm(severity="warning"):
    return raised(None, begins(severity=severity), "7").alarm


def test_a_condition_raises_one_alarm_and_holds_until_it_is_cleared():
    steps = applied({}, [(begins(), "1"), (begins(at=2000), "2"), (Clear(OFFLINE, 3000), "3")])
    assert [(step.what, step.alarm.state, step.alarm.step) for step in steps] == [
        ("raised", "raised", 1),
        ("cleared", "cleared", 2),
    ]
    assert steps[1].alarm.raised_at == 1000
    assert steps[1].alarm.cleared_at == 3000


def test_an_alarm_is_closed_once_it_is_cleared_and_acknowledged_in_either_order():
    first = cleared(acknowledged(alarm(), 2000, "ada", "", momentary=False).alarm, 3000)
    assert (first.what, first.alarm.state, first.alarm.acknowledged_by) == ("closed", "closed", "ada")
    second = acknowledged(cleared(alarm(), 2000).alarm, 3000, "ada", "seen", momentary=False)
    assert (second.what, second.alarm.state, second.by, second.note) == ("acknowledged", "closed", "ada", "seen")
    assert second.alarm.cleared_at == 2000


def test_info_is_closed_without_acknowledgement():
    assert cleared(alarm("info"), 2000).alarm.state == "closed"


def test_acknowledging_closes_what_nothing_reports_the_end_of():
    assert acknowledged(alarm(), 2000, "ada", "", momentary=True).alarm.state == "closed"


@pytest.mark.parametrize(("after_ms", "times"), [(MOMENTARY_AGAIN_MS - 1, 1), (MOMENTARY_AGAIN_MS, 2)])
def test_a_momentary_condition_that_occurs_again_is_raised_again_once_in_five_minutes(after_ms, times):
    frost = [Raise(Key("rule_notification", "r"), "warning", text, at, momentary=True) for text, at in
             (("frost", 1000), ("frost again", 1000 + after_ms))]  # fmt: skip
    found = applied({}, [(each, str(each.at)) for each in frost])[-1].alarm
    assert (found.times, found.state) == (times, "raised")
    assert found.message == frost[times - 1].message
    board = Board()
    board.take(applied({}, [(frost[0], "1")]))
    assert len(board.relevant([(frost[1], "2")])) == times - 1


def test_ten_thousand_occurrences_of_a_momentary_condition_in_a_minute_are_one_step():
    key = Key("device_error", "ESP_1/1020")
    found = [(Raise(key, "warning", "m", 1000 + 6 * number, momentary=True), str(number)) for number in range(10_000)]
    assert [step.what for step in applied({}, found)] == ["raised"]


def test_acknowledging_twice_is_no_step():
    known = acknowledged(alarm(), 2000, "ada", "", momentary=False).alarm
    assert acknowledged(known, 3000, "bob", "", momentary=False) is None


def test_a_flapping_condition_is_one_alarm_that_counts():
    steps = applied({}, [(begins(), "1"), (Clear(OFFLINE, 2000), "2"), (begins(at=3000), "3")])
    assert steps[-1].what == "raised_again"
    assert (steps[-1].alarm.times, steps[-1].alarm.state, steps[-1].alarm.cleared_at) == (2, "raised", None)
    assert len({step.alarm.alarm_id for step in steps}) == 1


def test_what_begins_after_the_end_is_another_alarm():
    closed = cleared(acknowledged(alarm(), 2000, "ada", "", momentary=False).alarm, 3000).alarm
    (again,) = applied({}, [(begins(at=4000), "9")])
    assert again.alarm.alarm_id != closed.alarm_id


def test_a_higher_severity_wants_to_be_acknowledged_again():
    known = acknowledged(alarm(), 2000, "ada", "", momentary=False).alarm
    step = raised(known, begins(severity="critical", at=3000), "2")
    assert (step.what, step.alarm.severity, step.alarm.state) == ("raised_again", "critical", "raised")
    assert step.alarm.acknowledged_by is None
    assert step.alarm.times == 1
    assert raised(step.alarm, begins(severity="warning", at=4000), "3") is None


def test_a_shelved_alarm_is_silent_until_its_time_and_keeps_its_state():
    step = shelved(alarm(), 2000, "ada", 62_000, "being repaired")
    assert (step.alarm.state, step.alarm.shelved_by) == ("raised", "ada")
    assert is_shelved(step.alarm, 61_999)
    assert not is_shelved(step.alarm, 62_000)
    assert unshelved(step.alarm, 62_000, None).alarm.shelved_until is None
    assert unshelved(alarm(), 62_000, None) is None


def test_a_message_is_bounded_and_one_that_the_table_takes():
    assert raised(None, begins(message="a\0" + "b" * 1000), "1").alarm.message == "a" + "b" * (MAX_MESSAGE - 1)


class Life(RuleBasedStateMachine):
    """The service's steps against a small statement of what they must come to; events are delivered again at random,
    and a restart loads the board from the table."""

    @initialize()
    def begin(self):
        self.table = {}
        self.board = Board()
        self.said = []
        self.holds = dict.fromkeys(KEYS, False)
        self.known = dict.fromkeys(KEYS, None)  # None: no alarm; False: not acknowledged; True: acknowledged
        self.read = 0
        self.now = 1000
        self.history = []

    def take(self, steps):
        for step in steps:
            before = self.table.get(step.alarm.alarm_id)
            assert step.alarm.step == (1 if before is None else before.step + 1)
            self.table[step.alarm.alarm_id] = step.alarm
            self.history.append((step.alarm.alarm_id, step.alarm.step))
        self.board.take(steps)

    def open(self):
        return {Key(one.kind, one.source): one for one in self.table.values() if one.state != "closed"}

    def deliver(self, since):
        """Read the events from a place on, as after a crash; those whose position is stored are not read."""
        unread = [(finding, str(place)) for place, finding in enumerate(self.said) if place >= max(since, self.read)]
        self.take(applied(self.open(), self.board.relevant(unread)))
        self.read = len(self.said)

    @rule(key=st.sampled_from(KEYS), holds=st.booleans(), late=st.booleans())
    def report(self, key, holds, late):
        self.now += 1000
        self.said.append(begins(key, self.now) if holds else Clear(key, self.now))
        if holds:
            if not self.holds[key]:
                self.known[key] = False
            self.holds[key] = True
        else:
            self.holds[key] = False
            if self.known[key]:
                self.known[key] = None
        if not late:
            self.deliver(self.read)

    @rule()
    def redeliver(self):
        self.deliver(0)

    @rule()
    def restart(self):
        self.board = Board()
        self.board.load(self.open().values())

    @precondition(lambda self: self.read == len(self.said))
    @rule(key=st.sampled_from(KEYS))
    def acknowledge(self, key):
        found = self.open().get(key)
        step = None if found is None else acknowledged(found, self.now, "ada", "", momentary=False)
        assert (step is not None) == (self.known[key] is False)
        if step is not None:
            self.take([step])
            self.known[key] = True if self.holds[key] else None

    @precondition(lambda self: self.read == len(self.said))
    @rule(key=st.sampled_from(KEYS), on=st.booleans())
    def shelve(self, key, on):
        found = self.open().get(key)
        if found is not None:
            step = shelved(found, self.now, "ada", self.now + 60_000, "") if on else unshelved(found, self.now, "ada")
            self.take([step] if step is not None else [])

    @invariant()
    def what_is_open_is_what_holds_or_nobody_knows_of(self):
        assert len({(one.kind, one.source) for one in self.open().values()}) == len(self.open())
        assert len(set(self.history)) == len(self.history)
        if self.read < len(self.said):
            return
        for key in KEYS:
            found = self.open().get(key)
            expected = {(True, False): "raised", (True, True): "acknowledged", (False, False): "cleared"}
            assert (found.state if found else None) == expected.get((self.holds[key], self.known[key]))
        assert self.board.alarms == self.open()

    @invariant()
    def the_active_alarms_are_those_that_hold_and_are_not_shelved_the_worst_and_newest_first(self):
        for now in (self.now, self.now + 60_000):
            found = [one for one in self.open().values() if is_active(one) and not is_shelved(one, now)]
            found.sort(key=lambda one: (one.severity != "critical", -one.last_raised_at, one.alarm_id))
            assert self.board.active(now, 2) == found[:2]
            assert self.board.active_kinds(now) == Counter(one.kind for one in found)


Life.TestCase.settings = settings(max_examples=60, stateful_step_count=40, derandomize=True, deadline=None)
TestLife = Life.TestCase


@pytest.mark.parametrize("count", [10_000])
def test_ten_thousand_alarms_hide_none_of_another_condition(count):
    found = [(begins(Key("device_offline", f"ESP_{number}")), str(number)) for number in range(count)]
    found.insert(count // 2, (begins(Key("stop_in_force", "all"), severity="critical"), "stop"))
    board = Board()
    board.take(applied({}, board.relevant(found)))
    assert len(board.alarms) == count + 1
    assert board.alarms[Key("stop_in_force", "all")].severity == "critical"
    assert board.relevant(found) == []


def test_the_worst_of_ten_thousand_alarms_are_found_without_a_look_at_the_others(monkeypatch):
    found = [
        (begins(Key("device_offline", f"ESP_{number}"), 1000 + number, ("info", "warning")[number % 2]), str(number))
        for number in range(10_000)
    ]
    found.insert(5000, (begins(Key("stop_in_force", "all"), severity="critical"), "stop"))
    board = Board()
    board.take(applied({}, found))
    shelving = board.alarms[Key("device_offline", "ESP_9999")]
    board.take([shelved(shelving, 2000, "ada", 62_000, "")])
    looked_at = []
    monkeypatch.setattr(active, "is_shelved", lambda alarm, now: looked_at.append(alarm) or is_shelved(alarm, now))
    worst, kinds = board.active(2000, 200), board.active_kinds(2000)
    assert [one.source for one in worst] == ["all", *(f"ESP_{number}" for number in range(9997, 9997 - 2 * 199, -2))]
    assert kinds == {"device_offline": 9999, "stop_in_force": 1}
    assert len(looked_at) <= 200 + 2, "so many are asked for, and one is shelved"


@pytest.mark.parametrize(
    ("kind", "esp_id", "is_alarm"),
    [
        ("device_offline", "ESP_1", True),
        ("sensor_silent", "MOCK_BED_1", True),
        ("device_offline", "ESP_TXT_1", True),
        ("device_offline", "SIM_TXT_1", False),
        ("sensor_silent", "SIM_1", False),
        ("sensor_silent", "MOCK_TXT_1", False),
        ("device_offline", "MOCK_TXT_1", False),
        ("limit_hi", "SIM_TXT_1", True),
    ],
)
def test_the_end_of_a_replay_or_a_mock_factory_is_no_alarm(kind: str, esp_id: str, is_alarm: bool):
    found = Raise(Key(kind, esp_id), "warning", "it is so", 1000, esp_id=esp_id)
    assert Board().relevant([(found, "1")]) == ([(found, "1")] if is_alarm else [])
