"""The small pure parts of ingest: back-off, reason codes, ids, digests, the rejection log, profiles, outbox rules."""

import json
import tracemalloc
from itertools import count
from pathlib import Path

import pytest
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.event import OutboxMessage, RejectedMessage
from kaiser_ingest.consumers import pipeline
from kaiser_ingest.domain import backoff, reason_codes
from kaiser_ingest.domain.admission import admit
from kaiser_ingest.domain.identities import DeliveryIds, RecentIds
from kaiser_ingest.domain.incoming import Incoming
from kaiser_ingest.domain.lateness import is_expired
from kaiser_ingest.domain.outgoing import to_outgoing, to_rejected
from kaiser_ingest.domain.rejection_log import RejectionLog
from kaiser_ingest.domain.validate import Rejection, _cached, validate
from kaiser_ingest.jobs.digest import digests
from kaiser_ingest.mqtt.profiles import Profile, password_of
from kaiser_ingest.settings import IngestSettings
from msgspec.structs import replace
from pydantic import SecretStr, ValidationError
from structlog.testing import capture_logs

NOW = 1_767_225_700_000
BAD = Rejection(Code.MISSING_REQUIRED_FIELD, "raw is missing", "raw", "ESP_1", b"{}")


@pytest.mark.parametrize(
    ("failures", "jitter", "since", "floor", "longest", "expected"),
    [
        (1, 1.0, 0.0, 0.0, 60.0, 1.0),
        (1, 0.25, 0.0, 0.0, 60.0, 0.25),
        (4, 1.0, 0.0, 0.0, 60.0, 8.0),
        (9, 1.0, 0.0, 0.0, 60.0, 60.0),
        (9, 0.0, 0.0, 0.0, 60.0, 0.0),
        (1, 0.0, 1.5, 5.0, 60.0, 3.5),
        (1, 1.0, 9.0, 5.0, 60.0, 1.0),
        (10, 0.0, 12.0, 0.0, 60.0, 48.0),
        (500, 0.5, 70.0, 5.0, 60.0, 0.0),
        (4, 0.5, 0.0, 0.0, 2.0, 1.0),
        (10, 0.0, 0.5, 0.0, 2.0, 1.5),
        (10, 0.0, 0.5, 5.0, 2.0, 4.5),
    ],
)
def test_the_wait_grows_with_failures_and_has_a_floor_while_flapping(
    failures: int, jitter: float, since: float, floor: float, longest: float, expected: float
) -> None:
    assert backoff.wait_s(failures, jitter, since, floor, longest) == expected


def test_the_breaker_opens_at_the_tenth_failure() -> None:
    assert [backoff.breaker_is_open(failures) for failures in (9, 10, 11)] == [False, True, True]


def test_only_a_connection_that_lasted_makes_its_loss_a_first_failure() -> None:
    assert backoff.failures_after_loss(7, 10.0) == 1
    assert backoff.failures_after_loss(7, 9.9) == 8


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (4, "4 bad user name or password"),
        (5, "5 not authorized"),
        (0x84, "0x84 unsupported protocol version"),
        (0xFE, "0xfe unknown reason"),
    ],
)
def test_a_connack_code_is_told_with_its_meaning(code: int, text: str) -> None:
    assert reason_codes.connack_text(code) == text


def test_a_disconnect_code_is_told_with_its_meaning() -> None:
    assert reason_codes.reason_text(0x8E) == "0x8e session taken over"
    assert reason_codes.reason_text(0) == "0 success or normal disconnection"


FIRST = Incoming(b"t", b"p", 5, 1, False, False, 1, NOW)


def test_a_redelivery_has_the_id_of_the_first_delivery_also_in_another_process() -> None:
    again = FIRST._replace(duplicate=True, generation=2)
    unique = map(str, count())
    assert DeliveryIds(lambda: next(unique)).of(FIRST, 0.0) == DeliveryIds(lambda: next(unique)).of(again, 900.0)


