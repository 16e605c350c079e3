"""Replay of a newly approved device's rejected messages, against an ingest that the test plays on real NATS."""

from collections.abc import AsyncIterator

import pytest
from answering import Method, serve
from kaiser_common.bus.connection import Bus, connect
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.schemas.api.rejected import (
    RejectedItem,
    RejectedPage,
    RejectedQuery,
    ReplayAnswer,
    ReplayRequest,
)
from kaiser_common.runtime.settings import CommonSettings
from kaiser_health.api.replay import Replayed, replay

ADA = Caller(user="ada", role="operator", request_id="r1")


class Ingest:
    """Answers as ingest does: pages newest first, some short or empty because they are bounded in bytes and time."""

    def __init__(self, seqs: list[int], page_sizes: list[int]) -> None:
        self.seqs = sorted(seqs, reverse=True)
        self.page_sizes = page_sizes
        self.replayed: list[int] = []
        self.unknown_for = 0
        self.bad: set[int] = set()
        self.away_at: int | None = None

    async def page(self, query: RejectedQuery, _: Caller) -> RejectedPage:
        assert (query.code, query.esp_id) == (5001, "ESP_A")
        left = [seq for seq in self.seqs if query.before is None or seq < query.before]
        size = self.page_sizes.pop(0) if self.page_sizes else query.limit
        items, cursor = left[:size], left[size] + 1 if len(left) > size else None
        return RejectedPage(
            items=[self.item(seq) for seq in items], next_cursor=None if cursor is None else str(cursor)
        )

    def item(self, seq: int) -> RejectedItem:
        return RejectedItem(
            seq=seq,
            topic="kaiser/god/esp/ESP_A/sensor/4/data",
            payload="{}",
            encoding="text",
            code=5001,
            message="ESP_A is not registered",
            esp_id="ESP_A",
            received_at=1_767_225_600_000,
        )

    async def replay(self, request: ReplayRequest, _: Caller) -> ReplayAnswer:
        if self.unknown_for:
            self.unknown_for -= 1
            raise RpcError(422, 5001, "ESP_A is not registered")
        if request.seq in self.bad:
            raise RpcError(422, 5205, "raw is missing")
        if request.seq == self.away_at:
            raise RpcError(503, 5402, "NATS is away")
        self.replayed.append(request.seq)
        return ReplayAnswer(seq=request.seq, published=1, rejected=0)

    def methods(self) -> dict[str, Method]:
        return {
            "rejected_list": Method(RejectedQuery, self.page),
            "rejected_replay": Method(ReplayRequest, self.replay),
        }


@pytest.fixture
async def bus(nats_factory) -> AsyncIterator[Bus]:
    async with connect(CommonSettings(nats_url=nats_factory().url), "test") as bus:
        yield bus


async def test_all_pages_are_replayed_oldest_first(bus):
    ingest = Ingest(list(range(10, 1510, 2)), [300, 0, 1, 200])
    ingest.unknown_for = 3
    ingest.bad = {10, 700}
    async with serve(bus, "ingest", ingest.methods()):
        assert await replay(bus, "ESP_A", ADA, within_s=200.0) == Replayed(748, True)
    assert ingest.replayed == [seq for seq in range(10, 1510, 2) if seq not in (10, 700)]


async def test_no_more_than_two_thousand_are_replayed(bus):
    ingest = Ingest(list(range(1, 2501)), [])
    async with serve(bus, "ingest", ingest.methods()):
        assert await replay(bus, "ESP_A", ADA, within_s=200.0) == Replayed(2000, True)
    assert ingest.replayed == list(range(501, 2501))


async def test_what_ingest_could_not_take_in_is_told(bus):
    ingest = Ingest(list(range(1, 11)), [])
    ingest.away_at = 5
    async with serve(bus, "ingest", ingest.methods()):
        assert await replay(bus, "ESP_A", ADA) == Replayed(4, False)


async def test_the_time_for_it_is_bounded(bus):
    ingest = Ingest(list(range(1, 11)), [5, 5])
    async with serve(bus, "ingest", ingest.methods()):
        assert await replay(bus, "ESP_A", ADA, within_s=-1.0) == Replayed(0, False)
    assert ingest.replayed == []
