"""Keeps one program running: it is started again whenever it ends, until `stop` is called.

As long as the run folder contains a file `<name>.hold`, a program that has ended is not started again.
"""

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path

from kaiser_stack.console import Console
from kaiser_stack.process import (
    Program,
    open_log,
    popen_arguments,
    signal_group,
    write_pid_file,
)
from kaiser_stack.settings import StackSettings

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_STEADY_AFTER_S = 10.0
_STOP_WITHIN_S = 10.0
_CANNOT_BE_RUN = 126


class Keeper:
    """One kept program. `show` takes each line of its output; without it the output goes to the log alone.

    `instead` is asked with the exit status whenever the program has ended, and may name another one to be run in its
    place; such an end does not count as the first status.
    """

    def __init__(
        self,
        program: Program,
        settings: StackSettings,
        console: Console,
        show: Callable[[str], None] | None = None,
        instead: Callable[[int], Program | None] | None = None,
    ) -> None:
        self.name = program.name
        self.first_status: int | None = None
        self.log = settings.log(program.name)
        self._program = program
        self._console = console
        self._show = show
        self._instead = instead
        self._pid_file = settings.run_dir / f"{program.name}.pid"
        self._hold = settings.run_dir / f"{program.name}.hold"
        self._stopping = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None

    async def keep(self) -> None:
        """Run the program, and again when it ends, after longer pauses if it ends quickly; returns after `stop`."""
        pause_s = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            if self._hold.exists():
                await self._pause(_FIRST_PAUSE_S)
                continue
            started = time.monotonic()
            status = await self._run_once()
            other = self._instead(status) if self._instead else None
            if other:
                self._program = other
                continue
            if self.first_status is None:
                self.first_status = status
            if self._stopping.is_set() or self._hold.exists():
                continue
            if time.monotonic() - started > _STEADY_AFTER_S:
                pause_s = _FIRST_PAUSE_S
            self._console.notice(
                f"{self.name} {in_words(status)}; started again in {pause_s:g} s (its log: {self.log})"
            )
            await self._pause(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def stop(self) -> None:
        """Stop the program by its stop signal, after 10 s by SIGKILL. A second call sends SIGKILL immediately."""
        hurry = self._stopping.is_set()
        self._stopping.set()
        process = self._process
        if not process or process.returncode is not None:
            return
        if hurry:
            signal_group(process.pid, signal.SIGKILL)
            return
        process.send_signal(self._program.stop_signal)
        try:
            async with asyncio.timeout(_STOP_WITHIN_S):
                await process.wait()
        except TimeoutError:
            self._console.notice(f"{self.name} did not stop within {_STOP_WITHIN_S:g} s and was killed")
            signal_group(process.pid, signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Signal the program; nothing happens when it is not running."""
        if self._process and self._process.returncode is None:
            self._process.send_signal(number)

    async def _run_once(self) -> int:
        with open_log(self.log) as log:
            try:
                process = await asyncio.create_subprocess_exec(
                    *self._program.command,
                    stdout=asyncio.subprocess.PIPE if self._show else log,
                    **popen_arguments(self._program),
                )
            except OSError as error:
                log.write(f"cannot be run: {error}\n".encode())
                return _CANNOT_BE_RUN
        self._process = process
        if self._stopping.is_set():
            process.send_signal(self._program.stop_signal)
        write_pid_file(self._pid_file, process.pid, self._program.stop_signal)
        if self._show and process.stdout:
            await _copy_lines(process.stdout, self.log, self._show)
        status = await process.wait()
        signal_group(process.pid, signal.SIGKILL)
        self._pid_file.unlink(missing_ok=True)
        return status

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return


async def _copy_lines(output: asyncio.StreamReader, path: Path, show: Callable[[str], None]) -> None:
    """Copy a process's output into its log, line by line, until it closes it; a very long line is cut in pieces."""
    rest = b""
    log = open_log(path)
    try:
        while chunk := await output.read(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > 65536:
                lines, rest = [*lines, rest], b""
            log.write(b"".join(line + b"\n" for line in lines))
            log.flush()
            for line in lines:
                show(line.decode(errors="replace"))
            if log.tell() > 2 * 10 * 1024**2:
                log.close()
                log = open_log(path)
        log.write(rest)
    finally:
        log.close()


def in_words(status: int) -> str:
    """How a process ended."""
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"
