"""Which devices get a clear because they heard a stop that had ended."""

import pytest
from kaiser_actuator.domain.emergency_core import Held
from kaiser_actuator.domain.late_stops import LateStops
from kaiser_common.contract.schemas.api.actuators import Emergency

NOW = 1_767_225_600_000


def stop(esp_id: str | None = "ESP_A") -> Emergency:
    return Emergency(emergency_id="e1", esp_id=esp_id, gpio=None, reason="leak", raised_by="ada", raised_at=NOW)


def own_stop(raised_at: int, gpio: int | None = None) -> Emergency:
    return stop().model_copy(update={"gpio": gpio, "raised_by": "device ESP_A", "raised_at": raised_at})


def board(*keys: str) -> dict[str, Held]:
    return {key: Held(stop(None if key == "all" else key), 1, 1) for key in keys}


def whom(late: LateStops, in_force: dict[str, Held], at: int) -> list[str]:
    due = late.due(in_force, at)
    late.taken(due)
    return [each.esp_id for each in due]


def test_a_stop_that_had_ended_when_it_was_sent_is_cleared_from_five_seconds_on_three_times():
    late = LateStops()
    late.sent(board("ESP_B"), stop(), ["ESP_A", "ESP_B"], NOW)
    assert [at - NOW for at in range(NOW, NOW + 60_000, 100) if whom(late, board("ESP_B"), at)] == [
        5_000,
        10_000,
        15_000,
    ]


@pytest.mark.parametrize(
    ("away", "taken"),
    [
        (range(0), [5_000, 10_000, 15_000]),
        (range(5_000, 10_000), [10_000, 15_000, 20_000]),
        (range(0, 20_000), [20_000, 25_000, 30_000]),
        (range(10_000, 30_000), [5_000, 30_000, 35_000]),
        (range(10_000, 75_000), [5_000, 75_000]),
        (range(0, 80_000), []),  # somebody may have pressed at the device meanwhile
    ],
)
def test_a_clear_that_nats_does_not_take_is_due_again_for_a_minute(away, taken):
    late, cleared = LateStops(), []
    late.sent({}, stop(), ["ESP_A"], NOW)
    for at in range(0, 200_000, 100):
        due = late.due({}, NOW + at)
        if due and at not in away:
            late.taken(due)
            cleared.append(at)
    assert cleared == taken


@pytest.mark.parametrize("in_force", ["ESP_A", "all"])
def test_a_device_that_something_holds_gets_no_clear_not_even_later(in_force):
    late = LateStops()
    late.sent({}, stop(), ["ESP_A"], NOW)
    assert whom(late, board(in_force), NOW + 5_000) == []
    assert whom(late, {}, NOW + 10_000) == []


@pytest.mark.parametrize(
    ("key", "sent_at", "asked_at", "cleared"),
    [
        ("ESP_A", NOW + 1_000, NOW, ["ESP_A"]),
        ("all", NOW + 1_000, NOW, ["ESP_A"]),
        ("ESP_B", NOW + 1_000, NOW, []),
        ("ESP_A", NOW - 1_000, NOW, ["ESP_A"]),  # two replicas' clocks
        ("ESP_A", NOW - 60_000, NOW, []),  # the clear went out behind it
        ("ESP_A", NOW + 1_000, None, ["ESP_A"]),  # the clear was not seen, only the end
    ],
)
def test_a_stop_ended_by_another_replica_is_cleared_if_it_was_sent_since_the_clear_was_asked(
    key, sent_at, asked_at, cleared
):
    late = LateStops()
    late.sent(board("ESP_A"), stop(), ["ESP_A"], sent_at)
    if asked_at is not None:
        late.clear_asked(key, asked_at)
    late.ended(key, NOW + 2_000)
    assert whom(late, {}, NOW + 7_000) == cleared


@pytest.mark.parametrize(("freed_after_ms", "sent_after_ms"), [(1_000, 5_000), (60_000, 60_000)])
def test_a_device_that_stopped_by_itself_is_cleared_once_it_takes_a_clear(freed_after_ms, sent_after_ms):
    late = LateStops()
    late.freed("ESP_A", own_stop(NOW), NOW + freed_after_ms)
    sent = [at - NOW for at in range(NOW, NOW + 120_000, 100) if whom(late, {}, at)]
    assert (sent[0], len(sent)) == (sent_after_ms, 3)


