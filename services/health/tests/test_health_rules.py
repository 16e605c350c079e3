"""The pure rules of a device's life: presence, pushes, decoding."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_common.bus.pull import Delivery
from kaiser_common.bus.rpc import RpcError
from kaiser_common.contract.schemas.device import DeviceConfig, SensorItem
from kaiser_common.contract.topics import Kind
from kaiser_health.domain.decode import decode
from kaiser_health.domain.device_codes import meaning
from kaiser_health.domain.downlink import check_command, check_size, config_payload
from kaiser_health.domain.pending import PendingLimit
from kaiser_health.domain.presence import has_rebooted, new_pending, will_counts
from kaiser_health.domain.pushes import DeviceAnswer, Push, answered, config_state, match, overdue, superseded

T0 = datetime(2026, 1, 1, tzinfo=UTC)
S = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("will_at", "received_at", "has_clock", "retained", "last_seen_at", "counts"),
    [
        (T0 - 3600 * S, T0, True, False, T0 - S, True),  # its own time is that of CONNECT
        (T0, T0, True, False, T0, True),
        (T0, T0, False, False, T0 + timedelta(microseconds=1), True),  # heard in the same ms, and then the will
        (T0, T0, True, False, T0 + S, False),
        (T0, T0, True, False, None, True),
        (T0, T0 + S, True, True, T0 - S, True),
        (T0, T0 + 9 * S, True, True, T0 + S, False),
        (T0, T0 + S, False, True, T0 - S, False),
        (T0, T0 + S, True, True, None, True),
    ],
)
def test_a_live_will_counts_and_a_retained_one_only_where_nothing_is_newer(
    will_at, received_at, has_clock, retained, last_seen_at, counts
):
    assert will_counts(will_at, received_at, has_clock, retained, last_seen_at) is counts


@pytest.mark.parametrize(
    ("uptime", "boot_id", "last_uptime", "last_boot_id", "rebooted"),
    [
        (10, None, 5, None, False),
        (5, None, 10, None, True),
        (None, None, 10, None, False),
        (5, None, None, None, False),
        (5, "b2", 10, "b2", True),
        (50, "b3", 10, "b2", True),
        (50, "b3", 10, None, False),
        (5, "b3", 10, None, True),
    ],
)
def test_a_reboot_shows_in_the_boot_id_or_the_uptime(uptime, boot_id, last_uptime, last_boot_id, rebooted):
    assert has_rebooted(uptime, boot_id, last_uptime, last_boot_id) is rebooted


@pytest.mark.parametrize(
    ("uptime", "last_uptime", "elapsed_s", "rebooted"),
    [
        (62, 2, 60.0, False),
        (62, 2, 65.0, False),
        (40, 2, 60.0, True),
        (40, 0, 45.0, False),
        (4000, 60, 3_940.0, False),
        (4000, 60, None, False),
        (0, 0, 60.0, False),
        (70, 70, 3_600.0, False),
    ],
)
def test_a_reboot_whose_first_heartbeat_was_lost_shows_in_an_uptime_below_the_time_since_the_last(
    uptime, last_uptime, elapsed_s, rebooted
):
    assert has_rebooted(uptime, None, last_uptime, None, elapsed_s) is rebooted


SCOPES = st.frozensets(st.sampled_from(["sensor", "actuator"]), min_size=1)
SAID = st.lists(
    st.tuples(st.sampled_from(["sensor", "actuator", "system"]), st.sampled_from(["applied", "partial", "failed"]))
)


@given(scopes=SCOPES, said=SAID)
def test_a_configuration_is_applied_only_when_each_scope_sent_has_said_so(scopes, said):
    answers = {}
    for scope, state in said:
        answers[scope] = state
        found = config_state(scopes, answers)
        if "failed" in answers.values():
            assert found == "failed"
        elif not scopes <= answers.keys():
            assert found == "pending"
        else:
            assert found == ("partial" if "partial" in {answers[one] for one in scopes} else "applied")


def test_a_configuration_has_the_firmwares_names_and_nothing_empty():
    config = DeviceConfig(
        config_id="",
        sensors=[
            SensorItem(gpio=4, sensor_type="ds18b20", sensor_name="Tank", onewire_address="28FF641E8D3C0C79"),
            SensorItem(gpio=0, sensor_type="sht31_temp", i2c_address=69, measurement_interval_seconds=5),
        ],
    )
    assert config_payload(config) == {
        "sensors": [
            {"gpio": 4, "sensor_type": "ds18b20", "sensor_name": "Tank", "onewire_address": "28FF641E8D3C0C79"},
            {
                "gpio": 0,
                "sensor_type": "sht31_temp",
                "sensor_name": "sht31_temp_0",
                "measurement_interval_seconds": 5,
                "i2c_address": 69,
            },
        ]
    }


@pytest.mark.parametrize(
    ("generation", "command", "confirm", "refused"),
    [
        ("A", "factory_reset", True, False),
        ("A", "factory_reset", False, True),
        ("A", "status", True, True),
        ("A", "reboot", True, True),
        ("B", "status", False, False),
        ("B", "onewire/scan", False, False),
        ("B", "factory_reset", False, True),
        ("B", "reboot", True, True),
    ],
)
def test_a_command_that_the_firmware_does_not_know_is_refused(generation, command, confirm, refused):
    if not refused:
        check_command(generation, command, confirm)
        return
    with pytest.raises(RpcError) as caught:
        check_command(generation, command, confirm)
    assert (caught.value.problem.status, caught.value.problem.code) == (422, 5204)


@pytest.mark.parametrize(
    ("generation", "hardware", "kind", "size", "fits"),
    [
        ("A", "ESP32_WROOM", Kind.CONFIG, 2041, True),
        ("A", "ESP32_WROOM", Kind.CONFIG, 2042, False),
        ("A", "XIAO_ESP32_C3", Kind.CONFIG, 1018, False),
        ("B", "ESP32_WROOM", Kind.CONFIG, 4351, True),
        ("B", "ESP32_WROOM", Kind.CONFIG, 4352, False),
    ],
)
def test_what_a_device_would_drop_is_refused(generation, hardware, kind, size, fits):
    payload = "x" * (size - len("topic"))
    if fits:
        check_size(generation, hardware, kind, "topic", payload)
        return
    with pytest.raises(RpcError) as caught:
        check_size(generation, hardware, kind, "topic", payload)
    assert (caught.value.problem.status, caught.value.problem.code) == (422, 5003)


@pytest.mark.parametrize(
    ("pending", "most", "permitted", "candidates", "places"),
    [(0, 1000, 60, 5, 5), (998, 1000, 60, 5, 2), (1000, 1000, 60, 5, 0), (0, 1000, 3, 5, 3), (2000, 1000, 60, 5, 0)],
)
def test_the_places_among_the_pending_are_bounded(pending, most, permitted, candidates, places):
    assert new_pending(pending, most, permitted, candidates) == places


def test_the_rate_of_new_pending_devices_is_bounded_by_the_minute():
    limit = PendingLimit(2)
    assert limit.permitted(T0) == 2
    limit.used(2)
    assert limit.permitted(T0 + 30 * S) == 0
    assert limit.permitted(T0 + 60 * S) == 2


PUSH = Push("p1", "ESP_A", "god", "config", {}, "pending", 1, T0 + 10 * S, T0)
ANSWER = DeviceAnswer("ESP_A", "config", "applied", None, "ok", (), T0 + S)


def test_a_config_is_sent_three_times_and_then_timed_out():
    push, sent = PUSH, []
    for second in range(60):
        after = overdue(push, T0 + second * S, 10 * S, 3, 180 * S)
        if after != push:
            sent.append((second, after.state, after.tries))
        push = after
    assert sent == [(10, "pending", 2), (20, "pending", 3), (30, "timeout", 3)]


def test_a_command_is_never_sent_twice():
    assert overdue(replace(PUSH, kind="command"), T0 + 10 * S, 10 * S, 3, 180 * S).state == "timeout"


def test_an_answer_ends_a_push_once():
    ended = answered(PUSH, ANSWER)
    assert (ended.state, ended.message, ended.ended_at) == ("applied", "ok", T0 + S)
    assert answered(ended, replace(ANSWER, state="failed")) == ended
    assert superseded(ended, T0 + S) == ended
    assert superseded(PUSH, T0 + S).state == "failed"


def test_an_answer_finds_its_push_by_id_else_the_newest_it_can_be_for():
    older, newer = replace(PUSH, push_id="old"), replace(PUSH, push_id="new", created_at=T0 + S)
    pending = [newer, older, replace(PUSH, push_id="other", esp_id="ESP_B")]
    assert match(pending, replace(ANSWER, push_id="old")) == older
    assert match(pending, ANSWER) == newer
    assert match(pending, replace(ANSWER, push_id="unknown")) is None
    assert match(pending, replace(ANSWER, kind="zone")) is None
    reboot = replace(PUSH, push_id="r", kind="command", payload={"command": "reboot"})
    said = replace(ANSWER, kind="command", content="safe_mode")
    assert match([reboot], said) is None
    assert match([reboot], replace(said, content="reboot")) == reboot


@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from(["answer", "sweep", "supersede"])), max_size=20))
def test_whatever_happens_a_push_ends_and_stays_ended(steps):
    push, ended = PUSH, None
    for second, what in sorted(steps):
        now = T0 + second * S
        if what == "answer":
            push = answered(push, ANSWER)
        elif what == "sweep":
            push = overdue(push, now, 10 * S, 3, 180 * S)
        else:
            push = superseded(push, now)
        if push.state != "pending":
            ended = ended or push
            assert push == ended
    for second in range(60, 200):
        push = overdue(push, T0 + second * S, 10 * S, 3, 180 * S)
    assert push.state != "pending"
    assert push.tries <= 3


def delivery(kind: str, **fields) -> Delivery:
    body = {"kaiser_id": "god", "esp_id": "ESP_A", "ts": 1000, "received_at": 2000, **fields}
    return Delivery(f"esp.{kind}.god.ESP_A", "$JS.ACK.DEVICES.health.1.1.1.1.0", json.dumps(body).encode(), None)


def test_a_batch_is_sorted_by_what_it_says():
    batch = decode(
        [
            delivery("system.heartbeat", uptime=1, heap_free=2, wifi_rssi=-3),
            delivery("system.will", status="offline"),
            delivery("system.error", error_code=1002, severity="error", message="m"),
            delivery("config.response", status="partial_success", type="sensor", count=1, message="x"),
            delivery("zone.ack", status="zone_assigned", zone_id="z1", esp_id="ESP_B", received_at=3000),
            delivery("system.heartbeat", uptime="x"),
            delivery("nonsense.kind"),
            Delivery("esp.system.alive.god.digest", "r", b'{"devices":{"ESP_C":5000}}', None),
        ]
    )
    assert {esp_id: at.timestamp() for esp_id, at in batch.heard.items()} == {
        "ESP_A": 2.000001,
        "ESP_B": 3.000001,
        "ESP_C": 5,
    }
    assert (len(batch.heartbeats), len(batch.wills), len(batch.errors), len(batch.unreadable)) == (1, 0, 1, 2)
    assert [(answer.kind, answer.state) for answer, _ in batch.answers] == [("config", "partial"), ("zone", "applied")]
    assert batch.newcomers == {"ESP_A": "god"}


@pytest.mark.parametrize(("retained", "returned"), [(False, {"ESP_A"}), (True, set())])
def test_a_device_that_is_heard_behind_its_own_will_has_returned(retained, returned):
    will = delivery("system.will", status="offline", retained=retained)
    beat = delivery("system.heartbeat", uptime=0)
    assert decode([will, beat]).returned == returned
    assert decode([beat, will]).returned == set(), "it is away"


def test_a_message_that_is_replayed_behind_a_will_says_of_no_return():
    batch = decode([delivery("system.will", status="offline"), delivery("system.heartbeat", uptime=0, replayed=True)])
    assert (len(batch.wills), batch.returned) == (1, set())


def test_a_will_is_no_sign_of_life():
    assert decode([delivery("system.will", status="offline")]).heard == {}


def test_a_device_error_is_told_with_its_meaning():
    assert meaning(1002, "HARDWARE") == "GPIO conflict: the pin is in use already (hardware)"
    assert meaning(4711, None) == "device error 4711"
