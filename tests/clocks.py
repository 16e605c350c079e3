"""Runs the tests that tell the time and need no server under clocks at which time goes wrong: `make test-clocks`.

Of the test files of services and libs those are chosen that name a time (`TELLS_TIME`), half of all; with `--all` each
runs, which takes twice as long.

Each clock begins shortly before the moment that it is named after, so the moment comes in the middle of the run. The
wall clock is faked by libfaketime; the monotonic clock, by which tests wait, is not. The packages under test are
imported once, and a process for each clock is forked from there: imports take longer than the tests.
"""

import argparse
import importlib
import os
import pkgutil
import re
import shutil
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

CLOCKS = {
    "last-of-month": ("UTC", "2027-01-31 23:59:50"),
    "last-of-year": ("UTC", "2026-12-31 23:59:50"),
    "leap-day": ("UTC", "2028-02-28 23:59:50"),
    "after-leap-day": ("UTC", "2028-02-29 23:59:50"),
    "summer-time": ("Europe/Berlin", "2027-03-28 01:59:50"),
    "winter-time": ("Europe/Berlin", "2027-10-31 02:59:50"),
    "years-later": ("UTC", "2038-01-19 03:14:00"),
}

ROOT = Path(__file__).resolve().parents[1]
CHOSEN = "not servers and not faults and not speed"
CHOSEN_FOLDERS = ("services", "libs")
"""Those of tools start processes, and libfaketime breaks how Python waits for one."""
TELLS_TIME = re.compile(
    r"\b(datetime|ZoneInfo|monotonic|perf_counter|strftime|time_ns|now_ms|NOW)\b|\btime\.time\b|\bnow="
)
"""A test that reads a clock, or gives the product a time, has one of these in its file."""
LEFT_OUT = (
    *("--deselect", "services/actuator/tests/test_actuator_stops_model.py"),
    *("--deselect", "libs/common/tests/test_common_private.py"),
)
"""The first has a clock of its own and takes longer than all others together; the second only reads the sources."""
ARGUMENTS = (
    *("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-profile=clocks", "-m", CHOSEN),
    "--assert=plain",  # rewriting takes longer than half of the tests
)

PREPARED = "KAISER_TEST_CLOCKS"
_FAKED = {
    "FAKETIME_NO_CACHE": "1",  # a forked process sets a time of its own
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    "NO_FAKE_STAT": "1",  # Python compares the times of files
}


def main() -> int:
    """The exit status of the last clock that failed, 0 if none did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clock", action="append", choices=CLOCKS, help="only this one (may be repeated)")
    parser.add_argument("--all", action="store_true", help="also the test files that name no time")
    parser.add_argument("pytest", nargs="*", help="arguments of pytest, after --")
    asked = parser.parse_args()
    if PREPARED not in os.environ:
        return _again_under_faketime()
    _import_what_is_tested()
    files = test_files()
    chosen = files if asked.all else [file for file in files if TELLS_TIME.search(file.read_text())]
    print(f"{len(chosen)} of {len(files)} test files of services and libs", flush=True)
    arguments = [*map(str, chosen), *asked.pytest]
    waiting = list(asked.clock or CLOCKS)
    running: dict[int, tuple[str, Path, float]] = {}
    status = 0
    while waiting or running:
        while waiting and len(running) < (os.cpu_count() or 1):
            name = waiting.pop(0)
            output = Path(tempfile.mkdtemp()) / name
            running[_forked(name, output, arguments)] = name, output, time.monotonic()
        pid, ended = os.wait()
        name, output, began = running.pop(pid)
        lines = output.read_text(errors="replace").splitlines()
        shutil.rmtree(output.parent)
        status = os.waitstatus_to_exitcode(ended) or status
        zone, begin = CLOCKS[name]
        print(f"clock {name}, {begin} {zone}, {time.monotonic() - began:.0f} s:")
        print("\n".join(lines if ended else lines[-1:]), flush=True)
    return status


def test_files() -> list[Path]:
    """The test files of services and libs."""
    return sorted(file for folder in CHOSEN_FOLDERS for file in ROOT.glob(f"{folder}/*/tests/test_*.py"))


def _again_under_faketime() -> int:
    faketime = shutil.which("faketime")
    if faketime is None:
        print("faketime is not installed (Debian: apt-get install faketime)", file=sys.stderr)
        return 2
    environment = {**os.environ, **_FAKED, PREPARED: "1"}
    os.execve(faketime, [faketime, "-f", "+0", sys.executable, *sys.argv], environment)


def _import_what_is_tested() -> None:
    for source in sorted(ROOT.glob("*/*/src/kaiser_*")):
        if source.parents[2].name in CHOSEN_FOLDERS:
            for module in pkgutil.iter_modules([str(source)], f"{source.name}."):
                if not module.name.endswith("__main__"):
                    importlib.import_module(module.name)


def _forked(name: str, output: Path, arguments: list[str]) -> int:
    """A process that runs the tests under a clock, its output in a file; its id."""
    pid = os.fork()
    if pid:
        return pid
    with output.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    zone, begin = CLOCKS[name]
    ahead_s = datetime.fromisoformat(begin).replace(tzinfo=ZoneInfo(zone)).timestamp() - time.time()
    os.environ |= {"TZ": zone, "FAKETIME": f"+{ahead_s:.0f}"}
    time.tzset()
    status = 3
    try:
        import pytest

        status = int(pytest.main([*ARGUMENTS, *LEFT_OUT, *arguments]))
    finally:
        sys.stdout.flush()
        os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
