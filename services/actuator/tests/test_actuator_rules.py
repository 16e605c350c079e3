"""The state machine of commands and actuators, without servers."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_actuator.domain import commands
from kaiser_actuator.domain.admission import (
    check_command,
    check_device,
    check_reachable,
    duration_of,
    expiry_of,
    value_of,
)
from kaiser_actuator.domain.commands import CommandAnswer, CommandRecord
from kaiser_actuator.domain.emergencies import covering, covers, key_of, locking, of_device, target_of_alert
from kaiser_actuator.domain.unit import (
    GUARD_GRACE,
    Unit,
    admitted,
    on_answer,
    on_dispatched,
    on_replayed_status,
    on_sent,
    on_status,
    on_stop,
    on_time,
)
from kaiser_actuator.store.numbers import Numbers
from kaiser_common.bus.rpc import RpcError
from kaiser_common.contract.schemas.api.actuators import (
    ActuatorPatch,
    ActuatorSettings,
    Clearing,
    CommandRequest,
    Emergency,
)
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.runtime.versions import patched
from pydantic import ValidationError

START = datetime(2026, 1, 1, tzinfo=UTC)
TIMEOUT = timedelta(seconds=10)


def next_deadline(unit: Unit) -> datetime | None:
    """When `on_time` has something to do."""
    guarded = [unit.guard.due_at] if unit.guard is not None else []
    return min([*guarded, *(commands.deadline(each, TIMEOUT) for each in unit.open)], default=None)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def command(command_id: str = "c1", name: str = "ON", **fields) -> CommandRecord:
    given_fields = {"value": 1.0, "queued_at": START, "duration_s": 0, "expires_at": at(10), **fields}
    return CommandRecord(
        command_id=command_id,
        esp_id="ESP_A",
        gpio=5,
        kaiser_id="god",
        command=name,
        issued_by="ada",
        **given_fields,
    )


def unit(*open_commands: CommandRecord, **fields) -> Unit:
    return Unit("ESP_A", 5, "god", registered=True, open=open_commands, **fields)


def answer(
    success: bool = True, name: str = "ON", command_id: str | None = "c1", seconds: float = 2.0
) -> CommandAnswer:
    return CommandAnswer(name, success, command_id, "done" if success else "no water", at(seconds))


def stop(esp_id: str | None = None, gpio: int | None = None, raised_at: int = 0) -> Emergency:
    return Emergency(
        emergency_id=key_of(esp_id, gpio), esp_id=esp_id, gpio=gpio, reason="fire", raised_by="ada", raised_at=raised_at
    )


SENT = replace(command(), state="sent", dispatched_at=START, sent_at=at(1))


@pytest.mark.parametrize(
    ("before", "change", "state", "why"),
    [
        (command(), lambda c: commands.sent(c, at(1)), "sent", None),
        (command(), lambda c: commands.answered(c, answer()), "acknowledged", None),
        (SENT, lambda c: commands.answered(c, answer()), "acknowledged", None),
        (SENT, lambda c: commands.answered(c, answer(success=False)), "failed", "no water"),
        (SENT, lambda c: commands.cancelled(c, "stopped", at(2)), "cancelled", "stopped"),
        (SENT, lambda c: commands.expired(c, at(10.9), TIMEOUT), "sent", None),
        (SENT, lambda c: commands.expired(c, at(11), TIMEOUT), "expired", "no answer within 10 s"),
        (
            command(),
            lambda c: commands.expired(c, at(10), TIMEOUT),
            "expired",
            "the device did not come online in time",
        ),
        (
            replace(command(), dispatched_at=START),
            lambda c: commands.expired(c, at(11.9), TIMEOUT),
            "queued",
            None,
        ),
        (
            replace(command(), dispatched_at=START),
            lambda c: commands.expired(c, at(12), TIMEOUT),
            "expired",
            "the MQTT broker did not take it in time",
        ),
    ],
)
def test_what_happens_to_a_command_gives_its_state(before, change, state, why):
    after = change(before)
    assert (after.state, after.state_reason) == (state, why)
    assert after.is_open == (after.ended_at is None)


@pytest.mark.parametrize("ended", ["acknowledged", "failed", "expired", "cancelled"])
def test_nothing_changes_a_command_that_has_ended(ended):
    done = replace(SENT, state=ended, ended_at=at(3))
    for late in (
        commands.sent(done, at(4)),
        commands.answered(done, answer()),
        commands.cancelled(done, "stopped", at(4)),
        commands.expired(done, at(1000), TIMEOUT),
        commands.dispatched(done, at(4)),
    ):
        assert late == done


def test_an_answer_with_an_id_is_for_that_command_only():
    first, second = (replace(command(each), dispatched_at=START) for each in ("c1", "c2"))
    assert commands.match([first, second], answer(command_id="c2")) == second
    assert commands.match([first, second], answer(command_id="c9")) is None


def test_an_answer_without_an_id_is_for_the_oldest_command_of_that_name_that_went_out():
    waiting = command("c0")
    off, first, second = (
        replace(command(each, name), dispatched_at=START) for each, name in (("c1", "OFF"), ("c2", "ON"), ("c3", "ON"))
    )
    assert commands.match([waiting, off, first, second], answer(command_id=None)) == first
    assert commands.match([waiting, off], answer(command_id=None)) is None


def test_a_duration_is_guarded_from_the_time_it_was_sent():
    started = on_sent(unit(replace(command(duration_s=60), dispatched_at=START)), "c1", at(1))
    assert started.guard.due_at == at(61) + GUARD_GRACE
    assert on_time(started, at(65.9), TIMEOUT)[1] is False
    again, off_is_due = on_time(started, at(66), TIMEOUT)
    assert off_is_due
    assert again.guard.due_at == at(76)
    assert on_time(again, at(76), TIMEOUT)[0].guard.due_at == at(96), "the pauses grow"


def test_off_reported_after_it_was_sent_ends_the_guard_and_an_older_one_does_not():
    started = on_sent(unit(replace(command(duration_s=60), dispatched_at=START)), "c1", at(10))
    assert on_status(started, False, 0.0, None, at(9)).guard is not None
    assert on_status(started, True, 1.0, None, at(20)).guard is not None
    assert on_status(started, False, 0.0, None, at(30)).guard is None


def test_a_refused_command_needs_no_guard():
    started = on_sent(unit(replace(command(duration_s=60), dispatched_at=START)), "c1", at(1))
    after, ended = on_answer(started, answer(success=False))
    assert ended.state == "failed"
    assert after.guard is None
    assert after.open == ()


def test_a_newer_command_without_a_duration_ends_the_guard_once_the_device_did_it():
    guarded = on_sent(unit(replace(command("c1", duration_s=60), dispatched_at=START)), "c1", at(1))
    both = on_dispatched(admitted(guarded, command("c2")), "c2", at(2))
    assert on_sent(both, "c2", at(3)).guard == guarded.guard
    assert on_answer(both, answer(command_id="c2"))[0].guard is None


def test_acknowledged_off_is_believed_once_the_status_says_off():
    guarded = on_sent(unit(replace(command("c1", duration_s=60), dispatched_at=START)), "c1", at(1))
    both = on_dispatched(admitted(guarded, command("c2", "OFF")), "c2", at(2))
    assert on_answer(both, answer(name="OFF", command_id="c2"))[0].guard is not None


def test_a_shorter_duration_does_not_end_the_watch_over_a_longer_one_before_the_device_took_it():
    guarded = on_sent(unit(replace(command("c1", duration_s=600), dispatched_at=START)), "c1", at(1))
    both = on_sent(on_dispatched(admitted(guarded, command("c2", duration_s=10)), "c2", at(2)), "c2", at(3))
    assert both.guard.due_at == at(601) + GUARD_GRACE
    assert on_answer(both, answer(command_id="c2", seconds=4))[0].guard.due_at == at(13) + GUARD_GRACE


def test_an_older_report_changes_nothing():
    reported = on_status(unit(), True, 1.0, None, at(10))
    assert on_status(reported, False, 0.0, None, at(9)) == reported
    assert on_status(reported, False, 0.0, None, at(10)).state is False, "of one ms the later in the stream counts"


@pytest.mark.parametrize("last", [{"name": "OFF"}, {"name": "PWM", "value": 0.0}])
def test_what_switches_off_cancels_what_would_switch_on_and_was_not_sent_yet(last):
    waits, dims, older = command("c2"), command("c3", "PWM"), command("c4", "OFF")
    after = admitted(unit(SENT, waits, dims, older), command("c5", queued_at=at(3), **last))
    assert [each.command_id for each in after.open] == ["c1", "c4", "c5"]
    assert [(each.command_id, each.state, each.state_reason, each.ended_at) for each in after.ended] == [
        ("c2", "cancelled", "OFF came after it", at(3)),
        ("c3", "cancelled", "OFF came after it", at(3)),
    ]


@pytest.mark.parametrize("last", [{"name": "ON"}, {"name": "TOGGLE"}, {"name": "PWM", "value": 0.1}])
def test_what_may_switch_on_waits_behind_all_that_waits(last):
    after = admitted(unit(command("c2"), command("c3", "OFF")), command("c4", **last))
    assert [each.command_id for each in after.open] == ["c2", "c3", "c4"]
    assert after.ended == ()


@pytest.mark.parametrize(
    ("state", "said", "seconds", "after", "may_be_on"),
    [
        (True, False, 20, True, True),
        (True, True, 20, True, True),
        (None, False, 20, None, True),
        (False, False, 20, False, False),
        (False, True, 9, False, False),
        (False, True, 20, None, True),
    ],
)
def test_by_a_replayed_status_an_actuator_is_never_off_and_may_be_on(state, said, seconds, after, may_be_on):
    replayed = on_replayed_status(unit(state=state, reported_at=at(10)), said, at(seconds))
    assert (replayed.state, replayed.may_be_on) == (after, may_be_on)


def test_a_stop_cancels_what_is_open_and_the_state_is_unknown_until_it_is_reported():
    stopped = on_stop(unit(SENT, command("c2"), state=True, value=1.0), "emergency stop: fire", at(5))
    assert stopped.open == ()
    assert [(each.command_id, each.state) for each in stopped.ended] == [("c1", "cancelled"), ("c2", "cancelled")]
    assert (stopped.state, stopped.value) == (None, None)


@pytest.mark.parametrize(
    ("stops", "covered"),
    [
        ([], False),
        ([stop()], True),
        ([stop("ESP_A")], True),
        ([stop("ESP_A", 5)], True),
        ([stop("ESP_A", 6)], False),
        ([stop("ESP_B"), stop("ESP_B", 5)], False),
    ],
)
def test_a_stop_covers_its_actuator_its_device_or_all(stops, covered):
    in_force = {key_of(each.esp_id, each.gpio): each for each in stops}
    assert (covering(in_force, "ESP_A", 5) is not None) == covered
    assert any(covers(each, "ESP_A", 5) for each in stops) == covered


def cleared(one: Emergency) -> Emergency:
    return one.model_copy(update={"clearing": Clearing(by="ada", reason="dry", asked_at=0)})


@pytest.mark.parametrize(
    ("stops", "found"),
    [
        ([], None),
        ([stop()], "all"),
        ([cleared(stop())], "all"),
        ([cleared(stop()), stop("ESP_A", 5)], "ESP_A.5"),
        ([cleared(stop()), cleared(stop("ESP_A")), stop("ESP_A", 6)], "all"),
        ([stop(), stop("ESP_A", 5)], "all"),
    ],
)
def test_an_actuator_is_locked_by_the_widest_stop_that_nobody_clears(stops, found):
    by = locking({key_of(each.esp_id, each.gpio): each for each in stops}, "ESP_A", 5)
    assert (by and key_of(by.esp_id, by.gpio)) == found


def test_a_device_is_told_of_the_widest_stop_first():
    stops = [stop("ESP_A", 6), stop("ESP_B"), stop("ESP_A"), stop(), stop("ESP_A", 5)]
    told = [key_of(each.esp_id, each.gpio) for each in of_device(stops, "ESP_A")]
    assert told == ["all", "ESP_A", "ESP_A.5", "ESP_A.6"]


def test_an_alert_of_gpio_255_is_about_the_whole_device():
    assert target_of_alert("ESP_A", 255) == ("ESP_A", None)
    assert target_of_alert("ESP_A", 5) == ("ESP_A", 5)


PUMP = Unit("ESP_A", 5, "god", ActuatorSettings(max_runtime_s=600, min_value=0.2, max_value=0.8), registered=True)
VALVE = Unit("ESP_A", 6, "god", ActuatorSettings(interlocks=[5]), registered=True)


@pytest.mark.parametrize(
    ("request_", "actuator", "siblings", "stops", "recent", "status", "code"),
    [
        ({"command": "ON"}, None, [], {}, 0, 404, 5202),
        ({"command": "ON"}, replace(PUMP, registered=False), [], {}, 0, 404, 5202),
        ({"command": "OFF"}, None, [], {}, 0, 404, 5202),
        ({"command": "OFF"}, replace(PUMP, registered=False), [], {}, 0, None, None),
        ({"command": "OFF"}, replace(PUMP, settings=ActuatorSettings(active=False)), [], {}, 0, None, None),
        ({"command": "ON"}, replace(PUMP, settings=ActuatorSettings(active=False)), [], {}, 0, 409, 5413),
        ({"command": "ON"}, PUMP, [], {"all": stop()}, 0, 423, 5411),
        ({"command": "TOGGLE"}, PUMP, [], {"ESP_A": stop("ESP_A")}, 0, 423, 5411),
        ({"command": "PWM", "value": 0.5}, PUMP, [], {"ESP_A.5": stop("ESP_A", 5)}, 0, 423, 5411),
        ({"command": "OFF"}, PUMP, [], {"all": stop()}, 999, None, None),
        ({"command": "PWM", "value": 0.9}, PUMP, [], {}, 0, 422, 5207),
        ({"command": "PWM", "value": 0.1}, PUMP, [], {}, 0, 422, 5207),
        ({"command": "PWM", "value": 0.0}, PUMP, [], {}, 0, None, None),
        ({"command": "PWM", "value": 0.2}, PUMP, [], {}, 0, None, None),
        ({"command": "ON", "duration_s": 601}, PUMP, [], {}, 0, 422, 5207),
        ({"command": "ON", "duration_s": 600}, PUMP, [], {}, 0, None, None),
        ({"command": "ON"}, VALVE, [replace(PUMP, state=True)], {}, 0, 409, 5412),
        ({"command": "ON"}, PUMP, [replace(VALVE, state=True)], {}, 0, 409, 5412),
        ({"command": "ON"}, VALVE, [replace(PUMP, open=(command(),))], {}, 0, 409, 5412),
        ({"command": "ON"}, VALVE, [replace(PUMP, open=(command(name="OFF"),))], {}, 0, None, None),
        ({"command": "ON"}, VALVE, [replace(PUMP, state=False)], {}, 0, None, None),
        ({"command": "ON"}, VALVE, [replace(PUMP, state=None, reported_at=START)], {}, 0, 409, 5412),
        ({"command": "ON"}, PUMP, [], {}, 60, 429, 5404),
        ({"command": "ON"}, PUMP, [], {}, 59, None, None),
    ],
)
def test_the_checks_before_a_command_is_sent(request_, actuator, siblings, stops, recent, status, code):
    asked = CommandRequest(**request_)
    if status is None:
        assert check_command(actuator, siblings, asked, stops, recent, 60) == actuator
        return
    with pytest.raises(RpcError) as refused:
        check_command(actuator, siblings, asked, stops, recent, 60)
    assert (refused.value.problem.status, refused.value.problem.code) == (status, code)


@pytest.mark.parametrize(
    ("device", "command", "queue", "status", "code"),
    [
        (None, "ON", False, 404, 5001),
        (DeviceRecord(esp_id="ESP_A", kaiser_id="god", state="pending", online=True), "ON", False, 409, 5001),
        (DeviceRecord(esp_id="ESP_A", kaiser_id="god", state="approved"), "ON", False, 409, 5007),
        (DeviceRecord(esp_id="ESP_A", kaiser_id="god", state="approved"), "TOGGLE", False, 409, 5007),
        (DeviceRecord(esp_id="ESP_A", kaiser_id="god", state="approved"), "OFF", False, None, None),
        (DeviceRecord(esp_id="ESP_A", kaiser_id="god", state="approved"), "ON", True, None, None),
        (DeviceRecord(esp_id="ESP_A", kaiser_id="god", state="approved", online=True), "ON", False, None, None),
    ],
)
def test_a_command_needs_a_device_that_is_let_in_and_online_or_may_be_waited_for_and_off_none_online(
    device, command, queue, status, code
):
    asked = CommandRequest(command=command, queue=queue)
    if status is None:
        check_reachable(check_device(device, "ESP_A"), asked)
        return
    with pytest.raises(RpcError) as refused:
        check_reachable(check_device(device, "ESP_A"), asked)
    assert (refused.value.problem.status, refused.value.problem.code) == (status, code)


def test_what_goes_to_the_device_is_within_what_the_operator_allowed():
    assert value_of(PUMP, CommandRequest(command="ON")) == 0.8
    assert value_of(PUMP, CommandRequest(command="OFF", value=0.5)) == 0.0
    assert duration_of(PUMP, CommandRequest(command="ON")) == 600, "never longer than the longest runtime"
    assert duration_of(PUMP, CommandRequest(command="ON", duration_s=20)) == 20
    assert duration_of(PUMP, CommandRequest(command="OFF", duration_s=20)) == 0
    assert expiry_of(CommandRequest(command="ON"), START, TIMEOUT) == at(10)
    assert expiry_of(CommandRequest(command="ON", queue=True, expires_s=90), START, TIMEOUT) == at(90)


@pytest.mark.parametrize(
    ("fields", "waits_s", "expected_s"),
    [
        ({"command": "ON"}, 5, 5),
        ({"command": "TOGGLE"}, 5, 5),
        ({"command": "ON"}, 60, 10),
        ({"command": "OFF"}, 5, 10),
        ({"command": "ON", "queue": True, "expires_s": 90}, 5, 90),
    ],
)
def test_a_command_that_switches_on_expires_when_its_caller_stops_waiting(fields, waits_s, expected_s):
    deadline_ms = int(at(waits_s).timestamp() * 1000)
    assert expiry_of(CommandRequest(**fields), START, TIMEOUT, deadline_ms) == at(expected_s)


def test_pwm_without_a_value_and_a_range_upside_down_are_refused():
    with pytest.raises(ValidationError, match="PWM needs a value"):
        CommandRequest(command="PWM")
    with pytest.raises(ValidationError, match="min_value is above max_value"):
        ActuatorSettings(min_value=0.9, max_value=0.1)


HAPPENINGS = st.lists(
    st.tuples(
        st.sampled_from(
            ["command", "off", "sent", "answer", "refusal", "anonymous", "status", "stop", "clear", "wait"]
        ),
        st.integers(min_value=0, max_value=3),
        st.floats(min_value=0.0, max_value=30.0),
    ),
    max_size=40,
)


@given(HAPPENINGS)
def test_no_sequence_leaves_a_command_open_for_ever_or_a_stopped_actuator_switched_on(happenings):
    """A device that believes what it is told, messages that get lost, come twice or late."""
    one, stopped, now, issued = unit(), False, START, 0
    for what, which, seconds in happenings:
        now += timedelta(seconds=seconds)
        open_ids = [each.command_id for each in one.open]
        some_id = open_ids[which % len(open_ids)] if open_ids else "gone"
        if what in ("command", "off"):
            asked = CommandRequest(command="ON" if what == "command" else "OFF", duration_s=which * 10)
            try:
                check_command(one, [], asked, {"all": stop()} if stopped else {}, 0, 60)
            except RpcError:
                assert stopped
                assert what == "command"
                continue
            issued += 1
            new = command(f"c{issued}", asked.command, duration_s=asked.duration_s, expires_at=now + TIMEOUT)
            one = on_dispatched(admitted(one, new), new.command_id, now)
        elif what == "sent":
            one = on_sent(one, some_id, now)
        elif what in ("answer", "refusal", "anonymous"):
            said = CommandAnswer("ON", what != "refusal", None if what == "anonymous" else some_id, None, now)
            one, _ = on_answer(one, said)
        elif what == "status":
            one = on_status(one, which > 1 and not stopped, 1.0, None, now)
        elif what == "stop":
            stopped = True
            one = on_stop(one, "emergency stop", now)
        elif what == "clear":
            stopped = False
        else:
            one, _ = on_time(one, now, TIMEOUT)
        ended = [each.command_id for each in one.ended]
        assert len(ended) == len(set(ended)), "a command ends once"
        if stopped:
            assert one.state is not True
            assert not any(each.switches_on for each in one.open), "nothing may switch it on while it is stopped"
    for _ in range(50):
        due = next_deadline(one)
        if due is None or not one.open:
            break
        one, _ = on_time(one, due, TIMEOUT)
    assert one.open == (), "every command comes to an end by time alone"
    assert all(each.ended_at is not None for each in one.ended)


def test_a_name_changes_a_name_only_and_a_limit_must_fit_the_others():
    before = ActuatorSettings(actuator_type="pump", name="P", max_runtime_s=600, max_value=0.4, interlocks=[26])
    assert patched(ActuatorSettings, before, ActuatorPatch(name="Pump 1")) == before.model_copy(
        update={"name": "Pump 1"}
    )
    after = patched(ActuatorSettings, before, ActuatorPatch(name=None, interlocks=[]))
    assert after.model_dump(exclude_defaults=True) == {
        "actuator_type": "pump",
        "max_runtime_s": 600,
        "max_value": 0.4,
    }
    with pytest.raises(RpcError, match="min_value is above max_value"):
        patched(ActuatorSettings, before, ActuatorPatch(min_value=0.5))


@pytest.mark.parametrize(("year", "base"), [(1970, 0), (2020, 0), (2026, 189_388_800 << 24)])
def test_the_numbers_of_a_bucket_are_never_below_0_whatever_the_clock_said_when_it_was_made(year, base):
    """A number below 0 would be older than every stop: ingest would hold each clear back."""
    assert Numbers(datetime(year, 1, 1, tzinfo=UTC)).base == base
