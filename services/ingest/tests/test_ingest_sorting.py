"""A message whose packet id and content came before is a redelivery or a new message; time and the DUP flag decide."""

import json
from itertools import count

import pytest
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_ingest.consumers.sorting import Batch, Sorter
from kaiser_ingest.domain.factory_dialect import FactoryDialect
from kaiser_ingest.domain.incoming import Incoming
from kaiser_ingest.domain.taps import Taps

NOW = 1_795_000_000_000
T = "kaiser/god/esp/ESP_1"
STATUS = Incoming(
    f"{T}/actuator/5/status".encode(), b'{"gpio":5,"type":"pump","state":true,"value":1}', 1, 1, False, False, 1, NOW
)
TIMELESS = STATUS._replace(
    topic=f"{T}/sensor/4/data".encode(), payload=b'{"ts":0,"gpio":4,"sensor_type":"ph","raw":1,"raw_mode":true}'
)
TIMED = TIMELESS._replace(payload=json.dumps({**json.loads(TIMELESS.payload), "ts": NOW}).encode())
BAD = STATUS._replace(payload=b"{")


class Clock:
    """Monotonic seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


def a_sorter(clock: Clock, factory: FactoryDialect | None = None) -> Sorter:
    numbers = count()
    return Sorter(
        {"ESP_1": None},
        lambda: f"u{next(numbers)}",
        retention_ms=90 * 86_400_000,
        shards=1,
        on_wrong_clock=lambda _: None,
        tracer=None,
        factory=factory,
        taps=Taps(),
        monotonic=clock,
    )


def published(batch: Batch) -> list[str]:
    """Ids of all that a batch stores."""
    return [*batch.sensors, *batch.devices, *batch.trailing]


def prepared(sorter: Sorter, message: Incoming) -> Batch:
    batch = sorter.begin([message])
    sorter.sort_others(batch)
    return batch


def stored(sorter: Sorter, message: Incoming) -> list[str]:
    """Ids of what is stored of one message."""
    batch = prepared(sorter, message)
    sorter.stored(batch)
    sorter.rejections_stored(batch)
    return published(batch)


@pytest.mark.parametrize("message", [STATUS, TIMELESS, BAD], ids=["status", "reading without a time", "rejected"])
@pytest.mark.parametrize("after_s", [131, 300, 3_600, 86_400])
def test_an_equal_message_with_the_packet_id_of_an_old_one_is_stored(message: Incoming, after_s: int) -> None:
    """A broker that restarts counts its packet ids from 1 again, and few messages come in between."""
    clock = Clock()
    sorter = a_sorter(clock)
    assert len(stored(sorter, message)) == 1
    for passed_s in (0.4, 0.4, 0.2):
        clock.now_s += after_s * passed_s
        stored(sorter, message._replace(packet_id=9, generation=2))
    again = message._replace(generation=2, received_at_ms=NOW + after_s * 1000)
    assert len(stored(sorter, again)) == 1


@pytest.mark.parametrize("message", [STATUS, TIMELESS, BAD], ids=["status", "reading without a time", "rejected"])
@pytest.mark.parametrize("after_s", [1, 131, 86_400])
def test_a_redelivery_is_not_stored_again_however_late_it_comes(message: Incoming, after_s: int) -> None:
    clock = Clock()
    sorter = a_sorter(clock)
    assert len(stored(sorter, message)) == 1
    clock.now_s += after_s
    assert stored(sorter, message._replace(duplicate=True, generation=2)) == []


@pytest.mark.parametrize("duplicate", [False, True])
def test_a_reading_with_the_devices_time_is_the_same_fact_a_day_later(duplicate: bool) -> None:
    clock = Clock()
    sorter = a_sorter(clock)
    assert len(stored(sorter, TIMED)) == 1
    clock.now_s += 86_400
    assert stored(sorter, TIMED._replace(packet_id=2, duplicate=duplicate, generation=2)) == []


def test_what_another_process_stored_is_compared_with_new_deliveries_for_130_s() -> None:
    """A broker without the DUP flag delivers again as soon as ingest is back."""
    clock = Clock()
    first = a_sorter(clock)
    [line] = prepared(first, BAD).trailing.values()
    for after_s, published_again in ((129, 0), (131, 1)):
        clock.now_s = 50.0
        sorter = a_sorter(clock)
        sorter.remember([], [line.body], [])
        clock.now_s += after_s
        assert len(stored(sorter, BAD)) == published_again


@pytest.mark.parametrize("message", [STATUS, TIMELESS, BAD], ids=["status", "reading without a time", "rejected"])
def test_what_is_stored_but_not_on_topics_when_the_lease_ends_comes_on_topics_with_the_redelivery(message: Incoming):
    devices = ("kaiser/god/esp/#",)
    dialect = FactoryDialect((), ("kaiser/#",), devices, lambda *_: None, reads=False)
    dialect.enter(FactoryEnvironment(env="live", kind="live", epoch=1, since=0), message.generation, devices)
    sorter = a_sorter(Clock(), dialect)
    batch = prepared(sorter, message)
    assert len(batch.topics) == len(published(batch)) == 1
    sorter.stored(batch)
    sorter.rejections_stored(batch)
    sorter.left()
    again = prepared(sorter, message._replace(duplicate=True))
    assert (published(again), list(again.topics)) == ([], list(batch.topics))
    sorter.on_topics(again)
    assert not prepared(sorter, message._replace(duplicate=True)).topics
