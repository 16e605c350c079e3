"""Messages that may leave for the broker, by subject; and which clears and commands a newer stop holds back."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_common.contract.schemas.event import OutboxMessage
from kaiser_common.contract.topics import BROADCAST, Kind, build
from kaiser_ingest.domain.judge import Allowed, Refused, judge
from kaiser_ingest.domain.lateness import expiry_of
from kaiser_ingest.domain.stop_order import MAX_REMEMBERED, StopOrder

ESP = "ESP_A"
STOP, CLEAR = {"command": "emergency_stop"}, {"command": "clear_emergency"}
ON, OFF = {"command": "ON", "value": 1.0}, {"command": "OFF", "value": 0.0}
OLD, OLD_GPIO, OLD_ALL = "mqtt.out.god.ESP_A", "mqtt.out.god.ESP_A.5", "mqtt.out.broadcast.all"
"""Of a version without kinds: what it left waiting leaves still."""
SETUP, SENSOR, HALT, SAYS = (f"mqtt.out.god.ESP_A.{kind}" for kind in ("setup", "sensor", "stop", "mock"))
GPIO, OTHER_GPIO, URGENT = "mqtt.out.god.ESP_A.command.5", "mqtt.out.god.ESP_A.command.6", "mqtt.urgent.god.ESP_A"
OUT_ALL, URGENT_ALL = "mqtt.out.broadcast.all.stop", "mqtt.urgent.broadcast.all"
PACK, PACK_BEHIND = "mqtt.urgent.god.=", "mqtt.out.god.=.stop"
"""For several devices of the site."""
SUBJECTS = {
    OLD,
    OLD_GPIO,
    OLD_ALL,
    SETUP,
    SENSOR,
    HALT,
    SAYS,
    GPIO,
    OTHER_GPIO,
    URGENT,
    OUT_ALL,
    URGENT_ALL,
    PACK,
    PACK_BEHIND,
    "mqtt.urgent.other.=",
    "mqtt.urgent.broadcast.=",
    "mqtt.out.other.=.stop",
    "mqtt.out.broadcast.=.stop",
    "mqtt.out.god.=",
    "mqtt.out.god.=.setup",
    "mqtt.out.god.=.sensor",
    "mqtt.out.god.=.mock",
    "mqtt.out.god.=.command.5",
    "mqtt.out.god.=.5",
    "mqtt.out.god.ESP_A.setup.5",
    "mqtt.out.broadcast.all.setup",
    "mqtt.out.broadcast.all.command.5",
    "mqtt.out.god.ESP_B.setup",
    "mqtt.out.god.ESP_B.command.5",
    "mqtt.out.god.ESP_B",
    "mqtt.out.god.MOCK_A",
    "mqtt.out.other.ESP_A",
    "mqtt.out.god.ESP_B.5",
    "mqtt.urgent.god.ESP_B",
    "mqtt.urgent.god.ESP_A.5",
    "mqtt.out.god.all",
    "mqtt.out.god",
    "event.system_event._",
}
MAY_CARRY = [
    (Kind.ACTUATOR_COMMAND, ON, {GPIO, OLD_GPIO}),
    (Kind.ACTUATOR_COMMAND, OFF, {GPIO, OLD_GPIO, URGENT, PACK}),
    (Kind.EMERGENCY, STOP, {HALT, OLD, URGENT, PACK, PACK_BEHIND}),
    (Kind.EMERGENCY, CLEAR, {URGENT}),
    (Kind.EMERGENCY, {"action": "clear"}, set[str]()),
    (Kind.BROADCAST_EMERGENCY, STOP, {OUT_ALL, OLD_ALL, URGENT_ALL}),
    (Kind.BROADCAST_EMERGENCY, CLEAR, set[str]()),
    (Kind.BROADCAST_EMERGENCY, {}, set[str]()),
    (Kind.SERVER_STATUS, {"status": "offline"}, set[str]()),
    *[
        (kind, {"a": 1}, {SETUP, OLD})
        for kind in (
            Kind.CONFIG,
            Kind.ZONE_ASSIGN,
            Kind.SUBZONE_ASSIGN,
            Kind.SUBZONE_REMOVE,
            Kind.SUBZONE_SAFE,
            Kind.SYSTEM_COMMAND,
            Kind.HEARTBEAT_ACK,
        )
    ],
    *[(kind, {"a": 1}, {SENSOR, OLD}) for kind in (Kind.SENSOR_COMMAND, Kind.PROCESSED)],
    *[
        (kind, {"a": 1}, set[str]())
        for kind in (Kind.SENSOR_DATA, Kind.ACTUATOR_STATUS, Kind.HEARTBEAT, Kind.WILL, Kind.DISCOVERY)
    ],
]


def topic_of(kind: Kind, esp_id: str = ESP) -> str:
    return build(kind, "god", esp_id, 5)


def message(kind: Kind, body: Any, **fields: Any) -> OutboxMessage:
    return OutboxMessage(topic=topic_of(kind), payload=json.dumps(body), **fields)


@pytest.mark.parametrize(("kind", "body", "subjects"), MAY_CARRY)
def test_a_message_leaves_from_its_own_subjects_alone(kind: Kind, body: dict[str, Any], subjects: set[str]) -> None:
    found = {subject for subject in SUBJECTS if isinstance(judge(subject, message(kind, body)), Allowed)}
    assert found == subjects


@pytest.mark.parametrize("kind", list(Kind))
def test_nothing_that_ingest_is_asked_to_send_is_retained_but_a_mocks_will(kind: Kind) -> None:
    for subject in SUBJECTS:
        assert isinstance(judge(subject, message(kind, STOP, retain=True)), Refused)


def test_a_mock_speaks_for_itself_alone_and_its_will_may_be_retained() -> None:
    def said(topic_esp: str, subject: str, kind: Kind = Kind.SENSOR_DATA, **fields: Any) -> bool:
        spoken = OutboxMessage(topic=topic_of(kind, topic_esp), payload='{"bad":null', **fields)
        return isinstance(judge(subject, spoken), Allowed)

    assert said("MOCK_A", "mqtt.out.god.MOCK_A.mock")
    assert said("MOCK_A", "mqtt.out.god.MOCK_A")
    assert not said("MOCK_A", "mqtt.out.god.MOCK_B.mock")
    assert not said("MOCK_A", "mqtt.out.god.MOCK_A.setup")
    assert not said("MOCK_A", "mqtt.out.god.MOCK_A.command.5")
    assert not said("ESP_A", "mqtt.out.god.MOCK_A.mock")
    assert not said("ESP_A", SAYS)
    assert not said("MOCK_A", "mqtt.urgent.god.MOCK_A")
    assert said("MOCK_A", "mqtt.out.god.MOCK_A.mock", Kind.WILL, retain=True)
    assert not said("MOCK_A", "mqtt.out.god.MOCK_A.mock", retain=True)


@pytest.mark.parametrize(
    ("topic", "code"),
    [
        ("", 5212),
        ("kaiser/+/esp", 5212),
        ("kaiser/god/esp/ESP_A/#", 5212),
        ("kaiser/god/esp/ESP_A/actuator/5/command\x00", 5212),
        ("kaiser/god/esp/+/config", 5201),
        ("kaiser/god/esp/ESP_A/actuator/49/command", 5202),
        (f"kaiser/{'k' * 60_000}/esp/ESP_A/config", 5212),
        ("kaiser/other/esp/ESP_A/config", 5211),
    ],
)
def test_a_topic_that_is_none_of_ours_is_refused(topic: str, code: int) -> None:
    refused = judge(SETUP, OutboxMessage(topic=topic, payload="{}"))
    assert isinstance(refused, Refused)
    assert refused.code == code


@pytest.mark.parametrize(
    ("receipt", "fine"),
    [
        ("esp.actuator.sent.god.ESP_A.5.0190c8c0-aaaa_1", True),
        ("esp.actuator.sent.god.ESP_A.5.", False),
        ("esp.actuator.sent.god.ESP_A.5.a\r\nPUB x 0", False),
        ("esp.actuator.sent.god.ESP_A.5.*", False),
        ("esp.actuator.sent.god.ESP_A.6.a", False),
        ("esp.actuator.sent.god.ESP_B.5.a", False),
        ("$JS.API.STREAM.PURGE.OUTBOX", False),
        ("rpc.actuator.clear", False),
    ],
)
def test_a_receipt_goes_to_the_subject_of_its_command_alone(receipt: str, fine: bool) -> None:
    assert isinstance(judge(GPIO, message(Kind.ACTUATOR_COMMAND, ON, receipt=receipt)), Allowed) is fine
    assert isinstance(judge(SETUP, message(Kind.CONFIG, {}, receipt=receipt)), Refused)


def test_no_null_leaves() -> None:
    body = {"command": "ON", "value": None, "more": {"a": None, "b": [{"c": None, "d": 1}]}}
    allowed = judge(GPIO, message(Kind.ACTUATOR_COMMAND, body))
    assert isinstance(allowed, Allowed)
    assert json.loads(allowed.payload) == {"command": "ON", "more": {"b": [{"d": 1}]}}


@pytest.mark.parametrize(
    "payload", ["", "[]", "1", "null", "{", '{"a":NaN}', '{"a":1e400}', '{"a":[null]}', '{"a":"\\ud800"}']
)
def test_a_payload_that_no_firmware_reads_is_refused(payload: str) -> None:
    refused = judge(SETUP, OutboxMessage(topic=topic_of(Kind.CONFIG), payload=payload))
    assert isinstance(refused, Refused)
    assert refused.code == 5003


JSON = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(max_size=4), JSON, max_size=4),
    st.booleans(),
    st.sampled_from((None, (",", ":"))),
    st.sampled_from(("", '{"a":1,"a":2,"b":""}', '{"a":1e400}', '{"a":-0}', "[]", '{"a":"\\ud800"}', "[" * 2_000)),
)
def test_a_payload_leaves_as_the_standard_library_reads_it(
    body: dict[str, Any], ascii_only: bool, separators: tuple[str, str] | None, instead: str
) -> None:
    """Whichever library reads it: the same object leaves, or the same refusal."""
    payload = instead or json.dumps(body, ensure_ascii=ascii_only, separators=separators)
    topic = build(Kind.CONFIG, "god", "ESP_A")
    verdict = judge("mqtt.out.god.ESP_A.setup", OutboxMessage(topic=topic, payload=payload), "B")
    try:
        expected = without_nulls(json.loads(payload, parse_constant=refuse))
        assert isinstance(expected, dict)
        json.dumps(expected, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, AssertionError, RecursionError):
        assert isinstance(verdict, Refused)
        assert verdict.code == 5003
    else:
        assert isinstance(verdict, Allowed)
        assert repr(json.loads(verdict.payload)) == repr(expected), "numbers are of the same type too"


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_nulls(each) for name, each in value.items() if each is not None}
    if isinstance(value, list) and None in value:
        raise ValueError("a null in a list")
    return [without_nulls(each) for each in value] if isinstance(value, list) else value


def refuse(text: str) -> None:
    raise ValueError(text)


@pytest.mark.parametrize(
    ("kind", "generation", "most"),
    [
        (Kind.ACTUATOR_COMMAND, "B", 511),
        (Kind.EMERGENCY, "B", 255),
        (Kind.SYSTEM_COMMAND, "A", 255),
        (Kind.BROADCAST_EMERGENCY, None, 255),
        (Kind.CONFIG, "A", 2041),
        (Kind.CONFIG, None, 2041),
        (Kind.CONFIG, "B", 4351),
        (Kind.ZONE_ASSIGN, "B", 2041),
    ],
)
def test_what_the_device_would_drop_for_its_size_is_refused(kind: Kind, generation: str | None, most: int) -> None:
    subject = {Kind.ACTUATOR_COMMAND: GPIO, Kind.EMERGENCY: URGENT, Kind.BROADCAST_EMERGENCY: URGENT_ALL}.get(
        kind, SETUP
    )
    room = most - len(topic_of(kind)) - len('{"command":"emergency_stop","x":""}')
    for more, expected in ((0, Allowed), (1, Refused)):
        text = "ü" * ((room + more) // 2) + "x" * ((room + more) % 2)
        judged = judge(subject, message(kind, {**STOP, "x": text}), generation)
        assert type(judged) is expected
        assert not isinstance(judged, Refused) or judged.code == 5003


def test_a_clear_is_held_back_by_a_newer_stop_of_its_device_or_of_all() -> None:
    order = StopOrder()
    order.note("ESP_A", 5, 100)
    order.note(BROADCAST, 7, 110)
    order.note("ESP_A", 3, 90)
    assert [order.forbids_clear("ESP_A", number) for number in (4, 6, 8, None)] == [True, True, False, False]
    assert [order.forbids_clear("ESP_B", number) for number in (6, 8)] == [True, False]
    assert [order.forbids_command("ESP_B", sequence) for sequence in (109, 111)] == [True, False]


def test_the_next_holder_knows_the_stops_and_no_device_that_was_forgotten_is_cleared() -> None:
    order = StopOrder()
    order.note(BROADCAST, 1, 1)
    for number in range(2, MAX_REMEMBERED + 3):
        order.note(f"ESP_{number}", number, number)
    later = StopOrder()
    later.load(order.dump())
    for each in (order, later):
        assert each.forbids_clear("ESP_2", 1)
        assert each.forbids_clear(f"ESP_{MAX_REMEMBERED}", MAX_REMEMBERED - 1)
        assert not each.forbids_clear("ESP_2", MAX_REMEMBERED)
    assert len(order.dump()) < 900_000


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"forgotten":"x","stops":{}}', b'{"forgotten":0,"stops":[1]}'])
def test_stored_stops_that_cannot_be_read_are_an_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"stored stops|Expecting|invalid literal"):
        StopOrder().load(text)


@given(
    stops=st.lists(st.tuples(st.sampled_from(["ESP_A", "ESP_B", BROADCAST]), st.integers(1, 50)), max_size=20),
    clear=st.integers(1, 50),
)
def test_a_clear_leaves_only_where_every_stop_that_was_taken_is_older(stops: list[tuple[str, int]], clear: int) -> None:
    order = StopOrder()
    for sequence, (esp_id, number) in enumerate(stops):
        order.note(esp_id, number, sequence)
    after_restart = StopOrder()
    after_restart.load(order.dump())
    newer = any(number > clear for esp_id, number in stops if esp_id in ("ESP_A", BROADCAST))
    assert order.forbids_clear("ESP_A", clear) is newer
    assert after_restart.forbids_clear("ESP_A", clear) is newer


@pytest.mark.parametrize(
    ("expires_at", "seconds"), [(None, None), (10_000, 8), (4_000, 2), (3_999, 1), (3_000, 1), (2_999, 1), (500, 1)]
)
def test_a_broker_keeps_a_message_no_longer_than_it_is_wanted(expires_at: int | None, seconds: int | None) -> None:
    """At 1,000 ms; a broker may add a second, so this holds with two seconds left or more."""
    assert expiry_of(OutboxMessage(topic="t", payload="{}", expires_at=expires_at), 1_000) == seconds
