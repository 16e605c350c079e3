"""Stops and starts single processes of a running stack by pid and hold files; has a server reread its configuration."""

import os
import signal
import time
from pathlib import Path

from kaiser_stack.errors import SetupError
from kaiser_stack.process import recorded

_ENDED_WITHIN_S = 15.0
_STARTED_WITHIN_S = 10.0


def stop(run_dir: Path, name: str, *, kill: bool = False) -> None:
    """End a process and hold it; by SIGKILL if `kill`. Returns once it has ended. SetupError for an unknown name."""
    _check(run_dir, name)
    (run_dir / f"{name}.hold").touch()
    child = recorded(run_dir / f"{name}.pid")
    if child:
        os.kill(child.pid, signal.SIGKILL if kill else child.stop_signal)
    _wait(run_dir, name, there=False, within_s=_ENDED_WITHIN_S)


def start(run_dir: Path, name: str) -> None:
    """Let a held process be started again. Returns once it runs, ready or not. SetupError for an unknown name."""
    _check(run_dir, name)
    (run_dir / f"{name}.hold").unlink(missing_ok=True)
    _wait(run_dir, name, there=True, within_s=_STARTED_WITHIN_S)


def read_again(run_dir: Path, name: str) -> None:
    """Have a server that runs read its configuration again (SIGHUP)."""
    child = recorded(run_dir / f"{name}.pid")
    if child:
        os.kill(child.pid, signal.SIGHUP)


def _check(run_dir: Path, name: str) -> None:
    """SetupError unless the process has a pid file or is held, or its log is there from an earlier start."""
    names = {path.stem for path in (*run_dir.glob("*.pid"), *run_dir.glob("*.hold"))}
    if not names:
        raise SetupError(f"no stack runs on {run_dir.parent}: start it with `make run`")
    if name not in names and not (run_dir.parent / "log" / f"{name}.log").exists():
        raise SetupError(f"there is no process {name!r}; there are: {', '.join(sorted(names))}")


def _wait(run_dir: Path, name: str, *, there: bool, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while (recorded(run_dir / f"{name}.pid") is not None) != there:
        if time.monotonic() > deadline:
            raise SetupError(f"{name} {'does not run' if there else 'still runs'} after {within_s:g} s")
        time.sleep(0.02)
