"""Loops that services share: what an outage, a bug and a stop mean for them."""

import asyncio

import psycopg
import pytest
from kaiser_common.bus.connection import BusUnavailable
from kaiser_common.runtime.loops import beside, each_of, every, unless_stopped, until_done, until_stopped
from kaiser_common.runtime.service import Service
from structlog.testing import capture_logs


class Steps:
    """A step that raises or returns what it is given, in turn; the last one stays."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.outcomes = list(outcomes)
        self.calls = 0
        self.called = asyncio.Event()

    async def __call__(self) -> None:
        self.calls += 1
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if not self.outcomes[1:]:
            self.called.set()
        if outcome is not None:
            raise outcome


async def test_a_step_is_repeated_after_an_outage_of_database_or_bus():
    step = Steps(psycopg.OperationalError("gone"), BusUnavailable("gone"), TimeoutError("gone"), None)
    interruptions = []
    with capture_logs() as logs:
        repeating = asyncio.create_task(
            every(0.001, step, "sweep_postponed", interrupted=lambda: interruptions.append(step.calls))
        )
        await asyncio.wait_for(step.called.wait(), 60)
        repeating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await repeating
    assert interruptions == [1, 2, 3]
    assert [(log["event"], log["reason"]) for log in logs] == [("sweep_postponed", "gone")] * 3


@pytest.mark.parametrize("bug", [ValueError("wrong"), psycopg.errors.UndefinedTable("no table")])
async def test_a_bug_of_a_step_is_raised(bug):
    with pytest.raises(type(bug)):
        await every(0.001, Steps(bug), "sweep_postponed")
    with pytest.raises(type(bug)):
        await until_done(Steps(bug), "load_postponed")


async def test_a_step_is_called_until_it_succeeds_once():
    step = Steps(psycopg.OperationalError("gone"), None)
    await until_done(step, "load_postponed", retry_s=0.001)
    assert step.calls == 2


async def test_a_cancelled_loop_ends_also_while_its_step_waits():
    async def waits() -> None:
        await asyncio.Event().wait()

    repeating = asyncio.create_task(every(1.0, waits, "sweep_postponed"))
    await asyncio.sleep(0)
    repeating.cancel()
    await asyncio.wait([repeating], timeout=60)
    assert repeating.cancelled()


async def test_jobs_beside_a_block_end_with_it():
    ended = []

    async def job() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("job")

    async with beside(job=job()):
        await asyncio.sleep(0)
        assert ended == []
    assert ended == ["job"]


async def test_a_job_that_fails_ends_the_block():
    async def fails() -> None:
        raise ValueError("wrong")

    with pytest.raises(ExceptionGroup) as group:
        async with beside(job=fails()):
            await asyncio.Event().wait()
    assert isinstance(group.value.exceptions[0], ValueError)


async def test_a_wait_ends_when_the_service_is_stopped():
    service, ended = Service("test"), asyncio.Event()

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    assert await unless_stopped(service, asyncio.sleep(0))
    service.stopping.set()
    assert not await unless_stopped(service, waits())
    await asyncio.wait_for(ended.wait(), 60)


async def test_what_is_waited_for_may_fail():
    async def fails() -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        await unless_stopped(Service("test"), fails())


async def test_a_task_is_waited_for_until_the_service_is_stopped():
    service = Service("test")
    quick = asyncio.create_task(asyncio.sleep(0))
    assert await until_stopped(service, quick)
    lasting = asyncio.create_task(asyncio.Event().wait())
    service.stopping.set()
    assert not await until_stopped(service, lasting)
    assert not lasting.done()
    lasting.cancel()


async def test_a_step_is_done_with_many_things_beside_each_other_and_never_with_more_than_asked():
    begun: list[int] = []
    most = running = 0

    async def step(number: int) -> None:
        nonlocal most, running
        begun.append(number)
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    await each_of(range(10), step, at_once=4)
    assert (begun, most, running) == ([*range(10)], 4, 0)


async def test_what_began_beside_a_failure_is_done_before_it_is_raised_and_nothing_begins_behind_it():
    done: list[int] = []

    async def step(number: int) -> None:
        if number == 1:
            raise BusUnavailable("gone")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        done.append(number)

    with pytest.raises(BusUnavailable, match="gone"):
        await each_of(range(8), step, at_once=4)
    assert done == [0, 2, 3]
