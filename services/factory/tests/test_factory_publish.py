"""Events of the factory on their way to the bus."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from kaiser_common.bus.connection import BusUnavailable, Outgoing
from kaiser_common.contract.schemas.factory import FactoryModule, FactoryStore
from kaiser_factory import metrics, publish

NOW = 1_771_000_000_000


class Taken:
    """A bus that takes what is published, or not."""

    def __init__(self, *, is_away: bool = False) -> None:
        self.messages: list[Outgoing] = []
        self._is_away = is_away
        self._ids = 0

    def message_id(self) -> str:
        self._ids += 1
        return f"m{self._ids}"

    async def publish_batch(self, messages: Sequence[Outgoing], *, deadline_s: float, ordered: bool) -> None:
        if self._is_away:
            raise BusUnavailable("away")
        self.messages += messages


def events(modules: int) -> list[tuple[str, str | None, Any]]:
    """Events of some modules, and one of a store."""
    found: list[tuple[str, str | None, Any]] = [
        ("factory_stock", "SHBW", FactoryStore(env="live", hbw="SHBW", bays=[], ts=NOW))
    ]
    for number in range(modules):
        serial = f"S{number}"
        module = FactoryModule(
            env="live",
            serial=serial,
            kind="module",
            connection="ONLINE",
            silent=False,
            availability="READY",
            loads=[],
            errors=[],
            stale=False,
            ts=NOW,
        )
        found.append(("factory_module", serial, module))
    return found


async def test_modules_that_changed_together_are_one_message_of_a_line_each() -> None:
    bus = Taken()
    assert await publish.events(bus, events(3))
    store, pack = bus.messages
    assert (store.subject, pack.subject) == ("event.factory_stock.SHBW", "event.factory_module.0")
    assert [json.loads(line)["serial"] for line in pack.body.split(b"\n")] == ["S0", "S1", "S2"]
    assert dict(pack.headers) == {"Kaiser-Count": "3"}
    assert store.msg_id != pack.msg_id


async def test_a_thousand_modules_are_packs_within_their_bounds() -> None:
    bus = Taken()
    await publish.events(bus, events(2500))
    packs = [one.body for one in bus.messages if one.subject == "event.factory_module.0"]
    assert sum(body.count(b"\n") + 1 for body in packs) == 2500
    assert max(map(len, packs)) <= 512 * 1024


@pytest.mark.parametrize("modules", [0, 3])
async def test_every_event_that_nats_did_not_take_is_counted(modules: int) -> None:
    before = metrics.EVENTS_DROPPED._value.get()
    assert not await publish.events(Taken(is_away=True), events(modules))
    assert metrics.EVENTS_DROPPED._value.get() - before == modules + 1
