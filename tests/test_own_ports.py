"""Test processes that run at the same time take no port of each other."""

import itertools
import socket
import subprocess
import sys
from pathlib import Path

import own_ports
import pytest

TAKE = "import own_ports; print(own_ports.own_ports().take(), flush=True); input()"


def range_of(port: int) -> int:
    return (port - own_ports._FIRST) // own_ports._SIZE


def test_processes_at_the_same_time_have_ranges_of_their_own_and_leave_them():
    folder = Path(own_ports.__file__).parent
    command = [sys.executable, "-c", TAKE]
    running = [
        subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    ranges = {range_of(int(process.stdout.readline())) for process in running if process.stdout}
    assert len({*ranges, range_of(own_ports.own_ports().take())}) == 4
    for process in running:
        process.kill()
        process.communicate(timeout=60)
    starts = [own_ports._FIRST + number * own_ports._SIZE for number in ranges]
    freed = [held for at in starts if (held := own_ports._listen(at))]
    assert freed, "nobody else takes three at the same moment"
    for held in freed:
        held.close()


def test_ports_in_a_row_are_free_and_lie_within_the_range(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(own_ports, "_SIZE", 50)
    own = own_ports.OwnPorts()
    taken = [own.take(16) for _ in range(5)]
    [first] = {(port - own_ports._FIRST) // 50 for port in taken}
    assert all(own_ports._FIRST + first * 50 < port <= own_ports._FIRST + first * 50 + 34 for port in taken)
    assert all(before != after for before, after in itertools.pairwise(taken))
    with socket.socket() as server:
        server.bind(("127.0.0.1", taken[0]))
        server.listen()
        assert taken[0] not in {own.take(16) for _ in range(5)}
