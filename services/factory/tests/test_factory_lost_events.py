"""Events that NATS did not take in time are published again, also where nothing changes any more."""

import json
from collections.abc import Sequence
from typing import Any

from kaiser_common.bus.connection import BusUnavailable, Outgoing
from kaiser_common.contract.pack import split
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_factory import publish
from kaiser_factory.consumers.topics import TopicsReader
from kaiser_factory.domain.live import Changes, FactoryState
from kaiser_factory.jobs.samples import Sampling
from kaiser_factory_dialect.reading import Arrival

NOW = 1_771_000_000_000
ENVIRONMENT = FactoryEnvironment(env="live", kind="live", epoch=1)
STATE = ("module/v1/ff/S1/state", {"serialNumber": "S1", "errors": [], "actionState": None}, "module.state")
OTHER = ("module/v1/ff/S2/state", {"serialNumber": "S2", "errors": [], "actionState": None}, "module.state")
ORDER = (
    "ccu/order/active",
    [{"orderId": "o1", "orderType": "PRODUCTION", "type": "WHITE", "state": "IN_PROGRESS", "productionSteps": []}],
    "ccu.active",
)
STOCK = (
    "ccu/state/stock",
    {"stockItems": [{"hbw": "H1", "location": "A1", "workpiece": {"type": "RED", "id": "04", "state": "RAW"}}]},
    "ccu.stock",
)


class Away:
    """A bus that takes nothing until NATS is back. taken: the type and key of each event."""

    def __init__(self) -> None:
        self.is_away = True
        self.tried = 0
        self.taken: list[tuple[str, str]] = []

    def message_id(self) -> str:
        return "m"

    async def publish_batch(self, messages: Sequence[Outgoing], *, deadline_s: float, ordered: bool) -> None:
        self.tried += 1
        if self.is_away:
            raise BusUnavailable("away")
        for one in messages:
            for line in split(one.body) if "factory_module" in one.subject else [one.body]:
                event = json.loads(line)
                self.taken.append((one.subject.split(".")[1], event.get("serial") or one.subject.split(".")[2]))


def heard(live: FactoryState, *messages: tuple[str, Any, str]) -> Changes:
    """The changes that messages make in the state."""
    changes = Changes()
    for topic, payload, verdict in messages:
        live.take(Arrival(topic, json.dumps(payload).encode(), NOW), verdict, changes)
    return changes


async def test_what_nats_did_not_take_is_told_within_a_second_though_nothing_comes_any_more():
    bus, live = Away(), FactoryState(ENVIRONMENT, ())
    reader = TopicsReader(bus, ENVIRONMENT, (), lambda _: None)
    await reader._publish(live, heard(live, STATE, ORDER, STOCK))
    sampling = Sampling(bus, None, lambda: live)
    await sampling._look(live, NOW)  # still away
    bus.is_away = False
    await sampling._look(live, NOW)
    told = [("factory_module", "S1"), ("factory_order", "o1"), ("factory_stock", "H1")]
    assert sorted(bus.taken) == told
    await sampling._look(live, NOW)
    await reader._publish(live, Changes())
    assert sorted(bus.taken) == told


async def test_a_row_that_time_changed_is_told_though_nats_was_away_then():
    bus, live = Away(), FactoryState(ENVIRONMENT, ())
    bus.is_away = False
    await publish.news(bus, live, heard(live, STATE), NOW)
    bus.taken.clear()
    bus.is_away = True
    later = NOW + 600_000
    live.factory.machines["S1"].last_seen = later - 6_000
    await Sampling(bus, None, lambda: live)._look(live, later)
    bus.is_away = False
    await Sampling(bus, None, lambda: live)._look(live, later)
    assert bus.taken == [("factory_module", "S1")]


async def test_the_next_message_brings_lost_orders_and_stores_too():
    bus, live = Away(), FactoryState(ENVIRONMENT, ())
    reader = TopicsReader(bus, ENVIRONMENT, (), lambda _: None)
    await reader._publish(live, heard(live, ORDER, STOCK))
    bus.is_away = False
    await reader._publish(live, heard(live, OTHER))
    assert sorted(bus.taken) == [("factory_module", "S2"), ("factory_order", "o1"), ("factory_stock", "H1")]


async def test_a_factory_of_many_machines_waits_for_nats_once_in_a_round():
    bus, live = Away(), FactoryState(ENVIRONMENT, ())
    for number in range(100):
        topic, payload, verdict = STATE
        heard(live, (topic.replace("S1", f"S{number}"), payload | {"serialNumber": f"S{number}"}, verdict))
    rows = await Sampling(bus, None, lambda: live)._look(live, NOW)
    assert (len(rows), bus.tried) == (100, 1)
    bus.is_away = False
    await Sampling(bus, None, lambda: live)._look(live, NOW)
    assert len(bus.taken) == 100
