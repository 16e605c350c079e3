"""Messages to a device: the forms that both firmware generations read, in the sizes that they take."""

import json

from hypothesis import given
from hypothesis import strategies as st
from kaiser_actuator.domain.addresses import Addresses
from kaiser_actuator.domain.outgoing import (
    broadcast_message,
    clear_message,
    off_message,
)
from kaiser_actuator.domain.outgoing import stop_message as own_stop
from kaiser_common.contract.schemas.api.actuators import Emergency
from kaiser_common.contract.schemas.device import DeviceRecord

NOW = 1_767_225_600_000
RECORD = DeviceRecord(esp_id="ESP_A", kaiser_id="god", state="approved", emergency_token="secret")


def stop(reason: str = "leak", by: str = "ada", **fields) -> Emergency:
    return Emergency(**{"emergency_id": "e1", "reason": reason, "raised_by": by, "raised_at": NOW, **fields})


def sent(message) -> tuple[str, str, dict]:
    outer = json.loads(message.body)
    return message.subject, outer["topic"], json.loads(outer["payload"])


def test_a_device_is_stopped_by_command_and_its_own_token():
    subject, topic, payload = sent(own_stop(Addresses({"ESP_A": RECORD}).of("ESP_A"), stop(), NOW, "raised"))
    assert (subject, topic) == ("mqtt.urgent.god.ESP_A", "kaiser/god/esp/ESP_A/actuator/emergency")
    assert payload == {
        "command": "emergency_stop",
        "auth_token": "secret",
        "reason": "leak",
        "correlation_id": "e1-raised",
    }


def test_a_clear_has_the_same_form_and_the_id_is_the_token_where_none_is_set():
    _, topic, payload = sent(clear_message(Addresses({}).of("ESP_A"), stop(), "dry", NOW, "c", 7))
    assert topic == "kaiser/god/esp/ESP_A/actuator/emergency"
    assert (payload["command"], payload["auth_token"], payload["reason"]) == ("clear_emergency", "ESP_A", "dry")


def test_the_broadcast_is_a_stop_of_three_texts():
    subject, topic, payload = sent(broadcast_message(stop(), NOW, "raised"))
    assert (subject, topic) == ("mqtt.urgent.broadcast.all", "kaiser/broadcast/emergency")
    assert payload == {"command": "emergency_stop", "reason": "leak", "issued_by": "ada"}


def test_one_actuator_is_stopped_by_off_on_the_urgent_lane():
    message = off_message(Addresses({}).of("ESP_A"), 5, stop(esp_id="ESP_A", gpio=5), NOW, "raised")
    subject, topic, payload = sent(message)
    assert (subject, topic) == ("mqtt.urgent.god.ESP_A", "kaiser/god/esp/ESP_A/actuator/5/command")
    assert (payload["command"], payload["value"], payload["issued_by"]) == ("OFF", 0.0, "ada")


def test_a_device_that_is_in_no_registry_is_reached_under_the_site_of_its_last_message():
    addresses = Addresses({})
    addresses.heard("ESP_A", "north")
    assert addresses.of("ESP_A") == ("north", "ESP_A", "ESP_A")
    assert [each.esp_id for each in addresses.all()] == ["ESP_A"]


LONGEST = {"esp_id": "ESP_" + "A" * 27, "kaiser_id": "k" * 32}
LONG_ID = "alert-" + "x" * 60
TEXTS = ["x" * 200, "水" * 200, "é" * 200, "🔥" * 200, '"\\' * 100, "\x01" * 200]
"""One, two, three and four bytes a character in UTF-8, and such as JSON escapes with one byte more, or five."""


def size(message) -> int:
    """Bytes of topic and payload, as ingest sends it."""
    outer = json.loads(message.body)
    payload = json.dumps(json.loads(outer["payload"]), separators=(",", ":"), ensure_ascii=False)
    return len((outer["topic"] + payload).encode())


def reachable(token: str, **ids):
    record = DeviceRecord(**{**LONGEST, **ids}, state="approved", emergency_token=token)
    return Addresses({record.esp_id: record}).of(record.esp_id)


def assert_each_fits(one: Emergency, token: str, **ids) -> None:
    address = reachable(token, **ids)
    for message in (
        own_stop(address, one, NOW, "raised-1767225600000"),
        clear_message(address, one, one.reason, NOW, "x", 7),
        broadcast_message(one, NOW, "raised-1767225600000"),
    ):
        _, _, payload = sent(message)
        assert size(message) <= 255
        assert None not in payload.values()
        assert len(payload["reason"].encode()) <= 64
        assert payload.get("auth_token", token) == token
    assert size(off_message(address, 48, one, NOW, "raised")) <= 511


@given(st.text(max_size=200), st.text(max_size=200), st.text(alphabet="ABC09", min_size=1, max_size=64))
def test_no_text_makes_a_message_longer_than_the_firmware_takes(reason, by, token):
    assert_each_fits(stop(reason, by, emergency_id=LONG_ID), token)


def test_no_length_of_reason_name_or_token_makes_a_stop_too_long():
    for text in TEXTS:
        for length in (0, 1, 20, 21, 22, 57, 58, 59, 63, 64, 65, 200):
            for by in TEXTS:
                one = stop(text[:length], by[:length], emergency_id=LONG_ID)
                assert_each_fits(one, "t" * 64)
    for length in range(1, 65):
        for ids in ({}, {"esp_id": "ESP_A"}, {"kaiser_id": "god"}, {"esp_id": "ESP_A", "kaiser_id": "god"}):
            assert_each_fits(stop("水" * 58, emergency_id=LONG_ID), "t" * length, **ids)


def test_the_reason_is_cut_before_the_correlation_id_is_left_out():
    address = reachable("t" * 44)
    _, _, payload = sent(own_stop(address, stop("x" * 64), NOW, "raised-" + "1" * 40))
    assert (payload["reason"], payload["correlation_id"]) == ("x", "1" * 40)
    address = reachable("t" * 64)
    _, _, payload = sent(own_stop(address, stop("x" * 64), NOW, "raised-" + "1" * 40))
    assert (payload["reason"], "correlation_id" in payload) == ("x" * 41, False)


def test_the_broadcast_of_a_long_reason_in_chinese_keeps_who_raised_it():
    _, _, payload = sent(broadcast_message(stop("水" * 58), NOW, "raised"))
    assert payload == {"command": "emergency_stop", "reason": "水" * 21, "issued_by": "ada"}