def test_a_clear_that_the_device_confirmed_is_not_repeated():
    late = LateStops()
    late.freed("ESP_A", own_stop(NOW), NOW)
    late.confirmed("ESP_A", NOW + 4_900)
    assert whom(late, {}, NOW + 5_000) == ["ESP_A"], "no clear had been sent that it could confirm"
    late.confirmed("ESP_A", NOW + 5_100)
    assert whom(late, {}, NOW + 10_000) == []


def test_a_device_that_was_sent_a_stop_just_before_it_was_freed_is_cleared_once_it_takes_a_clear():
    late = LateStops()
    late.sent(board("ESP_A"), stop(), ["ESP_A"], NOW + 20_000)
    late.freed("ESP_A", stop(), NOW + 20_500)
    sent = [at - NOW for at in range(NOW + 20_500, NOW + 60_000, 100) if whom(late, {}, at)]
    assert sent == [25_000, 30_000, 35_000]


def test_what_a_device_said_before_it_could_take_the_clear_confirms_none():
    late = LateStops()
    late.sent({}, stop(), ["ESP_A"], NOW)
    assert whom(late, {}, NOW + 5_000) == ["ESP_A"]
    late.confirmed("ESP_A", NOW + 4_999)
    assert whom(late, {}, NOW + 10_000) == ["ESP_A"], "it reported the clear before this one"


def test_a_device_that_stops_by_itself_again_is_not_cleared_by_what_freed_it_before():
    late = LateStops()
    late.freed("ESP_A", own_stop(NOW), NOW + 1_000)
    again = {"ESP_A.5": Held(own_stop(NOW + 7_000, 5), 1, 1)}
    assert whom(late, {}, NOW + 5_000) == ["ESP_A"]
    assert whom(late, again, NOW + 15_000) == []
    assert whom(late, {}, NOW + 16_000) == []


def test_a_device_at_which_somebody_pressed_since_is_not_cleared_because_a_stop_was_late():
    late = LateStops()
    late.sent({}, stop(), ["ESP_A"], NOW)
    assert whom(late, {"ESP_A.5": Held(own_stop(NOW + 3_000, 5), 1, 1)}, NOW + 5_000) == []
    assert whom(late, {}, NOW + 10_000) == []


def test_a_device_that_refuses_a_clear_for_no_stop_in_force_is_cleared_when_it_takes_one():
    late = LateStops()
    late.sent(board("ESP_A"), stop(), ["ESP_A"], NOW)
    late.refused({}, "ESP_A", NOW + 6_000)
    assert [at - NOW for at in range(NOW, NOW + 60_000, 100) if whom(late, {}, at)] == [11_000, 15_000, 20_000, 25_000]


def test_a_refusal_long_after_the_last_stop_means_a_press_at_the_device_and_clears_nothing():
    late = LateStops()
    late.sent(board("ESP_A"), stop(), ["ESP_A"], NOW)
    late.refused({}, "ESP_A", NOW + 20_000)
    assert [at for at in range(NOW, NOW + 120_000, 100) if whom(late, {}, at)] == []


def test_the_repetition_of_a_clear_that_is_refused_each_time_ends():
    late = LateStops()
    late.sent(board("ESP_A"), stop(), ["ESP_A"], NOW)
    late.refused({}, "ESP_A", NOW + 6_000)
    cleared = []
    for at in range(NOW, NOW + 600_000, 100):
        if whom(late, {}, at):
            cleared.append(at - NOW)
            late.refused({}, "ESP_A", at)
    assert cleared[-1] < 20_000 + 20_000, "only a stop of the last 20 s explains a refusal"


@pytest.mark.parametrize("in_force", [board("ESP_A"), board("all"), {"ESP_A.5": Held(own_stop(NOW - 60_000, 5), 1, 1)}])
def test_a_device_that_refuses_a_clear_while_a_stop_holds_it_is_not_cleared_by_that(in_force):
    late = LateStops()
    late.sent(board("ESP_A"), stop(), ["ESP_A"], NOW)
    late.refused(in_force, "ESP_A", NOW + 6_000)
    assert [at for at in range(NOW, NOW + 60_000, 100) if whom(late, in_force, at)] == []
