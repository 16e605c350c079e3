"""Runs the tests that need no server under clocks at which time goes wrong: `make test-clocks`.

Each clock begins a minute before the moment that it is named after, so the moment comes in the middle of the run. The
wall clock is faked by libfaketime; the monotonic clock, by which tests wait, is not.
"""

import argparse
import os
import shutil
import subprocess
import sys

CLOCKS = {
    "last-of-month": ("UTC", "2027-01-31 23:59:00"),
    "last-of-year": ("UTC", "2026-12-31 23:59:00"),
    "leap-day": ("UTC", "2028-02-28 23:59:00"),
    "after-leap-day": ("UTC", "2028-02-29 23:59:00"),
    "summer-time": ("Europe/Berlin", "2027-03-28 01:59:00"),
    "winter-time": ("Europe/Berlin", "2027-10-31 02:59:00"),
}

CHOSEN = "not servers and not faults and not speed"
CHOSEN_FOLDERS = ("services", "libs")
"""Those of tools start processes, and libfaketime breaks how Python waits for one."""
LEFT_OUT = ("--deselect", "services/actuator/tests/test_actuator_stops_model.py")
"""It has a clock of its own, and takes longer than all others together."""


def main() -> int:
    """The exit status of the last clock that failed, 0 if none did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clock", action="append", choices=CLOCKS, help="only this one (may be repeated)")
    parser.add_argument("pytest", nargs="*", help="arguments of pytest, after --")
    asked = parser.parse_args()
    faketime = shutil.which("faketime")
    if faketime is None:
        print("faketime is not installed (Debian: apt-get install faketime)", file=sys.stderr)
        return 2
    status = 0
    for name in asked.clock or CLOCKS:
        zone, begin = CLOCKS[name]
        print(f"clock {name}: {begin} {zone}", flush=True)
        status = _run(faketime, zone, begin, asked.pytest) or status
    return status


def _run(faketime: str, zone: str, begin: str, arguments: list[str]) -> int:
    environment = {
        **os.environ,
        "TZ": zone,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",  # Python compares the times of files
    }
    command = [
        faketime,
        "-f",
        f"@{begin}",
        sys.executable,
        "-m",
        "pytest",
        "-m",
        CHOSEN,
        *LEFT_OUT,
        *CHOSEN_FOLDERS,
        *arguments,
    ]
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
