"""Replay of a newly approved device's rejected messages, against an ingest that the test plays on real NATS."""

from collections.abc import AsyncIterator

import pytest
from answering import Method, serve
from kaiser_common.bus.connection import Bus, connect
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.schemas.api.rejected import CauseReplay, RefusedReplay, ReplayedCause
from kaiser_common.runtime.settings import CommonSettings
from kaiser_health.api.replay import Replayed, replay

ADA = Caller(user="ada", role="operator", request_id="r1")


class Ingest:
    """Answers as ingest does: a step at a time, oldest first; some steps are short, because their time is bounded."""

    def __init__(self, seqs: list[int], step_sizes: list[int]) -> None:
        self.seqs = sorted(seqs)
        self.step_sizes = step_sizes
        self.replayed: list[int] = []
        self.bad: dict[int, int] = {}
        self.away_at: int | None = None

    async def step(self, request: CauseReplay, _: Caller) -> ReplayedCause:
        assert (request.code, request.esp_id) == (5001, "ESP_A")
        through = self.seqs[-1] if request.through is None else request.through
        assert through == self.seqs[-1], "the replay has an end while more messages are rejected"
        left = [seq for seq in self.seqs if seq > (-1 if request.after is None else request.after)]
        size = self.step_sizes.pop(0) if self.step_sizes else request.limit
        taken, rest = left[:size], left[size:]
        if self.away_at in taken:
            raise RpcError(503, 5402, "NATS is away")
        good = [seq for seq in taken if seq not in self.bad]
        self.replayed += good
        refusals = [RefusedReplay(seq=seq, code=self.bad[seq], message="m") for seq in taken if seq in self.bad]
        return ReplayedCause(
            replayed=len(good),
            published=len(good),
            refused=len(refusals),
            refusals=refusals,
            left=len(rest),
            is_left_exact=True,
            through=through,
            next_cursor=str(rest[0] - 1) if rest else None,
        )

    def methods(self) -> dict[str, Method]:
        return {"rejected_replay_cause": Method(CauseReplay, self.step)}


@pytest.fixture
async def bus(nats_factory) -> AsyncIterator[Bus]:
    async with connect(CommonSettings(nats_url=nats_factory().url), "test") as bus:
        yield bus


async def test_all_steps_are_taken_oldest_first(bus):
    ingest = Ingest(list(range(10, 5010, 2)), [300, 0, 1, 200])
    ingest.bad = {10: 5205, 700: 5205}
    async with serve(bus, "ingest", ingest.methods()):
        assert await replay(bus, "ESP_A", ADA, within_s=200.0) == Replayed(2498, True)
    assert ingest.replayed == [seq for seq in range(10, 5010, 2) if seq not in (10, 700)]


async def test_a_replay_of_a_device_that_ingest_does_not_know_in_time_is_not_complete(bus):
    ingest = Ingest([1, 2], [])
    ingest.bad = {1: 5001, 2: 5001}
    async with serve(bus, "ingest", ingest.methods()):
        assert await replay(bus, "ESP_A", ADA) == Replayed(0, False)


async def test_what_ingest_could_not_take_in_is_told(bus):
    ingest = Ingest(list(range(1, 11)), [4])
    ingest.away_at = 5
    async with serve(bus, "ingest", ingest.methods()):
        assert await replay(bus, "ESP_A", ADA) == Replayed(4, False)


async def test_the_time_for_it_is_bounded(bus):
    ingest = Ingest(list(range(1, 11)), [])
    async with serve(bus, "ingest", ingest.methods()):
        assert await replay(bus, "ESP_A", ADA, within_s=-1.0) == Replayed(0, False)
    assert ingest.replayed == []