def test_equal_messages_have_different_ids_also_when_the_packet_id_comes_again() -> None:
    unique = map(str, count())
    ids = DeliveryIds(lambda: next(unique))
    others = [FIRST, FIRST._replace(packet_id=6), FIRST._replace(received_at_ms=NOW + 9), FIRST._replace(qos=0)]
    assert len({ids.of(each, 0.0) for each in others}) == 4
    assert ids.of(others[-1], 0.0) == ids.of(others[-1], 0.0)


def test_hardly_any_message_gets_a_suffix_by_chance() -> None:
    """One that has it is stored twice if ingest is killed before its PUBACK. Two windows hold 260,000 at 1,000/s."""
    ids = DeliveryIds(lambda: "unique")
    messages = (FIRST._replace(payload=b"%d" % number, packet_id=number % 65_535 + 1) for number in range(260_000))
    assert sum(ids.of(each, number / 1000).endswith(".unique") for number, each in enumerate(messages)) < 20


def test_an_id_is_given_again_once_the_duplicate_window_is_over() -> None:
    ids = DeliveryIds(lambda: "unique")
    first = ids.of(FIRST, 0.0)
    assert ids.of(FIRST._replace(generation=2), 129.0) == f"{first}.unique"
    for after_s in (300.0, 600.0):
        ids.of(FIRST._replace(packet_id=9, generation=int(after_s)), after_s)
    assert ids.of(FIRST._replace(generation=3), 600.1) == first


def test_a_new_delivery_is_compared_with_the_last_130_s_and_a_redelivery_with_all_that_is_remembered() -> None:
    ids = RecentIds()
    ids.add(["d"], 1_000.0)
    assert ids.has_delivery("d", 1_129.9, duplicate=False)
    assert not ids.has_delivery("d", 1_130.0, duplicate=False)
    assert ids.has_delivery("d", 900_000.0, duplicate=True)
    assert not ids.has_delivery("other", 1_000.0, duplicate=True)


def test_ids_of_stored_messages_are_bounded_and_the_oldest_are_forgotten_first() -> None:
    ids = RecentIds()
    for batch in range(120):
        ids.add([f"{batch}.{number}" for number in range(500)], float(batch))
    remembered = [batch for batch in range(120) if f"{batch}.0" in ids and f"{batch}.499" in ids]
    assert 40 <= len(remembered) <= 82
    assert remembered == list(range(120 - len(remembered), 120))


TOPIC = "kaiser/god/esp/ESP_1/sensor/34/data"


def reading(ts: int) -> bytes:
    return b'{"ts":%d,"esp_id":"ESP_1","gpio":34,"sensor_type":"ph","raw":1,"raw_mode":true}' % ts


def test_a_reading_has_its_identity_as_id_and_without_a_clock_that_of_its_delivery() -> None:
    (with_clock,) = validate(TOPIC, reading(1_767_225_600), NOW)
    (without,) = validate(TOPIC, reading(0), NOW)
    assert to_outgoing(with_clock, "d").msg_id == "ESP_1.34.ph.1767225600000.[1,null,null]"  # type: ignore[arg-type]
    assert to_outgoing(without, "d").msg_id == "d.34.ph"  # type: ignore[arg-type]
    assert to_outgoing(without, "d").subject == "esp.sensor.data.god.0"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "address"),
    [
        ('"onewire_address":"28ff641e8d3c0c79"', "28FF641E8D3C0C79"),
        ('"i2c_address":68', "68"),
        ('"i2c_address":"0x44"', "68"),
        ('"i2c_address":0', ""),
        ('"onewire_address":""', ""),
        ('"onewire_address":"","i2c_address":69', "69"),
        ('"onewire_address":"no address"', ""),
    ],
)
def test_a_readings_address_is_in_its_identity_in_one_form(field: str, address: str) -> None:
    payload = reading(1_767_225_600).decode()[:-1] + f",{field}}}"
    (found,) = validate(TOPIC, payload.encode(), NOW)
    assert found.message.address == address  # type: ignore[union-attr]
    place = "ESP_1.34.ph" + (f".{address}" if address else "")
    assert to_outgoing(found, "d").msg_id == f"{place}.1767225600000.[1,null,null]"  # type: ignore[arg-type]


