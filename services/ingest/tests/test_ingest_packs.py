"""Readings that arrived together as packs, and what the next process finds in them."""

import json
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_common.bus.connection import Outgoing
from kaiser_common.contract.pack import shard_of
from kaiser_common.contract.subjects import pack_subject
from kaiser_ingest.domain.outgoing import reading_id, to_outgoing, to_packs, to_rejected_packs
from kaiser_ingest.domain.stored import stored_readings
from kaiser_ingest.domain.validate import Accepted, validate
from kaiser_ingest.store.read_back import LAST_REJECTED

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
        Outgoing("esp.sensor.data.god.0", b"1\n3\n4", "id1", "trace3", (("Kaiser-Count", "3"),)),
        Outgoing("esp.sensor.data.other.0", b"2", "id2", "trace2", (("Kaiser-Count", "1"),)),
    ]


@pytest.mark.parametrize(
    ("size", "lines", "packs"), [(100, 1000, 1), (100, 1001, 2), (16 * 1024, 32, 2), (2000, 300, 2)]
)
def test_a_pack_has_at_most_a_thousand_lines_and_half_a_mebibyte(size, lines, packs):
    made = to_packs([line("esp.sensor.data.god.0", b"x" * size)] * lines, new_ids())
    assert len(made) == packs
    assert all(len(pack.body) <= 512 * 1024 for pack in made)
    assert sum(pack.body.count(b"\n") + 1 for pack in made) == lines
    assert sum(int(dict(pack.headers)["Kaiser-Count"]) for pack in made) == lines


def test_each_device_has_a_shard_of_its_site():
    found = {}
    for number in range(40):
        esp_id = f"ESP_{number}"
        topic = TOPIC.replace("ESP_1", esp_id)
        payload = json.dumps({"ts": NOW, "gpio": 34, "sensor_type": "ph", "raw": 1, "raw_mode": True}).encode()
        [accepted] = validate(topic, payload, NOW)
        assert isinstance(accepted, Accepted)
        found[esp_id] = to_outgoing(accepted, "d", 4).subject
    assert set(found.values()) == {f"esp.sensor.data.god.{shard}" for shard in range(4)}
    assert found == {esp_id: pack_subject("god", shard_of(esp_id, 4)) for esp_id in found}


def rejections(devices, count, code=5209):
    subject = "rejected.{}.{}"
    return [
        Outgoing(subject.format(code, devices[number % len(devices)]), b'{"n":%d}' % number, f"d{number}")
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("devices", "count", "packs"),
    [
        (["A"], 7, []),
        (["A"], 8, ["A"]),
        (["A", "B"], 10, []),
        (["A", "B"], 12, ["="]),
        (["A", "B"], 16, ["A", "B"]),
        ([f"D{number}" for number in range(300)], 300, ["="]),
    ],
)
def test_a_few_rejections_are_messages_by_themselves_and_a_flood_is_packs(devices, count, packs):
    made = to_rejected_packs(rejections(devices, count), new_ids())
    several = [each for each in made if b"\n" in each.body]
    assert [each.subject for each in several] == [f"rejected.5209.{token}" for token in packs]
    assert {each.msg_id for each in made if each not in several} <= {f"d{number}" for number in range(count)}
    assert made[len(made) - len(several) :] == several, "packs come last"
    assert sorted(line for each in made for line in each.body.split(b"\n")) == sorted(
        each.body for each in rejections(devices, count)
    )


def test_a_flood_of_long_rejections_makes_packs_of_at_most_24_kib_and_no_more_than_are_read_back():
    long = [each._replace(body=b"x" * 1_400) for each in rejections(["A"], 1000)]
    made = to_rejected_packs(long, new_ids())
    assert all(len(each.body) <= 24 * 1024 for each in made)
    assert len(made) <= LAST_REJECTED
    of_many = to_rejected_packs(rejections([f"D{number}" for number in range(125)], 1000), new_ids())
    assert len(of_many) <= LAST_REJECTED


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
