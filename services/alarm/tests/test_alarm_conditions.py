"""The meaning of events: built-in conditions, limits, and what is not known."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kaiser_alarm.domain.conditions import (
    BEGINS,
    ENDS,
    OF_PARTS,
    is_momentary,
    of_alert,
    of_config,
    of_execution,
    of_response,
    of_system_event,
)
from kaiser_alarm.domain.decode import findings_of
from kaiser_alarm.domain.life import Clear, Key, Raise
from kaiser_alarm.domain.limits import LimitWatch, Sensor, contradiction, dropped
from kaiser_alarm.domain.readings import Watch
from kaiser_alarm.store.limits import sensor_of
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.schemas.api.alarms import LimitsBody, LimitsKey, SensorLimits
from kaiser_common.contract.schemas.api.sensors import ReadingItem
from kaiser_common.contract.schemas.event import (
    ActuatorAlertEvent,
    ActuatorResponseEvent,
    ConfigResponseEvent,
    LogicExecutionEvent,
    SensorDataEvent,
    SystemEvent,
)

SENSOR = Sensor("ESP_1", 4, "ds18b20", "28FF641E8D3C0C79")
STORED_NS = 1_767_225_700_000_000_000


def said(event, severity="warning", esp_id="ESP_1", **details):
    (found,) = of_system_event(
        SystemEvent(event=event, severity=severity, message="m", esp_id=esp_id, details=details, ts=5)
    )
    return found


@pytest.mark.parametrize(
    ("event", "details", "key"),
    [
        ("device_offline", {}, Key("device_offline", "ESP_1")),
        ("emergency_stop", {"gpio": None}, Key("stop_in_force", "ESP_1")),
        ("emergency_stop", {"gpio": 25}, Key("stop_in_force", "ESP_1/25")),
        ("device_error", {"error_code": 1020}, Key("device_error", "ESP_1/1020")),
        ("rule_notification", {"rule_id": "ab"}, Key("rule_notification", "ab")),
        ("rule_notification", {"rule_id": "ab", "further": "1.2"}, Key("rule_notification", "ab/1.2")),
        ("clock_ahead", {}, Key("clock_ahead", "ESP_1")),
        ("unreadable_alert", {}, Key("unreadable_alert", "ESP_1")),
    ],
)
def test_a_system_event_begins_its_condition(event, details, key):
    found = said(event, **details)
    assert isinstance(found, Raise)
    assert found.key == key


@pytest.mark.parametrize(
    ("begins", "ends", "esp_id", "details"),
    [
        ("device_offline", "device_online", "ESP_1", {}),
        ("emergency_stop", "emergency_cleared", None, {}),
        ("emergency_stop", "emergency_cleared", "ESP_1", {"gpio": 25}),
        ("ingest_stalled", "ingest_goes_on", None, {"source": "ingest.god"}),
        ("mqtt_breaker_open", "mqtt_breaker_closed", None, {"source": "ingest.god"}),
        ("mqtt_breaker_open", "mqtt_breaker_closed", None, {}),
    ],
)
def test_an_event_ends_what_its_counterpart_began(begins, ends, esp_id, details):
    assert said(ends, esp_id=esp_id, **details).key == said(begins, esp_id=esp_id, **details).key
    assert isinstance(said(ends, esp_id=esp_id, **details), Clear)


def test_a_condition_is_momentary_where_no_event_ends_it():
    for begins in BEGINS.values():
        assert begins.momentary == is_momentary(begins.kind), begins
        assert begins.momentary != (begins.kind in {kind for kind, _ in ENDS.values()} | OF_PARTS), begins


@pytest.mark.parametrize("kind", sorted(OF_PARTS - {"broker_unreachable"}))
def test_what_a_part_of_kaiser_lists_as_over_ends_the_condition_that_it_reported(kind):
    begun = said(kind, "critical", esp_id=None, source="part")
    assert (begun.key, is_momentary(kind)) == (Key(kind, "part"), False)
    over = SystemEvent(
        event="conditions_over", message="m", details={"over": [[kind, "part"], ["device_offline", "ESP_1"]]}, ts=5
    )
    assert list(of_system_event(over)) == [Clear(Key(kind, "part"), 5)]


def test_a_critical_event_that_is_unknown_is_not_lost():
    found = said("new_danger!", "critical")
    assert (found.key, found.severity, is_momentary(found.key.kind)) == (
        Key("new_danger_", "ESP_1"),
        "critical",
        True,
    )
    assert list(of_system_event(SystemEvent(event="new_thing", severity="error", message="m", ts=5))) == []


def test_a_rule_that_is_withdrawn_can_fail_no_more():
    assert said("rule_withdrawn", "info", rule_id="r1") == Clear(Key("rule_failed", "r1"), 5)


def test_the_silence_of_a_sensor_that_is_made_inactive_ends():
    begun = next(Watch().findings(pack({"quality": "stale"}).body, 5, []))
    assert said("sensor_unwatched", "info", source=SENSOR.source) == Clear(begun.key, 5)


def test_the_severity_of_a_device_error_is_the_devices():
    assert said("device_error", "critical", error_code=1).severity == "critical"
    assert said("device_error", "error", error_code=1).severity == "warning"


def test_a_failed_command_is_ended_by_the_next_that_succeeds():
    def response(success, command_id="c"):
        event = ActuatorResponseEvent(
            kaiser_id="god", esp_id="ESP_1", gpio=25, command="ON", success=success, command_id=command_id, ts=5
        )
        return list(of_response(event))

    (failed,), (succeeded,) = response(False), response(True)
    assert isinstance(failed, Raise)
    assert succeeded == Clear(failed.key, 5)
    assert response(False, None) == []


def test_other_events_have_their_conditions():
    alert = ActuatorAlertEvent(kaiser_id="god", esp_id="ESP_1", gpio=25, alert_type="runtime_protection", ts=5)
    assert [found.key for found in of_alert(alert)] == [Key("actuator_alert", "ESP_1/25/runtime_protection")]
    assert list(of_alert(alert.model_copy(update={"alert_type": "emergency_stop"}))) == []
    assert list(of_alert(alert.model_copy(update={"replayed": True}))) == [], "it says nothing about now"
    config = ConfigResponseEvent(kaiser_id="god", esp_id="ESP_1", status="timeout", ts=5)
    assert [found.key for found in of_config(config)] == [Key("config_failed", "ESP_1")]
    assert list(of_config(config.model_copy(update={"status": "pending"}))) == []
    done = LogicExecutionEvent(rule_id="ab", rule_name="r", execution_id="e", success=False, outcome="failed", ts=5)
    assert [found.key for found in of_execution(done)] == [Key("rule_failed", "ab")]
    assert list(of_execution(done.model_copy(update={"outcome": "suppressed"}))) == []


@pytest.mark.parametrize(("topic", "said"), [("kaiser/god/esp/ESP_1/actuator/25/alert", "note"), (None, "reason")])
def test_the_words_of_a_device_are_a_note_and_those_of_kaiser_a_reason(topic: str | None, said: str):
    """A reason is English in each language; a note is shown as it is."""
    alert = ActuatorAlertEvent(
        kaiser_id="god", esp_id="ESP_1", gpio=25, alert_type="safety_violation", message="it is on", ts=5, topic=topic
    )
    [found] = of_alert(alert)
    assert isinstance(found, Raise)
    assert found.facts == {"alert_type": "safety_violation", said: "it is on"}


LIMITS = LimitsBody(hi_hi=40, hi=30, lo=10, lo_lo=0, hysteresis=2, delay_s=10)


def judged(watch, value, at_s, quality="good"):
    return [(type(found).__name__, found.key.kind) for found in watch.judge(value, "°C", quality, at_s * 1000)]


def test_a_limit_is_raised_after_its_delay_and_cleared_behind_its_hysteresis():
    watch = LimitWatch(SENSOR, LimitsBody(hi=30, hysteresis=2, delay_s=10))
    assert judged(watch, 31, 0) == []
    assert judged(watch, 31, 9) == []
    assert judged(watch, 31, 10) == [("Raise", "limit_hi")]
    assert judged(watch, 29, 11) == []
    assert judged(watch, 28, 12) == [("Clear", "limit_hi")]
    assert judged(watch, 31, 13) == []


def test_a_single_reading_inside_begins_the_delay_again():
    watch = LimitWatch(SENSOR, LimitsBody(lo=10, delay_s=10))
    assert judged(watch, 9, 0) == []
    assert judged(watch, 11, 5) == [("Clear", "limit_lo")]
    assert judged(watch, 9, 10) == []
    assert judged(watch, 9, 20) == [("Raise", "limit_lo")]


@pytest.mark.parametrize("quality", ["bad", "error", "stale"])
def test_a_value_that_is_not_known_raises_nothing_and_clears_nothing(quality):
    watch = LimitWatch(SENSOR, LIMITS)
    assert judged(watch, 100, 0, quality) == []
    assert judged(watch, 20, 1, quality) == []
    assert judged(watch, None, 2) == []


def test_a_reading_that_comes_late_is_ignored():
    watch = LimitWatch(SENSOR, LimitsBody(hi=30))
    assert judged(watch, 31, 100) == [("Raise", "limit_hi")]
    assert judged(watch, 20, 50) == []


@pytest.mark.parametrize(
    ("limits", "fields"),
    [
        ({}, "hi_hi, hi, lo, lo_lo"),
        ({"hi_hi": 30, "hi": 30}, "hi_hi, hi"),
        ({"hi": 10, "lo": 20}, "hi, lo"),
        ({"hi_hi": 5, "lo_lo": 6}, "hi_hi, lo_lo"),
        ({"lo": 1, "lo_lo": 2}, "lo, lo_lo"),
        ({"hi": 30, "lo": 28, "hysteresis": 2}, "hysteresis"),
    ],
)
def test_limits_that_contradict_each_other_are_named(limits, fields):
    assert contradiction(LimitsBody(**limits)).fields == fields


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.floats(-100, 100), st.sampled_from(["good", "bad", "stale", "unknown"])), max_size=40))
def test_a_level_never_holds_while_a_level_on_the_other_side_does(readings):
    watch = LimitWatch(SENSOR, LimitsBody(hi_hi=40, hi=30, lo=10, lo_lo=0, hysteresis=15))
    assert contradiction(watch.limits) is None
    active = set()
    for second, (value, quality) in enumerate(readings):
        for found in watch.judge(value, None, quality, second * 1000):
            if isinstance(found, Raise):
                active.add(found.key.kind)
            else:
                active.discard(found.key.kind)
        assert not ({"limit_hi", "limit_hi_hi"} & active and {"limit_lo", "limit_lo_lo"} & active)
        assert "limit_hi" in active or "limit_hi_hi" not in active
        assert "limit_lo" in active or "limit_lo_lo" not in active


def test_the_conditions_of_limits_that_are_taken_away():
    assert [key.kind for key in dropped(SENSOR, LIMITS, LimitsBody(hi=30))] == [
        "limit_hi_hi",
        "limit_lo",
        "limit_lo_lo",
    ]
    assert len(dropped(SENSOR, LIMITS, None)) == 4
    assert dropped(SENSOR, None, LIMITS) == []


def pack(*readings):
    body = b"\n".join(
        SensorDataEvent(
            kaiser_id="god",
            esp_id="ESP_1",
            gpio=4,
            address=SENSOR.address,
            ts=1000 * place,
            **{"sensor_type": "ds18b20", **each},
        )
        .model_dump_json()
        .encode()
        for place, each in enumerate(readings)
    )
    return Delivery("event.sensor_data.0", f"$JS.ACK.EVENTS.c.1.7.1.{STORED_NS}.0", body, None)


def kinds(watch, *deliveries, watched=()):
    found, unreadable = findings_of(deliveries, watch, watched)
    assert unreadable == []
    return [(type(one).__name__, one.key.kind, one.key.source) for one, _ in found]


def test_silence_and_faults_of_sensors_are_found_and_ended_by_a_reading():
    silent = pack({"quality": "stale"})
    assert kinds(Watch(), silent) == [("Raise", "sensor_silent", SENSOR.source)]
    assert kinds(Watch(), pack({"quality": "error"})) == [
        ("Clear", "sensor_silent", SENSOR.source),
        ("Raise", "sensor_fault", SENSOR.source),
    ]
    assert kinds(Watch(), pack({"quality": "good", "value": 20.0})) == []
    assert kinds(Watch(), pack({"quality": "good", "value": 20.0}), watched={"ESP_1"}) == [
        ("Clear", "sensor_silent", SENSOR.source),
        ("Clear", "sensor_fault", SENSOR.source),
    ]


def test_a_fault_that_begins_and_ends_within_one_batch_ends():
    bad, good = {"quality": "error"}, {"quality": "good", "value": 20.0}
    ends = ("Clear", "sensor_fault", SENSOR.source)
    assert kinds(Watch(), pack(bad, good))[-1] == ends
    assert kinds(Watch(), pack(bad), pack(good))[-1] == ends


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("others", [0, 1, 20])
def test_a_pack_that_is_mostly_good_is_read_wherever_its_fault_is(place, others):
    readings = [{"quality": "good", "value": 20.0}, {"quality": "good", "value": 20.0, "sensor_name": '"bad"'}]
    watched = {f"ESP_OTHER_{number}" for number in range(others)}
    good = pack(*readings)
    assert kinds(Watch(), good, watched=watched) == []
    readings.insert(place, {"quality": "bad", "value": 85.0})
    assert ("Raise", "sensor_fault", SENSOR.source) in kinds(Watch(), pack(*readings), watched=watched)


def test_a_reading_dated_ahead_raises_no_limit_and_clears_none():
    key = LimitsKey(esp_id="ESP_1", gpio=4, sensor_type="ds18b20", address=SENSOR.address)
    watch = Watch()
    watch.set_limits({SENSOR: SensorLimits(sensor=key, limits=LimitsBody(hi=30), changed_at=0, changed_by="ada")})
    good = {"quality": "good", "clock": "server"}
    ahead = {**good, "device_ts": 2_082_585_600_000}
    without_a_clock = {**good, "device_ts": -1}

    def limits(*readings):
        return [(name, kind) for name, kind, _ in kinds(watch, pack(*readings)) if kind == "limit_hi"]

    assert limits({**ahead, "value": 31.0}) == []
    assert limits({**without_a_clock, "value": 31.0}) == [("Raise", "limit_hi")]
    assert limits({**ahead, "value": 20.0}) == []
    assert limits({**without_a_clock, "value": 20.0}) == [("Clear", "limit_hi")]

    newest = ReadingItem(**SENSOR._asdict(), ts=1000, value=31.0, quality="good", data_source="real", state="known")
    dated_ahead = newest.model_copy(update={"device_ts": 2_082_585_600_000})
    assert [one.key.kind for one in watch.newest(SENSOR, dated_ahead, 7)] == ["sensor_silent", "sensor_fault"]
    assert [one.key.kind for one in watch.newest(SENSOR, newest, 7)][2:] == ["limit_hi"]


@pytest.mark.parametrize("written", ["MySensor", "mysensor", "DS18B20", "temperature_ds18b20"])
def test_a_limit_holds_however_the_device_writes_the_type_of_its_sensor(written):
    """A sensor without a library comes as its device writes it; the key of a limit is in lower case."""
    key = LimitsKey(esp_id="ESP_1", gpio=4, sensor_type=written, address=SENSOR.address)
    watch = Watch()
    limits = SensorLimits(sensor=key, limits=LimitsBody(hi=30), changed_at=0, changed_by="ada")
    watch.set_limits({sensor_of(key): limits})
    over = {"sensor_type": written, "quality": "good", "value": 31.0}
    assert ("Raise", "limit_hi", sensor_of(key).source) in kinds(watch, pack(over))


def test_an_alarm_begins_when_the_bus_has_its_event_and_readings_are_judged_by_their_own_time():
    key = LimitsKey(esp_id="ESP_1", gpio=4, sensor_type="ds18b20", address=SENSOR.address)
    watch = Watch()
    watch.set_limits(
        {SENSOR: SensorLimits(sensor=key, limits=LimitsBody(hi=30, delay_s=1), changed_at=0, changed_by="ada")}
    )
    found, _ = findings_of([pack({"value": 31.0, "quality": "good"}, {"value": 31.0, "quality": "good"})], watch, ())
    (limit,) = [one for one, _ in found if one.key.kind == "limit_hi"]
    assert limit.at == STORED_NS // 1_000_000


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("broken", [b"{not json", b"7", b'{"esp_id":7}', b'{"quality":"\xff"}'])
def test_a_line_that_cannot_be_read_takes_no_finding_of_its_pack_with_it(place, broken):
    whole = pack({"quality": "stale"}, {"quality": "error"})
    lines = whole.lines()
    lines.insert(place, broken)
    torn = Delivery(whole.subject, whole.reply, b"\n".join(lines), None)
    found, unreadable = findings_of([torn], Watch(), ())
    assert (found, []) == findings_of([whole], Watch(), ())
    assert [(one.body, one.first_line) for one, _ in unreadable] == [(broken, place)]


def test_what_cannot_be_read_is_apart_and_stops_nothing():
    bad = Delivery("event.system_event._", "$JS.ACK.EVENTS.c.1.8.2.1.0", b"{}", None)
    torn = Delivery("event.sensor_data.0", "$JS.ACK.EVENTS.c.1.9.3.1.0", b'{"quality":"stale"', None)
    found, unreadable = findings_of([bad, torn, pack({"quality": "stale"})], Watch(), ())
    assert [delivery for delivery, _ in unreadable] == [bad, torn]
    assert [one.key.kind for one, _ in found] == ["sensor_silent"]
