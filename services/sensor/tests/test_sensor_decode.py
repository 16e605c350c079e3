"""Readings from messages: decoded in the quick way, judged by the model of the contract."""

import json
from typing import get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.schemas.sensor import Reading as ReadingModel
from kaiser_sensor.domain.decode import by_model, decode
from kaiser_sensor.domain.reading import SensorReading
from msgspec.structs import asdict
from pydantic import ValidationError

FIELDS = {
    "kaiser_id": "god",
    "esp_id": "ESP_1",
    "gpio": 4,
    "sensor_type": "ph",
    "raw_mode": True,
    "ts": 1_795_000_000_123,
    "received_at": 1_795_000_000_456,
}


def decoded(body: bytes) -> SensorReading | str:
    packs, unreadable = decode([Delivery("esp.sensor.data.god.ESP_1.4", "", body, None)])
    return packs[0].readings[0] if packs and packs[0].readings else unreadable[0][1]


def test_a_reading_has_the_fields_types_and_defaults_of_the_contract():
    model = ReadingModel.model_fields
    assert list(SensorReading.__struct_fields__) == list(model)
    types, of_model = get_type_hints(SensorReading), get_type_hints(ReadingModel)
    assert types == {name: of_model[name] for name in model}
    assert asdict(SensorReading(**FIELDS)) == ReadingModel(**FIELDS).model_dump()


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "clock": st.sampled_from(["device", "server"]),
            "raw": st.one_of(st.none(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False)),
            "raw_value": st.one_of(st.none(), st.integers(-1000, 1000), st.floats(-1e300, 1e300)),
            "unit": st.one_of(st.none(), st.text(max_size=8)),
            "quality": st.sampled_from(["good", "bad", "unknown"]),
            "ts": st.sampled_from([0, 1, 253_402_300_799_999]),
            "device_ts": st.sampled_from([None, -(2**63), -1, 2**63 - 1]),
            "sensor_name": st.one_of(st.none(), st.text(max_size=8)),
            "meta": st.dictionaries(st.text(max_size=4), st.integers(0, 9), max_size=3),
            "of_a_later_version": st.integers(),
        },
    )
)
def test_the_quick_way_reads_what_the_model_reads(optional):
    body = json.dumps(FIELDS | optional).encode()
    assert decoded(body) == by_model(body)


@pytest.mark.parametrize("changes", [{"gpio": "4"}, {"ts": "1795000000123"}, {"raw_mode": "true"}, {"value": "7.5"}])
def test_types_that_only_the_model_takes_are_readings_too(changes):
    body = json.dumps(FIELDS | changes).encode()
    reading = decoded(body)
    assert reading == by_model(body)
    assert (reading.gpio, reading.ts, reading.raw_mode) == (4, 1_795_000_000_123, True)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        json.dumps(FIELDS).encode().replace(b"ESP_1", b"\xff"),
        json.dumps(FIELDS | {"meta": 1}).encode(),
        json.dumps(FIELDS).encode().replace(b'"raw_mode": true', b'"raw_mode": true, "meta": ' + b'{"a":' * 100_000),
        json.dumps(FIELDS | {"quality": "splendid"}).encode(),
        json.dumps(FIELDS | {"gpio": 4.5}).encode(),
        json.dumps(FIELDS | {"esp_id": None}).encode(),
        json.dumps(FIELDS | {"ts": 253_402_300_800_000}).encode(),
        json.dumps(FIELDS | {"ts": -1}).encode(),
        json.dumps(FIELDS | {"received_at": 10**21}).encode(),
        json.dumps(FIELDS | {"device_ts": 10**21}).encode(),
    ],
)
def test_what_is_no_reading_is_told_apart(body):
    assert isinstance(decoded(body), str)
    with pytest.raises(ValidationError):
        by_model(body)


def pack(*lines: bytes) -> Delivery:
    return Delivery("esp.sensor.data.god.0", "$JS.ACK.SENSORS.x.1.7.1.1795000000000000000.0", b"\n".join(lines), None)


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("broken", [b"{not json", b"", b"7", b'{"esp_id":"ESP_1"}', b"\xff"])
def test_a_broken_line_at_any_place_is_told_apart_and_takes_no_other_with_it(place, broken):
    lines = [json.dumps(FIELDS | {"gpio": number}).encode() for number in range(3)]
    lines.insert(place, broken)
    [found], [(refused, _)] = decode([pack(*lines)])
    assert [reading.gpio for reading in found.readings] == [0, 1, 2]
    assert list(found.numbers) == [number for number in range(4) if number != place]
    assert (refused.body, refused.origin) == (broken, f"7-1795000000000000000-{place}")
    assert [found.line(index).body for index in range(3)] == [line for line in lines if line != broken]


def test_a_line_of_a_version_with_more_fields_is_read():
    lines = [json.dumps(FIELDS).encode(), json.dumps(FIELDS | {"of_a_later_version": {"a": [1]}}).encode()]
    [found], unreadable = decode([pack(*lines)])
    assert found.readings[0] == found.readings[1]
    assert not unreadable


@pytest.mark.parametrize("body", [b"", b"{}\n" * 4096 + b"{}", b" " * (1024 * 1024 + 1)])
def test_an_empty_pack_and_one_over_the_size_are_rejected_as_a_whole(body):
    whole, good = pack(body), pack(json.dumps(FIELDS).encode())
    [found], [(refused, reason)] = decode([whole, good])
    assert refused is whole
    assert found.delivery is good
    assert reason.startswith("the pack ")
