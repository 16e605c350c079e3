"""Readings that arrived together as packs, and what the next process finds in them."""

import json
from collections import deque
from itertools import count

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kaiser_common.bus.connection import Outgoing
from kaiser_common.contract.pack import shard_of
from kaiser_common.contract.subjects import REJECTED, pack_subject
from kaiser_factory_dialect import messages, wire
from kaiser_factory_dialect.catalogue import FactoryKind
from kaiser_ingest.domain.factory_packs import MOST_FACTORY_BYTES, deliveries_in, to_factory_packs
from kaiser_ingest.domain.outgoing import (
    MOST_REJECTED_BYTES,
    reading_id,
    to_outgoing,
    to_packs,
    to_rejected_packs,
)
from kaiser_ingest.domain.own_packs import MOST_OWN, OwnPacks
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


def any_has_own(subject: str) -> bool:
    return True


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
    made = to_rejected_packs(rejections(devices, count), new_ids(), any_has_own)
    several = [each for each in made if b"\n" in each.body]
    assert [each.subject for each in several] == [f"rejected.5209.{token}" for token in packs]
    assert {each.msg_id for each in made if each not in several} <= {f"d{number}" for number in range(count)}
    assert made[len(made) - len(several) :] == several, "packs come last"
    assert sorted(line for each in made for line in each.body.split(b"\n")) == sorted(
        each.body for each in rejections(devices, count)
    )


def test_a_flood_of_long_rejections_makes_packs_of_at_most_24_kib_and_no_more_than_are_read_back():
    long = [each._replace(body=b"x" * 1_400) for each in rejections(["A"], 1000)]
    made = to_rejected_packs(long, new_ids(), any_has_own)
    assert all(len(each.body) <= 24 * 1024 for each in made)
    assert len(made) <= LAST_REJECTED
    of_many = to_rejected_packs(rejections([f"D{number}" for number in range(125)], 1000), new_ids(), any_has_own)
    assert len(of_many) <= LAST_REJECTED


KEPT = 25
"""Messages of a subject that a small REJECTED keeps, in place of 2,000."""


