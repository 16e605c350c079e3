"""The shell of a service, run as a real process."""

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import uvicorn
from jumping import JumpingLoop
from kaiser_common.runtime.service import HttpServer, Service, internal_app

PROGRAM = """
import asyncio, sys
from kaiser_common.runtime.service import run
from kaiser_common.runtime.settings import CommonSettings

async def work(service, settings):
    async def broken():
        raise ConnectionError("no database")
    if "waiting" in sys.argv:
        await service.stopping.wait()  # as where NATS is down
    service.check("nothing", lambda: asyncio.sleep(0))
    if "broken" in sys.argv:
        service.check("database", broken)
    if "crash" in sys.argv:
        raise RuntimeError("a bug")
    if "callback" in sys.argv:
        asyncio.get_running_loop().call_later(0.05, lambda: {}["a bug in a callback"])
    await service.stopping.wait()
    if "hang" in sys.argv:
        await asyncio.sleep(60)

run("trial", CommonSettings, work)
"""


@pytest.fixture
def start(free_port):
    running = []

    def start(*arguments: str, **environment: str):
        port = free_port()
        environment = {"KAISER_METRICS_PORT": str(port), "KAISER_LOG_FORMAT": "json", **environment}
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        process.port = port
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate(timeout=60)


def ask(process, path: str) -> tuple[int, str]:
    deadline = time.monotonic() + 120
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=60)
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            assert time.monotonic() < deadline, "the service does not listen"
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.05)


def test_it_answers_and_stops_on_sigterm_with_status_0(start):
    process = start()
    assert ask(process, "/healthz")[0] == 200
    assert ask(process, "/readyz")[0] == 200
    assert "kaiser_build_info" in ask(process, "/metrics")[1]
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def test_readyz_names_what_does_not_answer(start):
    process = start("broken")
    status, body = ask(process, "/readyz")
    assert status == 503
    assert json.loads(body)["checks"] == {"nothing": "ok", "database": "no database"}


def test_a_service_that_has_not_begun_its_work_is_not_ready(start):
    process = start("waiting")
    status, body = ask(process, "/readyz")
    assert (status, list(json.loads(body)["checks"])) == (503, ["start"])


def test_a_bug_ends_the_process_with_status_1_and_its_traceback(start):
    process = start("crash")
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert "RuntimeError: a bug" in output


def test_a_bug_in_a_callback_of_the_loop_ends_the_process_too(start):
    process = start("callback")
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert "a bug in a callback" in output


def test_work_that_does_not_stop_is_cancelled_within_ten_seconds(start):
    process = start("hang")
    ask(process, "/healthz")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def test_a_typo_in_a_setting_is_one_clear_line_and_status_2(start):
    process = start(KAISER_NATS_PORT="abc")
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 2
    assert output.count("\n") == 1
    assert "KAISER_NATS_PORT" in output
    assert "abc" in output


async def test_a_check_that_is_added_while_others_are_asked_is_asked_the_next_time():
    service = Service("trial")

    async def late() -> None:
        """Always well."""

    async def first() -> None:
        service.check("late", late)

    service.check("first", first)
    assert await service.readiness() == {"first": "ok"}
    assert await service.readiness() == {"first": "ok", "late": "ok"}


class Counted(HttpServer):
    """Knows how often it has looked."""

    looks = 0

    async def on_tick(self, counter: int) -> bool:
        self.looks += 1
        return await super().on_tick(counter)


async def served_for(seconds: float) -> tuple[int, float]:
    """How often a server has looked until it is ended, and how long after that it goes on, in seconds."""
    loop = asyncio.get_running_loop()
    server = Counted(uvicorn.Config(internal_app(Service("trial"))))
    serving = asyncio.create_task(server.main_loop())
    await asyncio.sleep(seconds)
    server.end()
    ended_at = loop.time()
    await serving
    return server.looks, loop.time() - ended_at


def test_a_server_wakes_once_a_second_for_the_date_and_ends_at_once():
    loop = JumpingLoop()
    try:
        assert loop.run_until_complete(served_for(3.5)) == (5, 0.0)
    finally:
        loop.close()
