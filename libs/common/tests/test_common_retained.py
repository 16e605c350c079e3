"""A NATS that is the MQTT broker too retains a limited number of bytes, whatever its clients retain."""

from collections.abc import Iterator
from contextlib import contextmanager

import paho.mqtt.client as paho
import pytest
from kaiser_common.bus import declare
from kaiser_common.bus.connection import connect
from kaiser_common.bus.pull import ask
from kaiser_common.runtime.settings import CommonSettings
from kaiser_stack.logins import keep
from kaiser_stack.nats import Nats
from kaiser_stack.private import PrivateServer
from leaving import leave
from waiting import until

INFO = "$JS.API.STREAM.INFO.$MQTT_rmsgs"
MOST = 1_000_000


@contextmanager
def client(server, name: str, **options) -> Iterator[paho.Client]:
    found = paho.Client(paho.CallbackAPIVersion.VERSION2, name, protocol=paho.MQTTv311, **options)
    found.connect(server.host, server.port)
    found.loop_start()
    try:
        yield found
    finally:
        leave(found)


def retain(device: paho.Client, topic: str, payload: bytes) -> None:
    """Publish a retained message and wait for its PUBACK."""
    device.publish(topic, payload, qos=1, retain=True).wait_for_publish(60)


async def test_retained_messages_without_end_have_a_limit_and_hold_up_nobody(nats_factory, monkeypatch):
    monkeypatch.setattr(declare, "MOST_RETAINED_BYTES", MOST)
    server = nats_factory(mqtt=True)
    async with connect(CommonSettings(nats_url=server.url), "test") as bus:
        with client(server, "ingest") as ingest, client(server, "flooding") as flooding:
            retain(ingest, "kaiser/god/server/status", b"online")
            assert "$MQTT_rmsgs" in await declare.apply(bus)
            assert await declare.apply(bus) == []
            for number in range(300):
                flooding.publish(f"kaiser/{number}/esp/ESP_A/system/will", bytes(10_000), qos=1, retain=True)
            retain(flooding, "kaiser/last/esp/ESP_A/system/will", bytes(10_000))
            state = (await ask(bus, INFO, {}))["state"]
            assert 0.9 * MOST < state["bytes"] <= MOST
            await bus.publish("event.system_event._", b"{}", "one")
            retain(ingest, "kaiser/god/server/status", b"going")
            assert flooding.is_connected()
            assert ingest.is_connected()
            for number in range(300):
                retain(flooding, f"kaiser/{number}/esp/ESP_A/system/will", b"")

            async def has_room() -> bool:  # NATS removes the last ones behind their PUBACKs
                return bool((await ask(bus, INFO, {}))["state"]["bytes"] < 1_000)

            await until(has_room, "there is room again")


@pytest.mark.parametrize("anonymous", [False, True])
async def test_nats_with_passwords_has_the_limit_before_its_first_device(server_folder, free_port, anonymous):
    home = server_folder / f"retained-{anonymous}"
    nats = Nats(home, free_port(), free_port(), keep(home), anonymous)
    server = PrivateServer(nats, home / "log")
    server.start()
    try:
        async with connect(CommonSettings(nats_url=nats.url), "test") as bus:
            assert "$MQTT_rmsgs" in await declare.apply(bus)
            config = (await ask(bus, INFO, {}))["config"]
    finally:
        server.kill()
    assert (config["max_bytes"], config["discard"]) == (256 * 1024 * 1024, "new")
