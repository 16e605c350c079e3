"""A port for metrics that another program takes a moment later: the service comes up on another one."""

import asyncio
import http.client
import io
import os
import socket
import sys
import time
from pathlib import Path

from kaiser_stack.console import Console
from kaiser_stack.keeper import Keeper
from kaiser_stack.metrics_ports import MetricsPorts
from kaiser_stack.ports import LOOPBACK, free_port
from kaiser_stack.settings import load


def _settings(folder: Path):
    ports = {name: str(free_port()) for name in ("KAISER_HTTP_PORT", "KAISER_NATS_PORT", "KAISER_MQTT_PORT")}
    return load({"KAISER_STATE_DIR": str(folder), **ports})


def _lives(port: int) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=60)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


async def test_a_service_whose_port_was_taken_meanwhile_comes_up_on_another(tmp_path: Path):
    settings, out = _settings(tmp_path), io.StringIO()
    console = Console(out=out)
    picked = MetricsPorts(settings, console)
    command = (str(Path(sys.executable).parent / "kaiser-logic"),)
    nowhere = {"KAISER_NATS_URL": f"nats://{LOOPBACK}:{free_port()}"}
    program = picked.program("logic", command, {**os.environ, **nowhere})
    first = picked.by_service["logic"]
    with socket.create_server((LOOPBACK, first)):
        keeper = Keeper(program, settings, console, lambda _: None, lambda status: picked.instead(program, status))
        keeping = asyncio.create_task(keeper.keep())
        try:
            async with asyncio.timeout(60):
                while picked.by_service["logic"] == first or not await asyncio.to_thread(
                    _lives, picked.by_service["logic"]
                ):
                    await asyncio.to_thread(time.sleep, 0.05)
        finally:
            await keeper.stop()
            await asyncio.wait_for(keeping, 60)
    assert f"port {first} is in use by another program" in out.getvalue()


def test_another_end_of_a_service_moves_it_nowhere(tmp_path: Path):
    settings = _settings(tmp_path)
    picked = MetricsPorts(settings, Console(out=io.StringIO()))
    program = picked.program("logic", ("true",), {})
    settings.log_dir.mkdir(parents=True)
    settings.log("logic").write_text("port_in_use port=8001 set=KAISER_METRICS_PORT\n")
    assert picked.instead(program, 1) is None
    settings.log("logic").write_text("KAISER_DATABASE_URL is not set\n")
    assert picked.instead(program, 2) is None
    settings.log("logic").write_text("port_in_use port=8001 set=KAISER_METRICS_PORT\n")
    ports = {picked.by_service["logic"]}
    while moved := picked.instead(program, 2):
        assert moved.environment["KAISER_METRICS_PORT"] == str(picked.by_service["logic"])
        ports.add(picked.by_service["logic"])
    assert len(ports) == 10, "each port is a new one, and the picking ends"
