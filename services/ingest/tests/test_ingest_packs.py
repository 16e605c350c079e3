"""Readings that arrived together as packs, and what the next process finds in them."""

import json
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_common.bus import Outgoing
from kaiser_ingest.domain.outgoing import reading_id, to_outgoing, to_packs
from kaiser_ingest.domain.validate import Accepted, validate
from kaiser_ingest.store.read_back import stored_readings

NOW = 1_795_000_000_000
TOPIC = "kaiser/god/esp/ESP_1/sensor/34/data"


def line(subject: str, body: bytes, trace: str = "") -> Outgoing:
    return Outgoing(subject, body, "of the reading", trace)


def new_ids():
    numbers = count(1)
    return lambda: f"id{next(numbers)}"


def test_what_arrived_together_is_one_pack_a_site_in_order():
    readings = [
        line("esp.sensor.data.god.0", b"1"),
        line("esp.sensor.data.other.0", b"2", "trace2"),
        line("esp.sensor.data.god.0", b"3", "trace3"),
        line("esp.sensor.data.god.0", b"4", "trace4"),
    ]
    assert to_packs(readings, new_ids()) == [
        Outgoing("esp.sensor.data.god.0", b"1\n3\n4", "id1", "trace3"),
        Outgoing("esp.sensor.data.other.0", b"2", "id2", "trace2"),
    ]


@pytest.mark.parametrize(
    ("size", "lines", "packs"), [(100, 1000, 1), (100, 1001, 2), (16 * 1024, 32, 2), (2000, 300, 2)]
)
def test_a_pack_has_at_most_a_thousand_lines_and_half_a_mebibyte(size, lines, packs):
    made = to_packs([line("esp.sensor.data.god.0", b"x" * size)] * lines, new_ids())
    assert len(made) == packs
    assert all(len(pack.body) <= 512 * 1024 for pack in made)
    assert sum(pack.body.count(b"\n") + 1 for pack in made) == lines


figures = st.one_of(st.none(), st.integers(-(10**15), 10**15), st.floats(-1e15, 1e15))


@given(
    raw=figures,
    raw_value=figures,
    value=figures,
    ts=st.sampled_from([0, 1_795_000_000, 1_794_999_999_123, 9e12]),
    address=st.sampled_from([{}, {"onewire_address": "28ff641e8d3c0c79"}, {"i2c_address": 68}]),
)
def test_a_reading_has_the_same_id_in_the_process_that_reads_its_line_back(raw, raw_value, value, ts, address):
    given = {"ts": ts, "gpio": 34, "sensor_type": "pH", "raw_mode": True, "raw": raw, "raw_value": raw_value}
    (accepted,) = validate(TOPIC, json.dumps({**given, "value": value, **address}).encode(), NOW)
    if isinstance(accepted, Accepted):
        outgoing = to_outgoing(accepted, "5.of its delivery")
        [stored] = stored_readings([outgoing.body])
        assert reading_id(stored) == outgoing.msg_id


def test_without_a_clock_the_delivery_stands_in_the_line():
    (accepted,) = validate(TOPIC, b'{"ts":0,"gpio":34,"sensor_type":"ph","raw":1,"raw_mode":true}', NOW)
    outgoing = to_outgoing(accepted, "5.abc")  # type: ignore[arg-type]
    assert json.loads(outgoing.body)["delivery"] == "5.abc"
    assert outgoing.msg_id == "5.abc.34.ph"


def test_a_line_that_is_no_reading_is_passed_over_when_packs_are_read_back():
    good = b'{"esp_id":"ESP_1","gpio":4,"sensor_type":"ph","ts":5,"raw":1}'
    found = stored_readings([b"{not json\n" + good + b"\n\n7\n\xff", b"", good])
    assert [reading_id(reading) for reading in found] == ["ESP_1.4.ph.5.1:None:None"] * 2