def test_two_probes_on_one_pin_are_two_readings_of_a_batch_and_one_probe_twice_is_not() -> None:
    probe = '{"gpio":4,"sensor_type":"ds18b20","value":%s,"onewire_address":"28AA0102030405C%d"}'
    sensors = ",".join([probe % ("20.25", 1), probe % ("61.5", 2), probe % ("62", 2)])
    batch = f'{{"ts":1767225600,"esp_id":"ESP_1","sensors":[{sensors}]}}'
    first, second, third = validate("kaiser/god/esp/ESP_1/sensor/batch", batch.encode(), NOW)
    assert (first.message.address, second.message.address) == ("28AA0102030405C1", "28AA0102030405C2")  # type: ignore[union-attr]
    assert third.code == 5208  # type: ignore[union-attr]


def test_an_equal_reading_within_a_batch_has_the_id_of_the_first() -> None:
    item = '{"gpio":4,"sensor_type":"ds18b20","value":20.25}'
    batch = f'{{"ts":%d,"esp_id":"ESP_1","sensors":[{item},{item}]}}'
    first, second = validate("kaiser/god/esp/ESP_1/sensor/batch", (batch % 1767225600).encode(), NOW)
    assert to_outgoing(first, "d").msg_id == to_outgoing(second, "d.1").msg_id  # type: ignore[arg-type]
    first, second = validate("kaiser/god/esp/ESP_1/sensor/batch", (batch % 0).encode(), NOW)
    assert to_outgoing(first, "d").msg_id != to_outgoing(second, "d.1").msg_id  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("topic", "payload", "subject", "identity"),
    [
        ("zone/ack", b'{"status":"s","zone_id":"z","ts":1767225600}', "esp.zone.ack.god.MOCK_1", "d"),
        ("zone/ack", b'{"status":"s","zone_id":"z"}', "esp.zone.ack.god.MOCK_1", "d"),
        ("config", b"{}", "esp.downlink.god.MOCK_1", "d"),
        (
            "actuator/255/alert",
            b'{"gpio":255,"type":"fault","ts":1767225600}',
            "esp.actuator.alert.god.MOCK_1.255",
            "d",
        ),
    ],
)
def test_a_message_has_its_subject_and_an_id(topic: str, payload: bytes, subject: str, identity: str) -> None:
    (accepted,) = validate(f"kaiser/god/esp/MOCK_1/{topic}", payload, NOW)
    outgoing = to_outgoing(accepted, "d")  # type: ignore[arg-type]
    assert (outgoing.subject, outgoing.msg_id) == (subject, identity)


def test_a_broadcast_is_for_the_simulator() -> None:
    (accepted,) = validate("kaiser/broadcast/emergency", b"{}", NOW)
    assert to_outgoing(accepted, "d").subject == "esp.downlink.broadcast.broadcast"  # type: ignore[arg-type]


def test_a_rejection_is_stored_byte_for_byte() -> None:
    outgoing = to_rejected(replace(BAD, payload=b"\xff\x00"), TOPIC, NOW, "d")
    assert outgoing.subject == "rejected.5205.ESP_1"
    assert b'"payload_base64":"/wA="' in outgoing.body


@pytest.mark.parametrize("rejection", [BAD, replace(BAD, field=None, esp_id=None, detail='"tänk" \\ \x1f\u2028')])
def test_the_line_of_a_rejection_is_what_its_model_would_write(rejection: Rejection) -> None:
    body = to_rejected(rejection, TOPIC, NOW, "d").body
    read = RejectedMessage.model_validate_json(body)
    assert read.model_dump(exclude_none=True) == json.loads(body)
    assert (read.code, read.message, read.field, read.esp_id) == (
        rejection.code,
        rejection.detail,
        rejection.field,
        rejection.esp_id,
    )
    assert (read.topic, read.received_at, read.delivery) == (TOPIC, NOW, "d")