@given(flooding=st.integers(1, 125), others=st.integers(0, 200), moved=st.integers(0, 50), size=st.integers(20, 1000))
@example(flooding=22, others=0, moved=0, size=1000)
@example(flooding=125, others=0, moved=0, size=200)
@example(flooding=4, others=196, moved=4, size=1000)
@settings(max_examples=10)
def test_however_many_devices_flood_their_packs_are_bounded_and_a_quiet_devices_rejections_stay(
    flooding, others, moved, size
):
    """In each batch so many devices flood, always the same or others; a quiet device has a rejection now and then."""
    own, fleet, kept = OwnPacks(), flooding + others, {}
    for batch in range(30):
        devices = [f"D{(batch * moved + number) % fleet}" for number in range(flooding)]
        flood = [each._replace(body=b"x" * size) for each in rejections(devices, 1000 // flooding * flooding)]
        if batch % 3 == 0:
            flood.insert(500, Outgoing("rejected.5209.QUIET", b"quiet", f"q{batch}"))
        for each in to_rejected_packs(flood, new_ids(), lambda subject, now=batch: own.allows(subject, now)):
            kept.setdefault(each.subject, deque(maxlen=KEPT)).append(len(each.body))
    assert len(kept.pop("rejected.5209.QUIET")) == 10
    assert len(kept) <= MOST_OWN + 1
    assert sum(map(sum, kept.values())) <= (MOST_OWN + 1) * KEPT * MOST_REJECTED_BYTES


def test_packs_of_four_floods_and_of_several_devices_for_each_code_leave_room_in_the_stream():
    codes = 13
    assert (MOST_OWN + codes) * REJECTED.most_per_subject * MOST_REJECTED_BYTES < 0.8 * REJECTED.max_bytes


def test_a_device_may_have_its_own_packs_when_those_of_another_are_a_week_old():
    own, week_s = OwnPacks(), REJECTED.max_age_s
    assert [own.allows(f"D{number}", float(number)) for number in range(6)] == [True] * 4 + [False] * 2
    assert own.allows("D0", 10.0)
    assert not own.allows("D4", week_s + 0.9)
    assert own.allows("D4", week_s + 1.0)
    assert not own.allows("D1", week_s + 1.5)


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
    assert [reading_id(reading) for reading in found] == ["ESP_1.4.ph.5.[1,null,null]"] * 2


def of_factory(number: int, env: str = "live", retained: bool = False, more: int = 0) -> Outgoing:
    said = messages.MachineState(
        kind=FactoryKind.AGV_STATE, topic="t" * more, ts=number, env=env, serial=f"S{number % 3}", source="device"
    )
    msg_id = f"ret.1.{number}" if retained else f"{number:x}.c"
    return Outgoing(f"factory.{env}.agv.state.S{number % 3}", wire.encode(said), msg_id)


def test_messages_of_the_factory_that_arrived_together_are_one_pack_and_one_alone_is_as_it_was():
    one, two, three = of_factory(1), of_factory(2), of_factory(3)
    assert to_factory_packs([one], new_ids()) == [one]
    [pack] = to_factory_packs([one, two, three], new_ids())
    assert (pack.subject, pack.msg_id, pack.headers) == ("factory.=.live", "id1", (("Kaiser-Count", "3"),))
    lines = pack.body.split(b"\n")
    assert [json.loads(line)["delivery"] for line in lines] == ["1.c", "2.c", "3.c"]
    assert [wire.from_line(line) for line in lines] == [
        wire.decode(FactoryKind.AGV_STATE, each.body) for each in (one, two, three)
    ]


def test_what_the_broker_retains_and_what_is_large_stays_alone_in_its_place():
    found = [of_factory(1), of_factory(2), of_factory(3, retained=True), of_factory(4, retained=True), of_factory(5)]
    packs = to_factory_packs(found, new_ids())
    assert [each.msg_id for each in packs] == ["id1", "ret.1.3", "ret.1.4", "5.c"]
    large = of_factory(2, more=MOST_FACTORY_BYTES)
    assert [each.msg_id for each in to_factory_packs([of_factory(1), large, of_factory(3)], new_ids())] == [
        "1.c",
        "2.c",
        "3.c",
    ]
    assert to_factory_packs([of_factory(1), large], new_ids())[1] == large


@given(
    st.lists(
        st.builds(
            of_factory, st.integers(0, 999), st.sampled_from(["live", "mock"]), st.booleans(), st.integers(0, 9000)
        ),
        max_size=250,
    )
)
@settings(max_examples=50, deadline=None)
def test_packs_hold_the_messages_in_order_and_within_their_bounds(found):
    packs = to_factory_packs(found, new_ids())
    held = [each for pack in packs for each in deliveries_in(pack.subject, pack.body, {"Nats-Msg-Id": pack.msg_id})]
    assert held == [each.msg_id for each in found]
    for pack in packs:
        if pack.subject.startswith("factory.=."):
            lines = pack.body.split(b"\n")
            assert 2 <= len(lines) <= 100
            assert {wire.from_line(line).env for line in lines} == {pack.subject.rpartition(".")[2]}
            assert len(pack.body) <= 128 * 1024 + 50 * len(lines), "the ids come on top"
    assert max([len(each.body) for each in packs], default=0) < 256 * 1024


def test_a_line_that_cannot_be_read_has_no_delivery():
    pack = b"\n".join([b"{not json", b'{"kind":"agv.state"}', b"\xff", b'{"kind":"agv.state","delivery":"1.c"}'])
    assert list(deliveries_in("factory.=.live", pack, {})) == ["1.c"]
    assert list(deliveries_in("factory.live.sent.x", b"{}", {})) == []
