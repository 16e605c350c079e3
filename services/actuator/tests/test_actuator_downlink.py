"""What goes to a device: the forms that both firmware generations read, in the sizes that they take."""

import json

from hypothesis import given
from hypothesis import strategies as st
from kaiser_actuator.domain.addresses import Addresses
from kaiser_actuator.domain.outgoing import (
    COMMAND_BYTES,
    EMERGENCY_BYTES,
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
    return Emergency(emergency_id="e1", reason=reason, raised_by=by, raised_at=NOW, **fields)


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


@given(st.text(max_size=200), st.text(max_size=200), st.text(alphabet="ABC09", min_size=1, max_size=64))
def test_no_text_makes_a_message_longer_than_the_firmware_takes(reason, by, token):
    record = DeviceRecord(esp_id="ESP_" + "A" * 27, kaiser_id="k" * 32, state="approved", emergency_token=token)
    address = Addresses({record.esp_id: record}).of(record.esp_id)
    one = stop(reason, by).model_copy(update={"emergency_id": "alert-" + "x" * 60})
    for message in (
        own_stop(address, one, NOW, "raised-1767225600000"),
        clear_message(address, one, reason, NOW, "x", 7),
    ):
        _, topic, payload = sent(message)
        assert len(topic) + len(json.loads(message.body)["payload"].encode()) <= EMERGENCY_BYTES
        assert None not in payload.values()
        assert len(payload["reason"]) <= 64
    off = json.loads(off_message(address, 48, one, NOW, "raised").body)
    assert len(off["topic"]) + len(off["payload"].encode()) <= COMMAND_BYTES
