"""Readings without a clock have times of their own; wrong clocks are named; what must not be taken is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.actuator import EmergencyAnswer
from kaiser_common.contract.schemas.device import Heartbeat
from kaiser_common.contract.schemas.sensor import Reading
from kaiser_common.contract.topics import Kind
from kaiser_ingest.domain.admission import admit
from kaiser_ingest.domain.clocks import ClockWatch, ServerTimes
from kaiser_ingest.domain.outgoing import to_outgoing, to_rejected, unreadable_alert
from kaiser_ingest.domain.unknown_alerts import UnknownAlerts
from kaiser_ingest.domain.validate import Accepted, Rejection, validate

NOW = 1_767_225_700_000


def reading(ts: int, *, address: str = "", value: float = 1.0, clock: str = "server") -> Reading:
    return Reading(
        kaiser_id="god",
        esp_id="ESP_1",
        gpio=4,
        sensor_type="ds18b20",
        address=address,
        ts=ts,
        clock=clock,  # type: ignore[arg-type]
        received_at=ts,
        raw_mode=False,
        value=value,
    )


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["", "A" * 16, "B" * 16])), max_size=200))
def test_no_two_readings_of_a_sensor_without_a_clock_share_a_millisecond(steps: list[tuple[int, str]]) -> None:
    times = ServerTimes()
    now, given_out = NOW, []
    for later_ms, address in steps:
        now += later_ms
        found = times.of(reading(now, address=address))
        assert found.ts >= now
        assert found.received_at == now
        given_out.append((address, found.ts))
    assert len(set(given_out)) == len(given_out)


def test_a_sensor_under_another_name_of_its_type_takes_no_millisecond_twice() -> None:
    times = ServerTimes()
    names = ("ds18b20", "DS18B20", "temperature_ds18b20")
    found = [times.of(reading(NOW).model_copy(update={"sensor_type": name})).ts for name in names]
    assert found == [NOW, NOW + 1, NOW + 2]


def test_the_table_of_times_is_bounded() -> None:
    times = ServerTimes()
    for number in range(60_000):
        times.of(reading(NOW).model_copy(update={"esp_id": f"ESP_{number}"}))
    assert len(times._last) == 50_000


def beat(at: int, behind_ms: int = 0, **fields: object) -> Heartbeat:
    return Heartbeat(kaiser_id="god", esp_id="ESP_1", ts=at - behind_ms, received_at=at, **fields)  # type: ignore[arg-type]


def test_a_clock_ahead_is_named_once_an_hour() -> None:
    watch = ClockWatch()
    ahead = beat(NOW, clock="server", device_ts=NOW + 7_200_000)
    found = watch.note(ahead)
    assert found is not None
    assert (found.event, found.esp_id, found.off_s) == ("clock_ahead", "ESP_1", 7200)
    assert watch.note(ahead) is None
    later = NOW + 3_600_000
    assert watch.note(beat(later, clock="server", device_ts=later + 7_200_000)) is not None


@pytest.mark.parametrize("ts", [10**17, 2**63, 10**300, 1e300])
def test_a_clock_beyond_every_date_is_named_too(ts: float) -> None:
    payload = f'{{"ts":{ts},"uptime":1}}'.encode()
    (accepted,) = validate("kaiser/god/esp/ESP_1/system/heartbeat", payload, NOW)
    assert isinstance(accepted, Accepted)
    found = ClockWatch().note(accepted.message)  # type: ignore[arg-type]
    assert found is not None
    assert (found.event, found.esp_id) == ("clock_ahead", "ESP_1")


def test_a_device_without_a_clock_is_not_ahead() -> None:
    assert ClockWatch().note(beat(NOW, clock="server", device_ts=0)) is None


@pytest.mark.parametrize("days_up", [0, 1, 19, 20, 23, 49])
def test_milliseconds_since_the_start_are_no_date_however_long_a_device_runs(days_up: int) -> None:
    """Both generations date the answer to a clear so; as seconds, 19 days are 2022 and 23 days are 2032."""
    up_ms = 734_000 + days_up * 86_400_000
    payload = b'{"status":"emergency_cleared","timestamp":%d}' % up_ms
    (outcome,) = validate("kaiser/god/esp/ESP_1/actuator/emergency/response", payload, NOW)
    assert isinstance(outcome, Accepted)
    answer = outcome.message
    assert isinstance(answer, EmergencyAnswer)
    assert (answer.ts, answer.clock, answer.device_ts) == (NOW, "server", up_ms)
    assert ClockWatch().note(answer) is None


def test_a_clock_behind_is_named_after_half_a_minute_of_old_heartbeats() -> None:
    watch = ClockWatch()
    assert watch.note(beat(NOW, 300_000)) is None
    assert watch.note(beat(NOW + 29_000, 300_000)) is None
    found = watch.note(beat(NOW + 30_000, 300_000))
    assert found is not None
    assert (found.event, found.off_s) == ("clock_behind", 300)


def test_heartbeats_that_waited_at_the_broker_do_not_make_a_clock_wrong() -> None:
    watch = ClockWatch()
    for waited_ms in range(600_000, 60_000, -60_000):
        assert watch.note(beat(NOW, waited_ms)) is None
    assert watch.note(beat(NOW + 60_000)) is None
    assert watch.note(beat(NOW + 120_000, 70_000)) is None


DATA = b'{"ts":1767225600,"gpio":4,"sensor_type":"ph","raw":1,"raw_mode":true}'


@pytest.mark.parametrize(
    ("registered", "oldest_ms", "code"),
    [
        ({"ESP_1": None}, 0, None),
        ({"ESP_1": "north"}, 0, None),
        ({"ESP_1": "god"}, 0, Code.TOPIC_MISMATCH),
        ({}, 0, Code.ESP_DEVICE_NOT_FOUND),
        ({"ESP_1": None}, 1_767_225_600_001, Code.VALUE_OUT_OF_RANGE),
        ({"ESP_1": None}, 1_767_225_600_000, None),
    ],
)
def test_who_is_taken(registered: dict[str, str | None], oldest_ms: int, code: Code | None) -> None:
    topic = "kaiser/north/esp/ESP_1/sensor/4/data"
    (outcome,) = admit(validate(topic, DATA, NOW), registered, oldest_ms, DATA)
    assert (outcome.code if isinstance(outcome, Rejection) else None) == code


def test_of_a_batch_only_what_is_too_old_is_refused() -> None:
    payload = b'{"ts":1767225600,"esp_id":"ESP_1","sensors":[{"gpio":4,"sensor_type":"ph","value":7}]}'
    outcomes = validate("kaiser/god/esp/ESP_1/sensor/batch", payload, NOW)
    assert [type(one) for one in admit(outcomes, {"ESP_1": None}, NOW, payload)] == [Rejection]


def test_another_figure_under_the_same_time_has_another_id_and_the_same_one_has_not() -> None:
    first, again, other = (
        to_outgoing(Accepted(Kind.SENSOR_DATA, "god", "ESP_1", 4, reading(NOW, value=value, clock="device")), "")
        for value in (1.0, 1.0, 2.0)
    )
    assert first.msg_id == again.msg_id != other.msg_id
    with_address = reading(NOW, address="A" * 16, clock="device")
    assert to_outgoing(Accepted(Kind.SENSOR_DATA, "god", "ESP_1", 4, with_address), "").msg_id != first.msg_id


def test_an_alert_that_cannot_be_read_becomes_a_critical_event() -> None:
    payload = b'{"ts":0,"gpio":25,"alert_type":"emergency_stop","message":"float "switch""}'
    (rejection,) = validate("kaiser/god/esp/ESP_1/actuator/25/alert", payload, NOW)
    assert isinstance(rejection, Rejection)
    assert rejection.kind is Kind.ACTUATOR_ALERT
    event = unreadable_alert(rejection, "kaiser/god/esp/ESP_1/actuator/25/alert", NOW, "d")
    assert event.subject == "event.system_event.ESP_1"
    assert b'"unreadable_alert"' in event.body
    assert b'"critical"' in event.body


def test_alerts_of_unknown_devices_become_one_event_an_hour_each_and_thirty_a_minute() -> None:
    alerts = UnknownAlerts()

    def published(esp_id: str, at: int) -> bool:
        if not alerts.allows(esp_id, at, ()):
            return False
        alerts.published({esp_id: at})
        return True

    assert [published("ESP_1", NOW + at) for at in (0, 1, 3_599_999)] == [True, False, False]
    assert sum(published(f"ESP_X{number}", NOW + 3_599_999) for number in range(2_000)) == 30
    assert published("ESP_1", NOW + 3_700_000)


def test_an_alert_of_an_unknown_device_whose_event_was_not_stored_becomes_one_when_it_comes_again() -> None:
    alerts = UnknownAlerts()
    assert [alerts.allows("ESP_1", NOW, ()), alerts.allows("ESP_1", NOW + 1, ())] == [True, True]
    assert [alerts.allows("ESP_1", NOW, {"ESP_1"}), alerts.allows("ESP_2", NOW, {"ESP_1"})] == [False, True]
    on_their_way = {f"ESP_X{number}" for number in range(30)}
    assert not alerts.allows("ESP_1", NOW, on_their_way)


def test_a_clock_that_is_set_back_holds_no_alert_of_an_unknown_device_back() -> None:
    alerts = UnknownAlerts()
    alerts.published({f"ESP_X{number}": NOW for number in range(30)})
    assert not alerts.allows("ESP_1", NOW, ())
    assert alerts.allows("ESP_1", NOW - 7_200_000, ())
    assert alerts.allows("ESP_X1", NOW - 7_200_000, ())


def test_of_a_large_payload_sixteen_kilobytes_are_kept() -> None:
    (rejection,) = validate("kaiser/god/esp/ESP_1/sensor/4/data", b"x" * 60_000, NOW)
    assert isinstance(rejection, Rejection)
    assert len(to_rejected(rejection, "t", NOW, "d").body) < 23_000