@pytest.mark.parametrize(
    ("topic", "payload", "refused"),
    [
        (TOPIC, reading(1_767_225_600), True),
        ("kaiser/god/esp/ESP_1/system/will", b'{"status":"offline"}', True),
        ("kaiser/god/esp/ESP_1/system/heartbeat", b'{"ts":0,"uptime":1,"heap_free":1,"wifi_rssi":1}', False),
        ("kaiser/god/discovery/esp32_nodes", b'{"esp_id":"ESP_1"}', False),
        ("kaiser/god/esp/MOCK_1/config", b"{}", False),
    ],
)
def test_an_unknown_device_is_refused_but_may_say_that_it_is_there(topic: str, payload: bytes, refused: bool) -> None:
    (outcome,) = admit(validate(topic, payload, NOW), {}, 0, payload)
    assert isinstance(outcome, Rejection) is refused
    if isinstance(outcome, Rejection):
        assert (outcome.code, outcome.payload) == (Code.ESP_DEVICE_NOT_FOUND, payload)
        (known,) = admit(validate(topic, payload, NOW), {"ESP_1": None}, 0, payload)
        assert not isinstance(known, Rejection)


def test_rejections_of_a_device_are_logged_once_in_ten_seconds() -> None:
    log = RejectionLog()
    assert [log.add(BAD, TOPIC, at) for at in (0.0, 1.0, 9.9, 10.0, 11.0)] == [True, False, False, True, False]
    assert log.add(replace(BAD, esp_id="ESP_2"), TOPIC, 11.0)


@pytest.mark.parametrize("code", [Code.JSON_PARSE_ERROR, Code.INVALID_GPIO, Code.VALUE_OUT_OF_RANGE])
def test_a_mistake_of_a_device_is_no_error_of_ingest(code: Code) -> None:
    with capture_logs() as lines:
        assert RejectionLog().add(replace(BAD, code=code), TOPIC, 0.0)
    assert [(line["event"], line["log_level"]) for line in lines] == [("message_rejected", "warning")]


def test_topics_of_sixty_kilobytes_are_not_kept_in_memory() -> None:
    pipeline._kind(TOPIC.encode())
    validate(TOPIC, b"x", NOW)
    kept = (pipeline._cached_kind.cache_info().currsize, _cached.cache_info().currsize)
    assert min(kept) > 0
    tracemalloc.start()
    for number in range(1500):
        topic = f"kaiser/{number:060000}/esp/ESP_1/sensor/4/data"
        assert pipeline._kind(topic.encode()) == pipeline.UNKNOWN_KIND
        (rejection,) = validate(topic, b"x", NOW)
        assert isinstance(rejection, Rejection)
        assert rejection.code == 5212
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (pipeline._cached_kind.cache_info().currsize, _cached.cache_info().currsize) == kept
    assert grown < 1_000_000


def test_made_up_devices_cannot_flood_the_log() -> None:
    log = RejectionLog()
    with capture_logs() as lines:
        for number in range(3000):
            log.add(replace(BAD, esp_id=f"ESP_{number}"), TOPIC, 5.0)
        assert log.add(replace(BAD, esp_id="ESP_X", code=Code.INVALID_GPIO), TOPIC, 5.0), "another cause is logged"
        assert log.add(replace(BAD, esp_id="ESP_Y"), TOPIC, 15.0)
    written = [line["event"] for line in lines]
    assert written == ["message_rejected"] * 50 + ["rejections_not_logged"] + ["message_rejected"] * 2


def test_the_table_of_logged_devices_is_bounded() -> None:
    log = RejectionLog()
    for number in range(3000):
        log.add(replace(BAD, esp_id=f"ESP_{number}"), TOPIC, 0.0)
    assert len(log._logged) == 2000


def test_a_digest_holds_at_most_five_thousand_devices() -> None:
    found = digests({("god", f"ESP_{number}"): number for number in range(5001)} | {("other", "ESP_1"): 7})
    assert [(subject, len(digest.devices)) for subject, digest in found] == [
        ("esp.system.alive.god.digest", 5000),
        ("esp.system.alive.god.digest", 1),
        ("esp.system.alive.other.digest", 1),
    ]


def test_a_message_expires_at_its_time_and_never_without_one() -> None:
    message = OutboxMessage(topic="t", payload="p", expires_at=NOW)
    assert [is_expired(message, now) for now in (NOW - 1, NOW)] == [False, True]
    assert not is_expired(OutboxMessage(topic="t", payload="p"), NOW)
    assert not is_expired(OutboxMessage(topic="t", payload="p"), NOW, moves=True)


