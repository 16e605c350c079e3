"""The live state from the last values of TOPICS and the messages of FACTORY is that of all messages, in their order."""

import json
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_common.contract.subjects import FACTORY, KEPT_OF_FACTORY_S, factory_pack_subject
from kaiser_factory.consumers.live import LiveReader
from kaiser_factory.domain.live import Changes, FactoryState
from kaiser_factory_dialect import wire
from kaiser_factory_dialect.reading import Arrival, FactoryAccepted, read
from kaiser_factory_dialect.subjects import factory_subject, receipt_subject
from msgspec.structs import replace

NOW = 1_771_000_000_000
ENVIRONMENT = FactoryEnvironment(env="live", kind="live", epoch=1)
SERIALS = ("A1", "A2", "A3")


@st.composite
def arrivals(draw: st.DrawFn) -> list[Arrival]:
    """Messages of AGVs, some seconds apart, received by clocks that differ by up to four seconds."""
    found: list[Arrival] = []
    at = NOW
    for number in range(draw(st.integers(1, 30))):
        at += draw(st.integers(0, 6_000))
        serial = draw(st.sampled_from(SERIALS))
        if draw(st.booleans()):
            word = draw(st.sampled_from(["ONLINE", "OFFLINE"]))
            topic, payload = f"fts/v1/ff/{serial}/connection", {"serialNumber": serial, "connectionState": word}
        else:
            node, battery = draw(st.sampled_from("1234")), {"percentage": draw(st.integers(1, 99))}
            payload = {"serialNumber": serial, "orderId": f"o{number}", "lastNodeId": node, "batteryState": battery}
            topic = f"fts/v1/ff/{serial}/state"
        clock = draw(st.integers(-4_000, 4_000))
        found.append(Arrival(topic, json.dumps(payload).encode(), at + clock, 1, False, "live", 1))
    return found


def accepted(arrival: Arrival) -> FactoryAccepted:
    found = read(arrival, ())
    assert isinstance(found, FactoryAccepted)
    return found


def of_factory(*arrived: Arrival, sequence: int = 1) -> Delivery:
    """The messages as a pack of FACTORY."""
    found = [accepted(each) for each in arrived]
    lines = [wire.to_line(wire.encode(each.message, each.oddities, each.unknown), "1f.ab") for each in found]
    reply = f"$JS.ACK.FACTORY.c.1.{sequence}.{sequence}.{NOW}.0"
    return Delivery(factory_pack_subject("live"), reply, b"\n".join(lines), None)


def reader() -> LiveReader:
    return LiveReader(None, ENVIRONMENT, (), lambda _: None)  # type: ignore[arg-type]


def rows(live: FactoryState) -> list[Any]:
    """The rows but for when each was received: clocks differ."""
    return [row.model_copy(update={"last_seen": None, "skew_ms": None}) for row in live.rows(NOW)]


@given(st.data())
def test_wherever_topics_and_factory_are_when_ingest_is_killed_the_state_is_that_of_all_messages(data: st.DataObject):
    everything = data.draw(arrivals())
    on_topics = data.draw(st.integers(0, len(everything)), "TOPICS is behind FACTORY")
    from_factory = data.draw(st.integers(0, on_topics), "FACTORY has what is not on TOPICS, and some before")
    live = FactoryState(ENVIRONMENT, ())
    for arrival in {each.topic: each for each in everything[:on_topics]}.values():
        live.take_last(arrival, accepted(arrival).message.kind.value)
    for sequence, arrival in enumerate(everything[from_factory:], 1):
        reader()._take(live, of_factory(arrival, sequence=sequence), Changes(), loading=True)
    expected = FactoryState(ENVIRONMENT, ())
    for arrival in everything:
        expected.take(accepted(arrival).message, (), (), Changes())
    assert rows(live) == rows(expected)


def state(serial: str, at: int = 0, **fields: Any) -> Arrival:
    payload = {"serialNumber": serial, "orderId": "o1", "lastNodeId": "1", **fields}
    return Arrival(f"fts/v1/ff/{serial}/state", json.dumps(payload).encode(), NOW + at, 1, False, "live", 1)


def test_a_message_alone_is_taken_as_a_line_is_and_its_oddities_and_unknown_fields_are_counted():
    live, changes = FactoryState(ENVIRONMENT, ()), Changes()
    odd = state("A1", batteryState={"percentage": 131}, colour="red")
    found = accepted(odd)
    assert (found.oddities, found.unknown) != ((), ())
    subject = factory_subject("live", found.message.kind, "A1")
    alone = Delivery(subject, "", wire.encode(found.message, found.oddities, found.unknown), None)
    reader()._take(live, alone, changes, loading=False)
    reader()._take(live, of_factory(odd, state("A2")), changes, loading=False)
    assert live.coverage.kinds == {"agv.state": 3}
    assert live.coverage.oddities == Counter([*found.oddities, *found.oddities, *accepted(state("A2")).oddities])
    assert live.coverage.unknown == {"agv.state": {"colour": 2}}
    assert (changes.serials, changes.received_at) == ({"A1", "A2"}, NOW)


def test_a_message_on_topics_and_on_factory_is_counted_once_and_each_one_before_it():
    live = FactoryState(ENVIRONMENT, ())
    before, last = (state("A1", at, batteryState={"percentage": 131}, colour="red") for at in (0, 900))
    next_one = state("A1", 1800)
    live.take_last(last, "agv.state")
    odd = [each for one in (before, last, next_one) for each in accepted(one).oddities]
    for loading, arrived in ((True, (before, last)), (False, (next_one,))):
        reader()._take(live, of_factory(*arrived), Changes(), loading=loading)
    assert live.coverage.kinds == {"agv.state": 3}
    assert live.coverage.oddities == Counter(odd)
    assert live.coverage.unknown == {"agv.state": {"colour": 2}}


def test_what_is_no_message_of_this_environment_and_epoch_is_left_out():
    environment = FactoryEnvironment(env="mock", kind="mock", epoch=2)
    replay = LiveReader(None, environment, (), lambda _: None)  # type: ignore[arg-type]
    live, changes = FactoryState(environment, ()), Changes()
    pack = factory_pack_subject("mock")
    old = wire.encode(accepted(replace(state("OLD"), env="mock")).message)
    good = wire.encode(accepted(replace(state("A1"), env="mock", epoch=2)).message)
    for subject, body in (
        (factory_pack_subject("live"), wire.encode(accepted(state("LIVE")).message)),
        (receipt_subject("mock", "c1"), b"{}"),
        (pack, b""),
        (
            pack,
            b'{no json\n{"kind":"module.dance"}\n{"kind":"observed"}\n{"kind":"agv.state"}\n\xff\n%b\n%b' % (old, good),
        ),
    ):
        replay._take(live, Delivery(subject, "$JS.ACK.FACTORY.c.1.7.7.1.0", body, None), changes, loading=False)
    assert live.factory.machines.keys() == {"A1"}


def test_factory_keeps_a_message_until_it_would_be_published_again():
    """ingest and JetStream know ids for so long: a message that is not on TOPICS by then comes on FACTORY again."""
    assert FACTORY.duplicate_window_s + 30 <= KEPT_OF_FACTORY_S
