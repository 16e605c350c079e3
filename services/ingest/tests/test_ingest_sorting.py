"""A message whose packet id and content came before is a redelivery or a new message; time and the DUP flag decide."""

import json
from itertools import count

import pytest
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_ingest.consumers.sorting import Batch, Sorter
from kaiser_ingest.domain.factory_dialect import FactoryDialect
from kaiser_ingest.domain.factory_packs import deliveries_in, to_factory_packs
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
STATE = STATUS._replace(
    topic=b"module/v1/ff/S1/state", payload=b'{"serialNumber":"S1","orderId":"1","actionState":null}'
)


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
    return [*batch.sensors, *batch.devices, *batch.trailing, *batch.factory]


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


def of_a_factory(clock: Clock) -> Sorter:
    dialect = FactoryDialect((), (), (), lambda *_: None)
    dialect.enter(FactoryEnvironment(env="live", kind="live", epoch=1, since=0), 0, ("kaiser/+/esp/#",))
    return a_sorter(clock, dialect)


def after_another_process(clock: Clock, message: Incoming, age_s: float) -> Sorter:
    """The sorter of a process that has read back what another one stored of this message so long ago."""
    batch = prepared(of_a_factory(clock), message)
    numbers = count()
    of_factory = [
        (delivery, age_s)
        for pack in to_factory_packs(list(batch.factory.values()), lambda: f"p{next(numbers)}")
        for delivery in deliveries_in(pack.subject, pack.body, {"Nats-Msg-Id": pack.msg_id})
    ]
    sorter = of_a_factory(clock)
    sorter.remember(
        [(each.body, age_s) for each in batch.sensors.values()],
        [(each.body, age_s) for each in batch.trailing.values()],
        of_factory,
    )
    return sorter


READ_BACK = pytest.mark.parametrize(
    "message", [TIMELESS, BAD, STATE], ids=["reading without a time", "rejected", "of the factory"]
)


@READ_BACK
@pytest.mark.parametrize(
    ("age_s", "after_s", "is_stored"),
    [(0, 129, False), (0, 131, True), (100, 29, False), (100, 31, True), (129, 0, False), (131, 0, True)],
)
def test_what_another_process_stored_is_compared_with_new_deliveries_until_it_is_130_s_old(
    message: Incoming, age_s: float, after_s: float, is_stored: bool
) -> None:
    """A broker without the DUP flag delivers again as soon as ingest is back."""
    clock = Clock()
    sorter = after_another_process(clock, message, age_s)
    clock.now_s += after_s
    assert bool(stored(sorter, message)) is is_stored


@READ_BACK
def test_after_a_restart_of_broker_and_ingest_an_equal_message_with_an_old_packet_id_is_stored(
    message: Incoming,
) -> None:
    """It was stored at nine, both restart at noon, and the broker counts packet ids from 1 again."""
    clock = Clock()
    sorter = after_another_process(clock, message, 3 * 3_600.0)
    clock.now_s += 5
    assert len(stored(sorter, message)) == 1
    assert stored(sorter, message._replace(duplicate=True, generation=2)) == [], "its own redelivery is known"


@READ_BACK
@pytest.mark.parametrize("age_s", [0, 131, 86_400])
def test_a_redelivery_of_what_another_process_stored_is_known_however_old_it_is(message: Incoming, age_s: int) -> None:
    clock = Clock()
    sorter = after_another_process(clock, message, age_s)
    clock.now_s += 5
    assert stored(sorter, message._replace(duplicate=True, generation=2)) == []


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
