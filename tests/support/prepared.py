"""Makes new state folders by copying one whose servers are already initialised and migrated.

initdb, the superuser's password, the migrations and the declarations on the bus are the same for every stack of a test
run, so the first process that needs them makes them once, in the folder that the processes of the run share, and every
other new stack gets a copy, passwords included. If a process is killed while making them, the file `<name>.done` is
missing and the next process starts over.
"""

import fcntl
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

SHARED = "PYTEST_SHARED_FOLDER"
"""Names the folder that the processes of a test run share (conftest.py); outside of one nothing is prepared."""
_OF_ONE_RUN = ("run", "log")


def fill(state_dir: Path, make: Callable[[Path], None]) -> bool:
    """Make a new state folder, its servers initialised as `make(folder)` does it; whether it did. Nothing happens
    outside of a run."""
    made = once("state", make)
    if made is not None:
        _copy(made, state_dir)
    return made is not None


def database(home: Path, make: Callable[[Path], None]) -> None:
    """Make the folder of a new PostgreSQL server, initialised as `make(home)` does it."""
    made = once("postgres", make)
    if made is not None:
        _copy_all(made, home)


def once(name: str, make: Callable[[Path], None]) -> Path | None:
    """The folder that `make(folder)` has made and filled for all processes of the run; None outside of a run."""
    return _once(name, make) if SHARED in os.environ and sys.platform == "linux" else None


def keep_database_in_reach(state_dir: Path) -> None:
    """Have root's stack keep PostgreSQL's data in the shared folder: the server's account cannot enter a closed one."""
    if os.geteuid() == 0:
        link = _link(state_dir)
        link.parent.mkdir(parents=True, exist_ok=True)
        place = _new_place()
        place.mkdir()
        place.chmod(0o755)
        link.symlink_to(place)


def remove(state_dir: Path) -> None:
    """Remove what the servers of an ended stack have stored; its logs stay."""
    link = _link(state_dir)
    stored = [state_dir / "nats", state_dir / "postgres"]
    if link.is_symlink() and link.resolve().parent == Path(os.environ.get(SHARED, "")):
        stored.append(link.resolve())
    for folder in stored:
        shutil.rmtree(folder, ignore_errors=True)


def _link(state_dir: Path) -> Path:
    return state_dir / "postgres" / "elsewhere"


def _new_place() -> Path:
    return Path(os.environ[SHARED]) / f"postgres-{secrets.token_hex(6)}"


def _once(name: str, make: Callable[[Path], None]) -> Path:
    """The folder that the first process to ask has made; the others wait for it."""
    shared = Path(os.environ[SHARED])
    made, done = shared / name, shared / f"{name}.done"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            remove(made)
            shutil.rmtree(made, ignore_errors=True)
            make(made)
            done.touch()
    return made


def _copy(template: Path, state_dir: Path) -> None:
    _copy_all(template, state_dir)
    for folder in _OF_ONE_RUN:
        shutil.rmtree(state_dir / folder, ignore_errors=True)
    link = _link(state_dir)
    if link.is_symlink():
        place = _new_place()
        _copy_all(link.resolve(), place)
        link.unlink()
        link.symlink_to(place)


def _copy_all(folder: Path, new: Path) -> None:
    new.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", "--reflink=auto", str(folder), str(new)], check=True, timeout=120)
