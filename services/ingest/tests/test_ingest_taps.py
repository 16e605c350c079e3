"""The messages of devices that somebody looks at: both ways, bounded, without secrets."""

import json

import pytest
from kaiser_common.contract.errors import Code
from kaiser_ingest.domain.taps import KEPT_MS, MOST_BYTES, MOST_DEVICES, MOST_KEPT, Fate, Taps
from kaiser_ingest.domain.validate import Ignored, Rejection
from kaiser_ingest.domain.verdicts import verdict_of

ESP = "ESP_0001"
DATA = f"kaiser/god/esp/{ESP}/sensor/4/data"
COMMAND = f"kaiser/god/esp/{ESP}/actuator/25/command"
ACCEPTED, SENT = Fate("accepted", "sensor.data"), Fate("sent")
NOW = 1_800_000_000_000


def watching(esp_id: str = ESP) -> Taps:
    taps = Taps()
    taps.look(esp_id, NOW)
    return taps


def test_nothing_is_kept_of_a_device_that_nobody_looks_at():
    taps = Taps()
    assert not taps.armed
    taps.came(DATA, b"{}", NOW, ACCEPTED)
    assert taps.look(ESP, NOW) == (NOW, [])
    assert taps.armed
    taps.came(DATA.replace(ESP, "ESP_0002"), b"{}", NOW, ACCEPTED)
    taps.came("kaiser/god/discovery/esp32_nodes", b"{}", NOW, ACCEPTED)
    assert taps.look(ESP, NOW) == (NOW, [])


def test_what_came_and_what_went_stand_in_one_list_in_order():
    taps = watching()
    taps.came(DATA, b'{"raw":1}', NOW + 1, ACCEPTED, qos=1)
    taps.went(COMMAND, b'{"command":"ON"}', NOW + 2, SENT, qos=1)
    taps.came(DATA, b"{", NOW + 3, verdict_of((Rejection(Code.JSON_PARSE_ERROR, "not JSON", None, ESP, b"{"),)))
    taps.went("kaiser/broadcast/emergency", b'{"command":"emergency_stop"}', NOW + 4, SENT)
    since, found = taps.look(ESP, NOW + 5)
    assert since == NOW
    assert [(one.direction, one.verdict, one.code, one.at - NOW) for one in found] == [
        ("came", "accepted", None, 1),
        ("went", "sent", None, 2),
        ("came", "rejected", 5209, 3),
        ("went", "sent", None, 4),
    ]
    assert [one.seq for one in found] == sorted({one.seq for one in found})
    assert (found[0].payload, found[0].qos, found[2].reason) == ('{"raw":1}', 1, "not JSON")


def test_what_a_mock_says_came_from_it_and_what_it_is_told_went_to_it():
    taps = watching("MOCK_A")
    data, command = (topic.replace(ESP, "MOCK_A") for topic in (DATA, COMMAND))
    for topic in (data, command):  # both go through the broker and come back from it
        taps.went(topic, b"{}", NOW, SENT)
        taps.came(topic, b"{}", NOW, ACCEPTED)
    _, found = taps.look("MOCK_A", NOW)
    assert [(one.topic, one.direction) for one in found] == [(data, "came"), (command, "went")]


def test_an_ignored_message_has_its_reason():
    assert verdict_of((Ignored("retained"),)) == Fate("ignored", reason="retained")
    assert verdict_of(()) == Fate("ignored", reason="empty")


@pytest.mark.parametrize(
    "payload",
    [
        {"command": "emergency_stop", "auth_token": "s3cret"},
        {"command": "set_emergency_token", "params": {"token": "s3cret"}},
        [{"mqtt_password": "s3cret"}],
        {"password": 1234},
        {"tokens": ["s3cret"]},
    ],
)
def test_a_secret_is_masked(payload):
    taps = watching()
    taps.went(COMMAND, json.dumps(payload).encode(), NOW, SENT)
    taps.went(COMMAND, b'{"token":"s3cret"', NOW, SENT)
    _, found = taps.look(ESP, NOW)
    assert "s3cret" not in str(found)
    assert "1234" not in found[0].payload
    assert "•••" in found[0].payload


def test_memory_is_bounded_in_messages_bytes_devices_and_time():
    taps = watching()
    for number in range(MOST_KEPT + 5):
        taps.came(DATA, "ä".encode() * 10_000, NOW + number, ACCEPTED)
    _, found = taps.look(ESP, NOW)
    assert (len(found), found[0].at) == (MOST_KEPT, NOW + 5)
    assert (found[0].size, found[0].cut, len(found[0].payload.encode()) <= MOST_BYTES) == (20_000, True, True)
    for number in range(MOST_DEVICES):
        taps.look(f"ESP_X{number}", NOW + 1)
    assert taps.look(ESP, NOW + 2) == (NOW + 2, [])
    taps.came(DATA, b"{}", NOW + 2 + KEPT_MS + 1, ACCEPTED)
    assert not taps.armed


def test_bytes_that_are_no_text_are_in_base64():
    taps = watching()
    taps.came(DATA, b"\xff\xfe", NOW, ACCEPTED)
    [message] = taps.look(ESP, NOW)[1]
    assert (message.encoding, message.payload) == ("base64", "//4=")
