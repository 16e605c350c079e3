"""The short way of a usual reading gives what the general way gives, for any bytes."""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kaiser_ingest.domain.outgoing import to_outgoing
from kaiser_ingest.domain.usual import usual_reading
from kaiser_ingest.domain.validate import Accepted, validate

NOW = 1_795_000_000_000
TOPIC = "kaiser/god/esp/ESP_1/sensor/34/data"
LONG = "KAISER_TEST_LONG" in os.environ

FIRMWARE_A = (
    b'{"esp_id":"ESP_1","zone_id":"north","subzone_id":"","gpio":34,"sensor_type":"ph","raw":1877,"value":7.20,'
    b'"unit":"pH","quality":"good","ts":1794999990,"raw_mode":true}'
)
FIRMWARE_B = (
    b'{"esp_id":"ESP_1","seq":17,"zone_id":"north","subzone_id":"","gpio":34,"sensor_type":"ds18b20","raw":344,'
    b'"value":21.50,"unit":"\xc2\xb0C","quality":"good","ts":1794999990,"time_valid":true,"raw_mode":true}'
)
OTHER = b'{"ts":1794999990123,"esp_id":"ESP_1","gpio":34,"sensor_type":"x","raw_value":-0.5,"raw_mode":false}'


@pytest.mark.parametrize("payload", [FIRMWARE_A, FIRMWARE_B, OTHER], ids=["a", "b", "other"])
def test_the_usual_forms_go_the_short_way(payload):
    assert usual_reading(TOPIC.encode(), payload, NOW) is not None
    same(TOPIC, payload)


def test_the_devices_own_count_of_its_messages_is_on_the_bus():
    found = usual_reading(TOPIC.encode(), FIRMWARE_B, NOW)
    assert found is not None
    assert json.loads(found.line)["seq"] == 17
    without = FIRMWARE_B.replace(b'"seq":17', b'"seq":18')
    again = usual_reading(TOPIC.encode(), without, NOW)
    assert again is not None
    assert again.identity == found.identity, "the same reading under another number is a repetition"


def same(topic: str, payload: bytes) -> bool:
    """Whether the short way took it; then the general way has the same outcome."""
    found = usual_reading(topic.encode(), payload, NOW)
    if found is None:
        return False
    (outcome,) = validate(topic, payload, NOW)
    assert isinstance(outcome, Accepted), f"the short way took {payload!r}: {outcome}"
    assert outcome.odd == ()
    general = to_outgoing(outcome, "of its delivery")
    assert json.loads(found.line) == json.loads(general.body)
    assert [repr(value) for value in json.loads(found.line).values()] == [
        repr(json.loads(general.body)[name]) for name in json.loads(found.line)
    ]
    assert found.identity == general.msg_id
    assert (found.kaiser_id, found.esp_id) == (outcome.kaiser_id, outcome.esp_id)
    assert found.ts == outcome.message.ts
    return True


numbers = st.one_of(
    st.integers(),
    st.integers(-(2**33), 2**33),
    st.floats(allow_nan=False),
    st.floats(-1e15, 1e15).map(lambda figure: round(figure, 2)),
    st.sampled_from([0, -0.0, 1e15, 1e15 + 1, 2**31, 2**32 - 1, 2**53 + 1, 2**63, 2**64, 1e308, -1e-320, 34, 34.0]),
)
times = st.one_of(
    numbers, st.integers(1_577_836_000, 1_795_001_000), st.integers(NOW - 10**6, NOW + 400_000), st.floats(1.7e9, 1.8e9)
)
texts = st.one_of(
    st.text(), st.sampled_from(["", "ESP_1", "ESP_2", "good", "GOOD", "ph", "a:b", "a" * 65, "x\0", "°C"])
)
anything = st.one_of(numbers, texts, st.none(), st.booleans(), st.just([]), st.just({"a": 1}))
plain = st.one_of(st.integers(-1000, 5000), st.floats(-1e6, 1e6).map(lambda figure: round(figure, 2)))
required = {
    "ts": st.one_of(st.integers(1_794_000_000, 1_795_000_100), st.integers(NOW - 10**6, NOW + 10**5)),
    "esp_id": st.just("ESP_1"),
    "gpio": st.just(34),
    "sensor_type": st.sampled_from(["ph", "DS18B20", "ds18b20", "a.b+c"]),
    "raw_mode": st.booleans(),
}
optional = {
    "raw": plain,
    "raw_value": plain,
    "value": plain,
    "unit": st.sampled_from(["°C", "pH", ""]),
    "quality": st.sampled_from(["good", "bad", "error"]),
    "zone_id": st.sampled_from(["", "north"]),
    "subzone_id": st.sampled_from(["", "left"]),
    "seq": st.integers(0, 2**32),
    "time_valid": st.booleans(),
}
strange = {"ts": times, "raw": numbers, "raw_value": numbers, "value": numbers, "unit": texts, "zone_id": texts}


@st.composite
def payloads(draw) -> bytes:
    """A usual reading; of some a value is strange, a key is missing, one too many or there twice, or bytes changed."""
    fields = draw(st.fixed_dictionaries(required, optional=optional))
    for name in draw(st.lists(st.sampled_from([*strange, "raw", "value"]), max_size=2)):
        fields[name] = draw(strange[name])
    fault = draw(st.integers(0, 9))
    if fault == 0:
        fields[draw(st.sampled_from([*fields, "i2c_address", "meta", "timestamp", "x"]))] = draw(anything)
    elif fault == 1:
        del fields[draw(st.sampled_from(sorted(fields)))]
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (",\n", ":\t")]))
    text = json.dumps(fields, ensure_ascii=draw(st.booleans()), separators=separators)
    body = bytearray(text.encode("utf-8", "surrogatepass"))
    if fault == 2:
        place = draw(st.integers(0, len(body)))
        body[place : place + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    elif fault == 3:
        body[-1:] = b"," + draw(st.sampled_from([b'"raw":1', b'"ts":1794999990'])) + b"}"
    return bytes(body)


@pytest.mark.timeout(1200)
def test_the_short_way_gives_what_the_general_way_gives():
    taken = []

    @settings(max_examples=150_000 if LONG else 300, derandomize=not LONG, deadline=None)
    @given(payload=payloads(), topic=st.sampled_from([TOPIC, TOPIC, TOPIC, "kaiser/god/esp/ESP_1/sensor/4/data"]))
    def look(payload, topic):
        taken.append(same(topic, payload))

    look()
    assert sum(taken) > 40, "the payloads reach the short way"


@settings(max_examples=200, derandomize=True, deadline=None)
@given(payload=st.binary(), topic=st.text())
def test_what_is_no_reading_does_not_go_the_short_way(payload, topic):
    assert usual_reading(topic.encode("utf-8", "surrogatepass"), payload, NOW) is None
