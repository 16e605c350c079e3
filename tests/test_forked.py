"""Forked commands are what a plain start gives: a child with the streams, folder, status and metrics of its own."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import forked
import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux forks them")


@pytest.mark.parametrize("plain", [False, True])
def test_a_command_has_its_arguments_streams_and_status(plain: bool, tmp_path: Path):
    with forked.Popen(
        ["kaiser-doctor", "--help"], plain=plain, stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        said, _ = process.communicate(timeout=60)
    assert said.startswith("usage: kaiser-doctor")
    assert process.returncode == 0


@pytest.mark.parametrize("plain", [False, True])
def test_a_command_that_fails_says_so(plain: bool):
    environment = {"PATH": os.environ["PATH"], "KAISER_METRICS_PORT": "many"}
    with forked.Popen(
        ["kaiser-sensor"], plain=plain, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        said, _ = process.communicate(timeout=60)
    assert (process.returncode, said.startswith("kaiser-sensor: ")) == (2, True), said


def test_a_command_that_is_left_out_ends_at_once_with_success():
    environment = {"PATH": os.environ["PATH"], "KAISER_METRICS_PORT": "many"}  # with which it would fail
    with forked.Popen(["kaiser-sensor"], env={**environment, forked.LEFT_OUT: "kaiser-sensor"}) as left_out:
        assert left_out.wait(60) == 0
    with forked.Popen(["kaiser-sensor"], env={**environment, forked.LEFT_OUT: "kaiser-health"}) as other:
        assert other.wait(60) == 2


def test_a_fork_is_this_processes_child_has_its_own_metrics_and_dies_by_a_signal(free_port: Callable[[], int]):
    port = free_port()
    environment = {
        "KAISER_METRICS_PORT": str(port),
        "KAISER_NATS_URL": f"nats://127.0.0.1:{free_port()}",
        "KAISER_DATABASE_URL": f"postgresql://x@127.0.0.1:{free_port()}/x",
    }
    other = forked.Popen(["kaiser-ingest", "--help"], env={**environment, "KAISER_SITE": "not a site"})
    assert other.wait(60) == 2  # so the server has imported the metrics of ingest too
    process = forked.Popen(["kaiser-sensor"], env=environment, stdout=subprocess.DEVNULL)
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert f"PPid:\t{os.getpid()}\n" in status
        page = _page(port)
        assert "kaiser_sensor_" in page
        assert "kaiser_ingest_" not in page
    finally:
        process.kill()
    assert process.wait(60) == -signal.SIGKILL


def _page(port: int) -> str:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
