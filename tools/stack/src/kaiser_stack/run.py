"""The life of a stack: takes the lock on its state folder, starts everything, keeps it running, and stops it.

Servers start first and stop last. If the stack is ended by SIGKILL, the kernel sends its children their stop signals
(Linux), and the next start on the same state folder uses the pid files to end whatever is left over.
"""

import asyncio
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from kaiser_stack import report
from kaiser_stack.errors import SetupError
from kaiser_stack.process import end_recorded
from kaiser_stack.settings import StackSettings
from kaiser_stack.start import Started, StartPlan, start

_ONE_SIGNAL_S = 0.5


def run(plan: StartPlan) -> None:
    """Run until SIGTERM, SIGHUP or Ctrl-C. SetupError, NotReadyError: it did not start, and nothing is left of it."""
    settings = plan.settings
    os.umask(0o077)  # also of every child: data, logs and configurations are their owner's alone
    for folder in (settings.state_dir, settings.run_dir, settings.log_dir):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
        except OSError as error:
            raise SetupError(f"the folder {folder} cannot be made: {error.strerror}; set KAISER_STATE_DIR") from error
    with _alone_on(settings):
        left_over = end_recorded(settings.run_dir)
        if left_over:
            plan.console.notice(f"ended what an earlier run had left: {', '.join(left_over)}")
        for hold in settings.run_dir.glob("*.hold"):
            hold.unlink()
        asyncio.run(_run(plan))


@contextmanager
def _alone_on(settings: StackSettings) -> Iterator[None]:
    """Hold the state folder's lock; SetupError when another stack has it."""
    with (settings.run_dir / "stack.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SetupError(
                f"another stack runs on {settings.state_dir}: stop it, or give this one a KAISER_STATE_DIR and ports "
                "of its own"
            ) from error
        yield


async def _run(plan: StartPlan) -> None:
    stop = asyncio.Event()
    started = Started()
    hurried: list[asyncio.Task[None]] = []
    signalled: list[float] = [time.monotonic()]

    def on_signal(number: signal.Signals) -> None:
        """The first signal stops everything, a later one kills what still runs; a wrapper may send one twice."""
        now = time.monotonic()
        if stop.is_set() and now - signalled[-1] < _ONE_SIGNAL_S:
            return
        signalled.append(now)
        if stop.is_set():
            plan.console.notice("killing what still runs")
            hurried.extend(asyncio.ensure_future(keeper.stop()) for keeper in [*started.services, *started.servers])
        else:
            plan.console.notice(f"{number.name}: stopping")
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, on_signal, number)
    async with asyncio.TaskGroup() as tasks:
        starting = asyncio.create_task(start(plan, started, tasks), name="start")
        stopped = tasks.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait([starting, stopped], return_when=asyncio.FIRST_COMPLETED)
            if starting.done() and not starting.exception():
                await stopped
        finally:
            stop.set()
            starting.cancel()
            await asyncio.wait([starting])
            report.addresses_file(plan.settings).unlink(missing_ok=True)
            await _stop(started)
    if not starting.cancelled():
        starting.result()
    plan.console.notice("stopped; the data is kept")


async def _stop(started: Started) -> None:
    """Stop all services together, then the servers one after the other, the broker first."""
    await asyncio.gather(*(keeper.stop() for keeper in started.services))
    for keeper in started.servers:
        await keeper.stop()
