"""Cleans up whatever a killed test run leaves behind: stacks, services, browsers, and their data.

A guard process waits until the test run or worker that started it has ended, for whatever reason, and then ends every
process that inherited its mark (an environment variable). A process without the mark, such as a server with its own
environment, is a child of a marked process and dies with it. Finally the guard removes the folders of every test
process that has ended, and the data that PostgreSQL, if root started it, keeps for them in /var/lib/kaiser.
"""

import contextlib
import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

_FOLDER = re.compile(r"kaiser-test-(\d+)-(\d+)-")
_ELSEWHERE = Path("/var/lib/kaiser")
_MEMORY = Path("/dev/shm")
_PLENTY_BYTES = 8 * 1024**3


def folder_prefix() -> str:
    """How the names of this process's folders in the temporary folder begin, so that its guard knows them."""
    return f"kaiser-test-{os.getpid()}-{_started(os.getpid())}-"


def temporary_folder() -> Path:
    """A new folder of this process: in memory where there is plenty of it, as servers sync what they write."""
    in_memory = "TMPDIR" not in os.environ and _free_memory() > _PLENTY_BYTES
    return Path(tempfile.mkdtemp(prefix=folder_prefix(), dir=_MEMORY if in_memory else None))


def _free_memory() -> int:
    """How many bytes of memory files may take (Linux); 0 where the system does not say."""
    try:
        room = os.statvfs(_MEMORY)
        available = re.search(r"MemAvailable: *(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        return 0
    return min(room.f_bavail * room.f_frsize, int(available[1]) * 1024 if available else 0)


def remove_folders(first: str | None = None) -> None:
    """Remove the folders of test processes that have ended, and the data that lies elsewhere for them.

    first: a prefix; folders whose names begin with it are removed first, because the others may have gigabytes.
    """
    found = [folder for place in (Path(tempfile.gettempdir()), _MEMORY) for folder in place.glob("kaiser-test-*")]
    for folder in sorted(found, key=lambda each: first is None or not each.name.startswith(first)):
        name = _FOLDER.match(folder.name)
        if name and _started(int(name[1])) != name[2]:
            with contextlib.suppress(FileNotFoundError):  # another guard removes it at the same time
                for link in folder.glob("**/elsewhere"):
                    if (data := link.resolve()).parent == _ELSEWHERE:
                        shutil.rmtree(data, ignore_errors=True)
            shutil.rmtree(folder, ignore_errors=True)


def _started(pid: int) -> str:
    """When a process started, in the system's own notation; "0" where there is none or the system does not say."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return "0"


def guard(name: str, ends_within_s: float = 10.0) -> None:
    """Mark this process by the environment variable `name` for its children, and start their guard (Linux).

    ends_within_s: from SIGTERM to SIGKILL. The guard ends when there is nothing to end any more.
    """
    if not sys.platform.startswith("linux"):
        return
    os.environ[name] = secrets.token_hex(8)
    alive, _ = os.pipe()  # the other end stays open as long as this process runs, and no child inherits it
    command = [sys.executable, "-SE", __file__, f"{name}={os.environ[name]}", str(ends_within_s), folder_prefix()]
    environment = {"TMPDIR": tempfile.gettempdir()}
    os.posix_spawn(command[0], command, environment, file_actions=[(os.POSIX_SPAWN_DUP2, alive, 0)], setsid=True)
    os.close(alive)


def marked(mark: str) -> list[int]:
    """The processes that run with this in their environment."""
    wanted = mark.encode()
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):  # ended meanwhile, or another user's
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
    return found


def _end(mark: str, within_s: float) -> None:
    """SIGTERM to all, and SIGKILL to what is left after that time."""
    deadline = time.monotonic() + within_s
    for pid in marked(mark):
        _signal(pid, signal.SIGTERM)
    while (left := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid in left:
        _signal(pid, signal.SIGKILL)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, number)


if __name__ == "__main__":
    sys.stdin.buffer.read()
    _end(sys.argv[1], float(sys.argv[2]))
    remove_folders(sys.argv[3])
