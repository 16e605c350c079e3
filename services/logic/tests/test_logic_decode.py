"""Packs of events as rules read them."""

import json

import pytest
from kaiser_common.bus.pull import Delivery
from kaiser_logic.domain.decode import decode, readings_of
from kaiser_logic.domain.readings import RuleInput


def event(esp_id: str, value: float, **more) -> bytes:
    given = {"kaiser_id": "god", "esp_id": esp_id, "gpio": 4, "sensor_type": "ph", "ts": 1_795_000_000_123}
    return json.dumps({**given, "value": value, **more}).encode()


def pack(*lines: bytes, sequence: int = 7) -> Delivery:
    reply = f"$JS.ACK.EVENTS.x.1.{sequence}.1.1795000000123000000.0"
    return Delivery("event.sensor_data.0", reply, b"\n".join(lines), None)


def every(_: str) -> bool:
    return True


def test_a_line_is_a_reading_with_the_seq_of_its_place():
    lines = (event("ESP_A", 1.0), event("ESP_B", 2.0, address="48", quality="good", received_at=5, device_ts=6, new=1))
    assert list(readings_of(pack(*lines), every)) == [
        RuleInput("ESP_A", 4, "ph", 1_795_000_000_123, 1.0, "unknown", 28672),
        RuleInput("ESP_B", 4, "ph", 1_795_000_000_123, 2.0, "good", 28673, "48", 5, 6),
    ]


def test_only_the_devices_that_rules_name_are_read():
    found = readings_of(pack(event("ESP_A", 1.0), event("ESP_B", 2.0)), lambda esp_id: esp_id == "ESP_B")
    assert [(reading.esp_id, reading.seq) for reading in found] == [("ESP_B", 28673)]


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("broken", [b"{not json", b"", b"7", b'{"esp_id":"ESP_A"}', b"\xff"])
def test_a_broken_line_at_any_place_takes_no_other_with_it(place, broken):
    lines = [event("ESP_A", 1.0)] * 3
    lines.insert(place, broken)
    found = [reading.seq - 28672 for reading in readings_of(pack(*lines), every)]
    assert found == [number for number in range(4) if number != place]


def test_an_empty_pack_has_no_reading():
    assert list(readings_of(pack(b""), every)) == []


@pytest.mark.parametrize(("more", "value"), [({}, 1.0), ({"state": False}, 0.0), ({"replayed": True}, None)])
def test_a_replayed_status_is_no_reading_of_an_actuator(more, value):
    status = {"kaiser_id": "god", "esp_id": "ESP_A", "gpio": 25, "actuator_type": "pump", "state": True, "value": 1.0}
    body = json.dumps({**status, "ts": 1_795_000_000_000, **more}).encode()
    found = decode(Delivery("event.actuator_status.ESP_A", pack(b"").reply, body, None))
    assert (None if found is None else found.value) == value