def test_what_moves_something_expires_a_second_earlier() -> None:
    message = OutboxMessage(topic="t", payload="p", expires_at=NOW)
    assert [is_expired(message, now, moves=True) for now in (NOW - 1001, NOW - 1000, NOW - 999, NOW)] == [
        False,
        False,
        True,
        True,
    ]


def test_a_password_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    assert password_of(Profile(host="h", password_file=tmp_path / "password")) == "secret"
    assert password_of(Profile(host="h", password=SecretStr("other"))) == "other"


def test_profiles_come_from_one_setting_beside_the_live_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAISER_MQTT_PORT", "1999")
    monkeypatch.setenv("KAISER_MQTT_PROFILES", '{"mock": {"host": "other", "client_id": "x"}}')
    profiles = IngestSettings().profiles()
    assert (profiles["live"].address, profiles["mock"].address) == ("mqtt://127.0.0.1:1999", "mqtt://other:1883")


@pytest.mark.parametrize(
    ("host", "port", "fits"), [("sandbox", 1883, True), ("127.0.0.1", 1884, True), ("localhost", 1883, False)]
)
def test_the_broker_of_machines_is_never_emptied_as_a_sandbox(
    monkeypatch: pytest.MonkeyPatch, host: str, port: int, fits: bool
) -> None:
    monkeypatch.setenv("KAISER_MQTT_HOST", "127.0.0.1")
    monkeypatch.setenv("KAISER_MQTT_DIALECTS", '["factory"]')
    monkeypatch.setenv("KAISER_SANDBOX_HOST", host)
    monkeypatch.setenv("KAISER_SANDBOX_PORT", str(port))
    if fits:
        assert IngestSettings().profiles()["replay"].sandbox
        return
    with pytest.raises(ValidationError, match="is a sandbox, which is emptied"):
        IngestSettings()


@pytest.mark.parametrize(
    ("dialects", "more", "fault"),
    [
        ('["esp"]', {"KAISER_TOPICS_DIALECTS": '["factory", "esp"]'}, None),
        ('["factory"]', {"KAISER_TOPICS_DIALECTS": '["esp"]'}, "built from its topics"),
        ('["esp"]', {"KAISER_MQTT_PROFILES": '{"b": {"host": "b", "dialects": ["factory"]}}'}, "at every broker"),
        ('["esp"]', {"KAISER_OBSERVE": '["kaiser/*"]'}, "takes \\* literally"),
        ('["esp"]', {"KAISER_OBSERVE": '["#"]', "KAISER_MQTT_PROFILES": '{"My Broker": {"host": "b"}}'}, "1 to 16"),
        ('["esp"]', {"KAISER_MQTT_PROFILE": "none"}, "there is no profile"),
    ],
)
def test_dialects_and_what_is_kept_of_them_fit_together(
    monkeypatch: pytest.MonkeyPatch, dialects: str, more: dict[str, str], fault: str | None
) -> None:
    for name, value in {"KAISER_MQTT_DIALECTS": dialects, **more}.items():
        monkeypatch.setenv(name, value)
    if fault is None:
        settings = IngestSettings()
        assert set(settings.observed()) == settings.device_filters("live")
        return
    with pytest.raises(ValidationError, match=fault):
        IngestSettings()


def test_recorded_messages_of_devices_are_read_at_the_sandbox_of_an_ingest_of_the_factory_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KAISER_MQTT_DIALECTS", '["factory"]')
    monkeypatch.setenv("KAISER_SANDBOX_HOST", "sandbox")
    settings = IngestSettings()
    assert settings.device_filters("live") == frozenset()
    assert "kaiser/+/esp/+/sensor/+/data" in settings.device_filters("replay")


def test_every_setting_of_ingest_is_documented() -> None:
    page = (Path(__file__).parents[3] / "docs/ingest.md").read_text()
    own = set(IngestSettings.model_fields) - set(IngestSettings.__mro__[1].model_fields)  # type: ignore[attr-defined]
    assert [name for name in sorted(own) if f"`KAISER_{name.upper()}`" not in page] == []
