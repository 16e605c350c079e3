"""Processes of health on real servers."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator

import forked
import psycopg
import pytest
from kaiser_common.runtime.settings import CommonSettings


@pytest.fixture
def start(
    bus_settings: CommonSettings, database: str, free_port: Callable[[], int]
) -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    """`start()` starts a process of health, on empty tables at first."""
    environment = {
        **os.environ,
        "KAISER_NATS_URL": bus_settings.nats_address,
        "KAISER_DATABASE_URL": database,
        "KAISER_METRICS_PORT": str(free_port()),
    }
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("TRUNCATE health.devices, health.zones, health.audit_log, health.pushes")
    running = []

    def start() -> "subprocess.Popen[bytes]":
        process = forked.Popen(["kaiser-health"], env=environment)
        running.append(process)
        return process

    yield start
    for process in running:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGKILL)
