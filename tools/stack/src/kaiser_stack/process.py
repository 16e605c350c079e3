"""One child process: how it is spawned, recorded in a pid file and ended.

A child lives in a process group of its own, so Ctrl-C reaches only its parent; on Linux the kernel signals the child
when its parent dies, for whatever reason. The pid file also records when the process started, so that a left-over child
can be distinguished from a later process with the same number.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from kaiser_stack.account import ServerAccount
from kaiser_stack.errors import NotReadyError, SetupError

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_LOG_LIMIT_BYTES = 10 * 1024**2


@dataclass(frozen=True, slots=True)
class Program:
    """A program to run. account None: as this user. `stop_signal` asks it to stop and save its state."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    account: ServerAccount | None = None
    stop_signal: signal.Signals = signal.SIGTERM


def popen_arguments(program: Program) -> dict[str, Any]:
    """The arguments that make `subprocess` spawn a child as this module promises."""
    arguments: dict[str, Any] = {
        "env": dict(program.environment) or None,
        "stdin": subprocess.DEVNULL,
        "stderr": subprocess.STDOUT,
        "start_new_session": True,
        "preexec_fn": _dies_with(os.getpid(), program.stop_signal),
    }
    if program.account:
        arguments |= {"user": program.account.uid, "group": program.account.gid, "extra_groups": [], "cwd": "/"}
    return arguments


def _dies_with(parent: int, number: signal.Signals) -> Callable[[], None] | None:
    """To be run in the new child: have the kernel signal it when the thread that spawned it ends."""
    if _LIBC is None:
        return None

    def tie() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return tie


class Child:
    """A running process with its output in a log file. Spawn it from the main thread: it dies with its thread."""

    def __init__(self, program: Program, log: Path) -> None:
        self.program = program
        with open_log(log) as output:
            try:
                self._process = subprocess.Popen(program.command, stdout=output, **popen_arguments(program))
            except OSError as error:
                raise SetupError(f"{program.name} cannot be run: {error}") from error

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def status(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def wait(self, within_s: float) -> int | None:
        """Its exit status once it has ended; None if it still runs after that time."""
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            return None

    def signal(self, number: signal.Signals) -> None:
        """Signal the process; nothing happens when it has ended."""
        self._process.send_signal(number)

    def stop(self, within_s: float = 10.0) -> int:
        """Stop it by its stop signal, by SIGKILL if that takes longer than `within_s`."""
        self.signal(self.program.stop_signal)
        status = self.wait(within_s)
        return self.kill() if status is None else status

    def kill(self) -> int:
        """End it and its process group with SIGKILL."""
        if self._process.poll() is None:
            signal_group(self.pid, signal.SIGKILL)
        return self._process.wait(10.0)


def wait_ready(probe: Callable[[], None], child: Child, log: Path, within_s: float) -> None:
    """Ask until `probe` raises nothing. NotReadyError when the child ended or the time is over, with its last words."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            probe()
        except NotReadyError as error:
            if child.status() is not None:
                raise NotReadyError(f"{child.program.name} ended with {child.status()}: {last_words(log)}") from error
            if time.monotonic() > deadline:
                raise NotReadyError(f"{error} after {within_s:g} s: {last_words(log)}") from error
            time.sleep(0.02)
        else:
            return


def open_log(path: Path) -> IO[bytes]:
    """Open a log file for adding to; one that has grown past 10 MiB is set aside as `.1` first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > _LOG_LIMIT_BYTES:
        path.replace(path.with_suffix(path.suffix + ".1"))
    return path.open("ab")


def last_words(log: Path, lines: int = 3) -> str:
    """The last lines of a log file, on one line."""
    if not log.exists():
        return "no log"
    text = log.read_bytes()[-4000:].decode(errors="replace")
    return " | ".join(line.strip() for line in text.splitlines()[-lines:] if line.strip()) or "empty log"


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signal the process group that a child leads; nothing happens when it is gone."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return


def write_pid_file(path: Path, pid: int, stop_signal: signal.Signals) -> None:
    """Record a child, so that a later start can end it if this one cannot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(f"{pid}\n{started_at(pid)}\n{int(stop_signal)}\n")
    part.replace(path)


@dataclass(frozen=True, slots=True)
class PidRecord:
    """A process that runs and that a pid file names."""

    pid: int
    stop_signal: signal.Signals


def recorded(path: Path) -> PidRecord | None:
    """The process of a pid file; None if there is no such file or the process has ended."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return None
    if len(lines) != 3 or not lines[0].isdecimal() or not lines[2].isdecimal():
        return None
    pid = int(lines[0])
    return PidRecord(pid, signal.Signals(int(lines[2]))) if lines[1] and started_at(pid) == lines[1] else None


def end_recorded(folder: Path, within_s: float = 10.0) -> list[str]:
    """End every process that a pid file of `folder` rightly names, remove the files, return the names."""
    left = {path: child for path in sorted(folder.glob("*.pid")) if (child := recorded(path))}
    for child in left.values():
        os.kill(child.pid, child.stop_signal)
    deadline = time.monotonic() + within_s
    while any(recorded(path) for path in left) and time.monotonic() < deadline:
        time.sleep(0.05)
    for path, child in left.items():
        if recorded(path):
            signal_group(child.pid, signal.SIGKILL)
    for path in folder.glob("*.pid"):
        path.unlink()
    return [path.stem for path in left]


def started_at(pid: int) -> str:
    """When the process with this id started, in the system's own notation; empty when there is none."""
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return ""
        return "" if fields[0] in "ZX" else fields[19]
    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip()
