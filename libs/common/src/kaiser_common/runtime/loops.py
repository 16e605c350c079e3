"""The loops that services share.

They repeat a step at an interval or until it succeeds, do the same with many things at once, run jobs while a block
runs, wait for a task until the service is stopped, and work while this process holds the lease.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, NoReturn, TypeVar

import structlog

from kaiser_common.bus.lease import Grant, Lease
from kaiser_common.runtime.service import Service
from kaiser_common.runtime.verdicts import OUTAGES, reason_of

log = structlog.get_logger()

ItemT = TypeVar("ItemT")

_RETRY_S = 5.0
_AWAY: tuple[type[Exception], ...] = (*OUTAGES, OSError)
"""The errors of an unavailable database or bus; a timeout is an OSError."""


def _nothing() -> None:
    """The default of what is called after an outage."""


async def every(
    period_s: float,
    step: Callable[[], Awaitable[object]],
    postponed: str,
    *,
    delay_s: float = 0.0,
    retry_s: float = _RETRY_S,
    interrupted: Callable[[], None] = _nothing,
) -> NoReturn:
    """Call `step` after `delay_s`, and again `period_s` after each success, until cancelled.

    Database or bus away: the event `postponed` is logged with the reason, `interrupted` is called, and the step comes
    again after `retry_s`, or after the period where that is shorter. Anything else that `step` raises is a bug and is
    raised.
    """
    await asyncio.sleep(delay_s)
    while True:
        try:
            await step()
        except _AWAY as error:
            log.warning(postponed, reason=reason_of(error))
            interrupted()
            await asyncio.sleep(min(period_s, retry_s))
        else:
            await asyncio.sleep(period_s)


async def until_done(step: Callable[[], Awaitable[object]], postponed: str, *, retry_s: float = 1.0) -> None:
    """Call `step` once. Database or bus away: the event `postponed` is logged, and the step comes again."""
    while True:
        try:
            await step()
        except _AWAY as error:
            log.warning(postponed, reason=reason_of(error))
            await asyncio.sleep(retry_s)
        else:
            return


async def each_of(items: Sequence[ItemT], step: Callable[[ItemT], Awaitable[object]], *, at_once: int) -> None:
    """Do a step with each of many things, `at_once` of them beside each other, in their order.

    If one raises, so does this, once the others that began with it are done; those behind it are not begun.
    """
    for start in range(0, len(items), at_once):
        part = items[start : start + at_once]
        ended = await asyncio.gather(*(step(item) for item in part), return_exceptions=True)
        for error in ended:
            if isinstance(error, BaseException):
                raise error


@asynccontextmanager
async def beside(**jobs: Coroutine[Any, Any, Any]) -> AsyncIterator[None]:
    """Run jobs, each a task of the name given, while the block runs; at its end they are cancelled.

    A job that fails cancels the block, and its error is raised in an ExceptionGroup.
    """
    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(job, name=name) for name, job in jobs.items()]
        yield
        for task in started:
            task.cancel()


async def until_stopped(service: Service, task: "asyncio.Task[Any]") -> bool:
    """Wait for a task, or for the signal to stop. True: the task is done; what it raised is left in it. False: the
    task still runs."""
    stopping = asyncio.create_task(service.stopping.wait())
    try:
        await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
    return task.done()


async def unless_stopped(service: Service, waiting: Coroutine[Any, Any, Any]) -> bool:
    """Wait for something, unless the service is stopped first: then it is cancelled, and this returns False.

    What it raises is raised."""
    task = asyncio.create_task(waiting)
    try:
        if not await until_stopped(service, task):
            return False
    finally:
        task.cancel()
    task.result()
    return True


Work = Callable[[asyncio.Event], Coroutine[Any, Any, None]]
"""The work of a lease's holder, until the event is set; then it ends in order, within seconds."""


async def leader(service: Service, lease: Lease, work: Work) -> None:
    """Do the work whenever the lease is ours, until the service is stopped.

    Lease lost: the work is cancelled, and this waits for the lease again. Service stopped: the work is asked to end and
    waited for. After either, and after a failure of the work, the lease is given back. Killed: a standby has the lease
    once it has expired.
    """
    while not service.stopping.is_set():
        acquiring = asyncio.create_task(lease.acquire(), name="lease")
        if not await until_stopped(service, acquiring):
            acquiring.cancel()
            return
        await _lead(service, lease, acquiring.result(), work)


async def _lead(service: Service, lease: Lease, grant: Grant, work: Work) -> None:
    stop = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(lease.keep(grant), name="lease")
            working = tasks.create_task(work(stop), name="holder")
            if await until_stopped(service, keeping):
                log.error("lease_lost", reason=keeping.result(), next="stopped, waiting for the lease")
                working.cancel()
            stop.set()
            await asyncio.wait([working])
            keeping.cancel()
    finally:
        await lease.release(grant)  # after a loss too: it deletes only what is still ours
