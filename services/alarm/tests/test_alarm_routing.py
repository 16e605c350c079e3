"""Which notification is due when: routes, quiet hours, repetition, escalation, summaries."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kaiser_alarm.domain.life import Key, Raise, acknowledged, cleared, raised, shelved
from kaiser_alarm.domain.routing import (
    RecentMessages,
    due,
    is_active,
    is_quiet,
    reached,
    worth_now,
)
from kaiser_common.contract.schemas.api.notifications import Route

RAISED_MS = 1_767_225_600_000  # 2026-01-01 00:00 UTC


def alarm(kind="device_offline", source="ESP_1", severity="critical", at=RAISED_MS):
    return raised(None, Raise(Key(kind, source), severity, f"{source} {kind}", at, esp_id="ESP_1"), "1").alarm


def route(route_id="r", channels=("phone",), **fields):
    return Route(route_id=route_id, channels=list(channels), changed_by="ada", **{"changed_at": 0, **fields})


def channels_due(found, routes, after_s=0, zone=None):
    return sorted(one.channel_id for one in due(found, zone, routes, RAISED_MS + after_s * 1000))


@pytest.mark.parametrize(
    ("fields", "zone", "expected"),
    [
        ({}, None, ["phone"]),
        ({"severities": ["warning"]}, None, []),
        ({"zones": ["north"]}, "north", ["phone"]),
        ({"zones": ["north"]}, "south", []),
        ({"zones": ["north"]}, None, []),
        ({"enabled": False}, None, []),
    ],
)
def test_a_route_takes_by_severity_and_zone(fields, zone, expected):
    assert channels_due(alarm(), [route(**fields)], zone=zone) == expected


CRITICAL = {"severities": ["critical"]}
ONLY_NORTH = {"zones": ["north"], "severities": ["critical", "warning"]}
NIGHT = {"active_from": "22:00", "active_to": "23:00", "severities": ["warning"], "after_s": 600}


@pytest.mark.parametrize(
    ("routes", "raised_of", "zone", "expected"),
    [
        ([], [], None, {"critical": None, "warning": None}),
        ([], ["critical"], None, {"critical": False, "warning": None}),
        ([], ["critical", "warning"], None, {"critical": False, "warning": False}),
        ([], ["info"], None, {"critical": None, "warning": None}),
        ([CRITICAL], [], None, {"critical": True, "warning": None}),
        ([CRITICAL], ["warning"], None, {"critical": True, "warning": False}),
        ([CRITICAL, {"severities": ["warning"]}], ["warning"], None, {"critical": True, "warning": True}),
        ([{"enabled": False}], ["critical"], None, {"critical": False, "warning": None}),
        ([{"enabled": False}], [], None, {"critical": None, "warning": None}),
        ([ONLY_NORTH], ["critical"], "north", {"critical": True, "warning": True}),
        ([ONLY_NORTH], ["critical"], "south", {"critical": False, "warning": True}),
        ([ONLY_NORTH], ["critical"], None, {"critical": False, "warning": True}),
        ([NIGHT], ["warning"], None, {"critical": None, "warning": True}),  # at its hours, and in time
    ],
)
def test_an_alarm_reaches_somebody_only_by_a_route_that_takes_it(routes, raised_of, zone, expected):
    alarms = [alarm(severity=severity) for severity in raised_of]
    assert reached(alarms, lambda _: zone, [route(**each) for each in routes], RAISED_MS) == expected


def test_what_nobody_is_to_be_told_of_needs_no_route():
    one = alarm()
    quiet = [
        acknowledged(one, RAISED_MS, "ada", "", momentary=False).alarm,
        cleared(one, RAISED_MS).alarm,
        shelved(one, RAISED_MS, "ada", RAISED_MS + 60_000, "").alarm,
        alarm("no_channel", "critical"),
        alarm("delivery_failed", "phone"),
    ]
    assert reached(quiet, lambda _: None, [], RAISED_MS) == {"critical": None, "warning": None}


def test_nobody_is_told_of_what_is_acknowledged_or_shelved():
    one = alarm()
    known = acknowledged(one, RAISED_MS, "ada", "", momentary=False).alarm
    silenced = shelved(one, RAISED_MS, "ada", RAISED_MS + 60_000, "").alarm
    for each in (known, silenced, cleared(known, RAISED_MS).alarm, cleared(silenced, RAISED_MS).alarm):
        assert channels_due(each, [route()]) == []
    assert channels_due(silenced, [route()], after_s=60) == ["phone"]


QUIET = {"quiet_from": "22:00", "quiet_to": "06:00"}


@pytest.mark.parametrize(
    ("fields", "from_s", "to_s", "after_s", "expected"),
    [
        ({}, 0, 1, 1, ["phone"]),
        ({}, 0, 1, 86_400, ["phone"]),
        ({}, 0, 1, 86_401, []),
        ({"severities": ["warning"]}, 0, 1, 1, []),
        ({"changed_at": RAISED_MS + 1001}, 0, 1, 1, []),  # the route was not there yet
        ({"after_s": 600}, 0, 599, 700, []),
        ({"after_s": 600}, 0, 600, 700, ["phone"]),
        (QUIET, 0, 3600, 6 * 3600, []),  # it began and ended in quiet hours
        (QUIET, 6 * 3600 - 1, 6 * 3600, 6 * 3600, ["phone"]),  # it stood at their end
        (QUIET, 22 * 3600 - 1, 22 * 3600, 22 * 3600, []),  # it began before them, and they are now
        (QUIET, 22 * 3600 - 1, 22 * 3600, 30 * 3600, ["phone"]),
        ({"active_from": "00:00", "active_to": "06:00"}, 7 * 3600, 8 * 3600, 24 * 3600, []),
    ],
)
def test_an_alarm_that_is_over_is_due_where_it_would_have_been_sent_while_it_stood(
    fields, from_s, to_s, after_s, expected
):
    found = cleared(alarm(at=RAISED_MS + from_s * 1000), RAISED_MS + to_s * 1000).alarm
    assert channels_due(found, [route(**fields)], after_s=after_s) == expected


def test_an_alarm_that_is_over_is_one_notification_whatever_its_routes_repeat():
    found = cleared(alarm(), RAISED_MS + 1000).alarm
    routes = [route(repeat_s=60), route("boss", after_s=1, channels=["phone", "boss"])]
    assert keys(found, routes, 1) == keys(found, routes, 3600)
    assert channels_due(found, routes, after_s=3600) == ["boss", "phone"]


def keys(found, routes, after_s):
    return {one.key for one in due(found, None, routes, RAISED_MS + after_s * 1000)}


def test_a_notification_has_one_key_until_it_is_time_to_repeat_it():
    routes = [route(repeat_s=600)]
    assert keys(alarm(), routes, 0) == keys(alarm(), routes, 599)
    assert keys(alarm(), routes, 600) != keys(alarm(), routes, 599)
    assert len(keys(alarm(), routes, 10_000)) == 1
    assert keys(alarm(), [route()], 0) == keys(alarm(), [route()], 86_400)


def test_an_alarm_that_is_raised_again_is_told_again():
    again = raised(
        cleared(alarm(), RAISED_MS).alarm, Raise(Key("device_offline", "ESP_1"), "critical", "m", RAISED_MS), "2"
    )
    assert keys(again.alarm, [route()], 0).isdisjoint(keys(alarm(), [route()], 0))


def test_what_nobody_acknowledges_is_escalated():
    routes = [route(), route("boss", channels=["boss"], after_s=900)]
    assert channels_due(alarm(), routes, after_s=899) == ["phone"]
    assert channels_due(alarm(), routes, after_s=900) == ["boss", "phone"]


def test_an_escalation_to_the_same_channel_is_a_notification_of_its_own():
    routes = [route(), route("again", after_s=900)]
    assert keys(alarm(), routes, 0).isdisjoint(keys(alarm(), routes, 900))


@pytest.mark.parametrize(
    ("clock", "quiet"),
    [("21:59", False), ("22:00", True), ("23:59", True), ("00:00", True), ("05:59", True), ("06:00", False)],
)
def test_quiet_hours_go_over_midnight_by_the_clock_of_their_zone(clock, quiet):
    hour, minute = map(int, clock.split(":"))
    at = int(datetime(2026, 7, 1, hour - 2 if hour >= 2 else hour + 22, minute, tzinfo=UTC).timestamp() * 1000)
    night = route(quiet_from="22:00", quiet_to="06:00", time_zone="Europe/Berlin")
    assert is_quiet(night, at) is quiet


@pytest.mark.parametrize(
    ("fields", "when", "active"),
    [
        ({}, "2026-07-01 03:00", True),
        ({"active_from": "06:00", "active_to": "22:00"}, "2026-07-01 06:00", True),
        ({"active_from": "06:00", "active_to": "22:00"}, "2026-07-01 22:00", False),
        ({"active_from": "22:00", "active_to": "06:00"}, "2026-07-01 23:00", True),
        ({"active_from": "22:00", "active_to": "06:00"}, "2026-07-01 05:59", True),
        ({"active_from": "22:00", "active_to": "06:00"}, "2026-07-01 12:00", False),
        ({"days_of_week": [2]}, "2026-07-01 00:00", True),  # a Wednesday
        ({"days_of_week": [2]}, "2026-07-02 00:00", False),
        # The night from Friday to Saturday belongs to Friday.
        ({"active_from": "22:00", "active_to": "06:00", "days_of_week": [4]}, "2026-07-03 22:00", True),
        ({"active_from": "22:00", "active_to": "06:00", "days_of_week": [4]}, "2026-07-04 05:00", True),
        ({"active_from": "22:00", "active_to": "06:00", "days_of_week": [4]}, "2026-07-03 05:00", False),
        ({"active_from": "22:00", "active_to": "06:00", "days_of_week": [4]}, "2026-07-04 22:00", False),
    ],
)
def test_a_route_works_in_its_hours_and_on_the_days_on_which_they_begin(fields, when, active):
    at = int(datetime.fromisoformat(f"{when}:00+02:00").timestamp() * 1000)
    assert is_active(route(time_zone="Europe/Berlin", **fields), at) is active


def test_day_and_night_go_to_different_people_and_what_stands_at_the_change_is_handed_over():
    day = route("day", channels=["day"], active_from="06:00", active_to="22:00")
    night = route("night", channels=["night"], active_from="22:00", active_to="06:00")
    one = alarm(at=RAISED_MS + 3 * 3600_000)
    assert channels_due(one, [day, night], after_s=3 * 3600) == ["night"]
    assert channels_due(one, [day, night], after_s=6 * 3600) == ["day"]


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.integers(0, 23), st.integers(0, 23), st.integers(0, 7 * 24 * 60))
def test_two_routes_that_share_the_day_leave_no_minute_without_one(first, second, minute):
    since, until = f"{first:02}:00", f"{second:02}:30"
    one = route(active_from=since, active_to=until, time_zone="Europe/Berlin")
    other = route(active_from=until, active_to=since, time_zone="Europe/Berlin")
    at = RAISED_MS + minute * 60_000
    assert is_active(one, at) is not is_active(other, at)


def test_what_is_raised_in_quiet_hours_is_told_at_their_end():
    night = [route(quiet_from="22:00", quiet_to="06:00")]
    assert channels_due(alarm(), night, after_s=5 * 3600) == []
    assert channels_due(alarm(), night, after_s=6 * 3600) == ["phone"]


def flapping(every_s, until_s):
    """An alarm that nobody acknowledges, and that is cleared and raised again at this interval (s)."""
    one = alarm()
    for second in range(every_s, until_s + 1, every_s):
        at = RAISED_MS + second * 1000
        again = Raise(Key("device_offline", "ESP_1"), "critical", "m", at)
        one = raised(cleared(one, at).alarm, again, str(second)).alarm
    return one


@pytest.mark.parametrize(("now_s", "expected"), [(599, ["phone"]), (600, ["boss", "phone"]), (615, ["boss", "phone"])])
def test_an_alarm_that_flaps_faster_than_the_escalation_waits_escalates_too(now_s, expected):
    routes = [route(), route("boss", channels=["boss"], after_s=600)]
    assert channels_due(flapping(60, now_s), routes, after_s=now_s) == expected


@pytest.mark.parametrize(
    ("stands_s", "escalates", "expected"),
    [
        (0, 0, False),  # raised again within the time in which one notification is sent
        (59, 0, False),
        (60, 0, True),  # it has stood for the interval of the route
        (0, 100, False),  # nor is the escalation sent twice in that time, however long it is unacknowledged
        (60, 100, True),
    ],
)
def test_an_alarm_that_was_raised_again_is_repeated_once_it_stands_for_the_interval(stands_s, escalates, expected):
    (one,) = due(flapping(60, 240), None, [route(repeat_s=60, after_s=escalates)], RAISED_MS + (240 + stands_s) * 1000)
    recent = RecentMessages(1, frozenset(), frozenset({(one.alarm.alarm_id, "critical")}))
    assert worth_now(one, recent) is expected


@settings(max_examples=100, derandomize=True, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3600), st.sampled_from([0, 60, 600])), min_size=1, max_size=4),
    st.integers(0, 100_000),
)
def test_of_each_channel_one_notification_is_due_at_a_time(given_routes, after_s):
    routes = [route(str(place), after_s=wait, repeat_s=repeat) for place, (wait, repeat) in enumerate(given_routes)]
    found = list(due(alarm(), None, routes, RAISED_MS + after_s * 1000))
    assert len(found) == (1 if any(wait <= after_s for wait, _ in given_routes) else 0)
