"""The service as a process on a bus of its own and a database whose tables are empty."""

import os
import signal

import forked
import psycopg
import pytest
from kaiser_common.bus.connection import connect
from kaiser_common.bus.declare import apply
from kaiser_common.runtime.settings import CommonSettings
from leases import end_lease
from receivers import http_receiver, mail_server


@pytest.fixture
async def bus(nats_factory):
    async with connect(CommonSettings(nats_url=nats_factory().url), "test") as bus:
        await apply(bus)
        yield bus


@pytest.fixture
def start(bus, database, free_port, tmp_path):
    """`start(**settings)`: the service; it looks for notifications once an hour, unless a setting says otherwise."""
    environment = {
        **os.environ,
        "KAISER_NATS_URL": bus.client.connected_url.geturl(),
        "KAISER_DATABASE_URL": database,
        "KAISER_METRICS_PORT": str(free_port()),
        "KAISER_STATE_DIR": str(tmp_path),
        "KAISER_ALARM_NOTIFY_S": "3600",
        "KAISER_ALARM_CHANNEL_NETWORKS": '["127.0.0.0/8"]',
    }
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "TRUNCATE alarm.alarms, alarm.steps, alarm.limits, alarm.position, alarm.channels, alarm.routes,"
            " alarm.notifications"
        )
    running = []

    def start(**settings):
        if running and running[-1].poll() == -signal.SIGKILL:
            end_lease(environment["KAISER_NATS_URL"], "alarm")
        process = forked.Popen(["kaiser-alarm"], env=environment | settings)
        running.append(process)
        return process

    yield start
    for process in running:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGKILL)


@pytest.fixture
def receiver():
    with http_receiver() as found:
        yield found


@pytest.fixture
def mailbox(free_port):
    with mail_server(free_port()) as found:
        yield found
