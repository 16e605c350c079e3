"""Whether a stored notification is still sent: cases by hand, and a model of looks, failures and people."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kaiser_alarm.domain.delivery import NotificationFate, WaitingNotification, fate_of, retry_after_s
from kaiser_alarm.domain.life import Key, Raise, acknowledged, cleared, raised, shelved
from kaiser_alarm.domain.routing import OVER_FOR_MS, RecentMessages, due, worth_now
from kaiser_common.contract.schemas.api.notifications import Route

AT = 1_767_225_600_000
CONDITION = Key("limit_hi_hi", "ESP_1/4/ds18b20")
ONE = WaitingNotification("key", "id")
SEND, WAIT = NotificationFate("send"), NotificationFate("wait")


def alarm(severity="critical", at=AT):
    return raised(None, Raise(CONDITION, severity, "too warm", at), "1").alarm


def over(severity="critical"):
    return cleared(alarm(severity), AT).alarm


def seen(one):
    return acknowledged(one, AT, "ada", "", momentary=False).alarm


@pytest.mark.parametrize(
    ("one", "found", "tries", "after_ms", "state"),
    [
        (ONE, alarm(), 0, 0, "send"),
        (ONE, alarm(), 100, 30 * OVER_FOR_MS, "send"),
        (ONE, None, 0, 0, "dropped"),
        (ONE, seen(alarm()), 3, 0, "dropped"),
        (ONE, seen(over()), 3, 0, "dropped"),
        (ONE, cleared(seen(alarm()), AT).alarm, 3, 0, "dropped"),
        (ONE, shelved(alarm(), AT, "ada", AT + 60_000, "").alarm, 0, 59_999, "wait"),
        (ONE, shelved(alarm(), AT, "ada", AT + 60_000, "").alarm, 0, 60_000, "send"),
        (ONE, over(), 0, 0, "send"),
        (ONE, over("info"), 0, 0, "send"),
        (ONE, over(), 6, OVER_FOR_MS - 1, "send"),
        (ONE, over(), 6, OVER_FOR_MS, "failed"),
        (ONE, over(), 0, OVER_FOR_MS, "dropped"),
        (ONE._replace(is_told=True), over(), 0, 0, "dropped"),
        (ONE._replace(is_told=True), alarm(), 0, 0, "send"),
        (ONE._replace(is_superseded=True), alarm(), 0, 0, "dropped"),
    ],
)
def test_the_alarm_as_it_is_now_decides_whether_its_message_is_sent(one, found, tries, after_ms, state):
    assert fate_of(one, found, tries, AT + after_ms).state == state


def test_a_failed_message_is_tried_five_times_in_43_minutes_and_then_every_half_hour():
    waits = [retry_after_s(tries) for tries in range(1, 9)]
    assert waits == [5, 30, 120, 600, 1800, 1800, 1800, 1800]
    assert sum(waits[:5]) // 60 == 42


class Site:
    """An alarm, the rows of notifications and a channel, as the service has them. sent: for each message that the
    channel took, the alarm as it was then."""

    def __init__(self, **route):
        self.routes = [Route(route_id="r", channels=["phone"], changed_at=0, changed_by="ada", **route)]
        self.now = AT
        self.alarm = None
        self.closed = {}
        self.rows = {}
        self.sent = []
        self.accepts = True

    def begin(self):
        step = raised(self.alarm, Raise(CONDITION, "critical", "too warm", self.now), str(self.now))
        if step is not None:
            self.alarm = step.alarm

    def end(self):
        self._step(cleared(self.alarm, self.now))

    def acknowledge(self):
        if self.alarm is not None:
            self._step(acknowledged(self.alarm, self.now, "ada", "", momentary=False))

    def shelve(self):
        if self.alarm is not None:
            self._step(shelved(self.alarm, self.now, "ada", self.now + 600_000, ""))

    def refuse(self):
        self.accepts = False

    def accept(self):
        self.accepts = True

    def a_while(self):
        self.now += 400_000

    def look(self):
        """As `Notifying.look` and the SQL of notifications do it."""
        self.now += 2000
        for one in due(self.alarm, None, self.routes, self.now) if self.alarm is not None else ():
            occurrences = {key.rpartition("-")[0] for key in self.rows}
            again = {
                (row["alarm"].alarm_id, "critical") for row in self.rows.values() if row["at"] > self.now - 300_000
            }
            known = one.occurrence in occurrences if one.is_over else one.key in self.rows
            if not known and worth_now(one, RecentMessages(0, frozenset(), frozenset(again))):
                self.rows[one.key] = {
                    "alarm": one.alarm,
                    "at": self.now,
                    "state": "waiting",
                    "tries": 0,
                    "next": self.now,
                }
        for key, row in self.rows.items():
            if row["state"] == "waiting" and row["next"] <= self.now:
                self._deliver(key, row)

    def _deliver(self, key, row):
        alarm_id = row["alarm"].alarm_id
        found = self.alarm if self.alarm is not None and self.alarm.alarm_id == alarm_id else self.closed[alarm_id]
        others = [(other, one) for other, one in self.rows.items() if one["alarm"].alarm_id == alarm_id]
        stored = WaitingNotification(
            key,
            alarm_id,
            any(one["at"] > row["at"] for _, one in others),
            any(one["state"] == "sent" and other.rpartition("-")[0] == key.rpartition("-")[0] for other, one in others),
        )
        fate = fate_of(stored, found, row["tries"], self.now)
        if fate.state in ("dropped", "failed"):
            row["state"] = fate.state
        elif fate.state == "send" and self.accepts:
            row["state"] = "sent"
            self.sent.append((found, self.now))
        elif fate.state == "send":
            row["tries"] += 1
            row["next"] = self.now + retry_after_s(row["tries"]) * 1000

    def _step(self, step):
        if step is None:
            return
        self.alarm = step.alarm
        if step.alarm.state == "closed":
            self.closed[step.alarm.alarm_id] = step.alarm
            self.alarm = None


DOES = ["begin", "end", "acknowledge", "shelve", "refuse", "accept", "a_while", "look"]


@settings(max_examples=400, derandomize=True, deadline=None)
@given(st.lists(st.sampled_from(DOES), max_size=30), st.sampled_from([0, 60, 600]))
def test_each_alarm_that_nobody_acknowledged_reaches_its_channel_and_none_that_is_settled_does(does, repeat_s):
    site = Site(repeat_s=repeat_s)
    for what in does:
        getattr(site, what)()
    site.accept()
    for _ in range(6):
        site.a_while()
        site.look()
    for found, at in site.sent:
        assert found.acknowledged_at is None
        assert found.shelved_until is None or found.shelved_until <= at
    told = {(found.alarm_id, found.times) for found, _ in site.sent}
    if site.alarm is not None and site.alarm.state in ("raised", "cleared"):
        assert (site.alarm.alarm_id, site.alarm.times) in told
    of_over = [found for found, _ in site.sent if found.state == "cleared"]
    assert len(of_over) == len({(found.alarm_id, found.times) for found in of_over}), "over is sent once"
    assert all(row["state"] != "failed" for row in site.rows.values())


def test_a_channel_that_is_back_after_two_hours_gets_the_alarm_that_stands():
    site = Site()
    site.begin()
    site.refuse()
    for _ in range(18):
        site.look()
        site.a_while()
    assert site.sent == []
    site.accept()
    for _ in range(5):
        site.a_while()
        site.look()
    assert [found.state for found, _ in site.sent] == ["raised"]


def test_what_is_acknowledged_after_a_failed_try_is_not_sent():
    site = Site(repeat_s=60)
    site.begin()
    site.refuse()
    for _ in range(3):
        site.look()
        site.a_while()
    site.acknowledge()
    site.accept()
    for _ in range(5):
        site.a_while()
        site.look()
    assert site.sent == []


def test_of_the_repetitions_that_a_channel_did_not_take_one_is_sent():
    site = Site(repeat_s=3600)
    site.begin()
    site.refuse()
    for _ in range(40):
        site.look()
        site.a_while()
    assert len(site.rows) > 3
    site.end()
    site.accept()
    for _ in range(5):
        site.a_while()
        site.look()
    assert [found.state for found, _ in site.sent] == ["cleared"]
