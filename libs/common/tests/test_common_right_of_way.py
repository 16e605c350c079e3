"""Urgent work goes before other work of the same event loop, which goes on afterwards as if nothing had been."""

import asyncio

import pytest
from kaiser_common.bus.right_of_way import HOLDS_S, RightOfWay


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def steps(number: int, done: list[int]) -> int:
    for step in range(number):
        done.append(step)
        await asyncio.sleep(0)
    return number


async def test_other_work_takes_no_step_while_urgent_work_is_under_way_and_all_of_them_afterwards():
    way, done = RightOfWay(), list[int]()
    works = [asyncio.ensure_future(way.giving_way(steps(10, done))) for _ in range(100)]
    await asyncio.sleep(0)
    with way.urgent():
        before = len(done)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(done) == before
    assert await asyncio.gather(*works) == [10] * 100
    assert len(done) == 1_000


async def test_urgent_work_holds_the_others_up_for_a_moment_and_half_of_the_time_at_most():
    clock = Clock()
    way = RightOfWay(clock)
    with way.urgent():
        assert not way.is_open
        clock.now += 0.1
    assert way.is_open
    with way.urgent():
        assert way.is_open, "it was closed for 0.1 s just now"
    clock.now += 0.1
    with way.urgent():
        assert not way.is_open
        async with asyncio.timeout(60):
            await way.until_open()  # by itself: urgent work that takes longer holds nobody up


async def test_two_urgent_works_hold_the_others_up_until_the_later_one_ends():
    way = RightOfWay()
    first, second = way.urgent(), way.urgent()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not way.is_open
    second.__exit__(None, None, None)
    assert way.is_open


async def test_a_cancellation_reaches_work_that_waits_for_the_way_and_work_that_waits_for_something_else():
    way, ended = RightOfWay(), list[str]()

    async def work() -> None:
        try:
            await asyncio.sleep(HOLDS_S * 1_000)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    waits = asyncio.ensure_future(way.giving_way(work()))
    await asyncio.sleep(0)
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits
    held_up = asyncio.ensure_future(way.giving_way(work()))
    await asyncio.sleep(0)
    with way.urgent():
        held_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await held_up
    assert ended == ["cancelled", "cancelled"]


async def test_results_errors_and_timeouts_are_those_of_the_work():
    way = RightOfWay()

    async def fails() -> None:
        await asyncio.sleep(0)
        raise LookupError("a")

    async def late() -> None:
        async with asyncio.timeout(0.001):
            await asyncio.sleep(60)

    assert await way.giving_way(steps(3, [])) == 3
    with pytest.raises(LookupError):
        await way.giving_way(fails())
    with pytest.raises(TimeoutError):
        await way.giving_way(late())
