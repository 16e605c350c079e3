"""The discipline of the connection on real brokers: session, filters, status, bounds, protocols, credentials."""

import asyncio
import json
import secrets
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from firmware_b import FirmwareB
from kaiser_common.contract.subjects import INGEST_BUCKET
from kaiser_common.contract.topics import filters
from kaiser_stack.process import Child, Program

ESP = "ESP_0001"
STATUS = b'{"ts":0,"gpio":5,"type":"pump","state":true,"value":1}'


async def test_what_came_while_ingest_was_away_is_there_after_a_restart(
    world: Any, make_reading: Callable[..., bytes], until: Callable[..., Any]
) -> None:
    await world.approve([ESP])
    ingest = world.ingest()
    await until(ingest.connected)
    assert ingest.metric("kaiser_ingest_session_present") == 0
    assert ingest.stop() == 0
    device = await world.device()
    for number in range(500):
        await device.publish(number, world.topic(ESP, "sensor/34/data"), make_reading(ESP, number))
    await device.all_acknowledged()
    ingest.start()
    await until(lambda: ingest.total("kaiser_ingest_messages_total") == 500)
    assert ingest.metric("kaiser_ingest_session_present") == 1
    assert await world.count("SENSORS") == 500


async def test_messages_at_qos_0_that_came_while_ingest_was_away_are_there_after_a_restart(
    world: Any, until: Callable[..., Any]
) -> None:
    """Firmware A publishes all at QoS 0: without queue_qos0_messages Mosquitto would drop each of them."""
    await world.approve([ESP])
    ingest = world.ingest()
    await until(ingest.connected)
    assert ingest.stop() == 0
    device = await world.device()
    for number in range(50):
        alert = b'{"ts":0,"gpio":%d,"alert_type":"emergency_stop"}' % (number % 49)
        await device.publish(number, world.topic(ESP, f"actuator/{number % 49}/alert"), alert, qos=0)
    await device.publish(50, world.topic(ESP, "actuator/5/status"), STATUS)
    await device.all_acknowledged()
    ingest.start()
    await until(lambda: ingest.total("kaiser_ingest_messages_total") == 51)
    subjects = [subject.split(".")[2] for subject, _ in await world.stored("DEVICES")]
    assert (subjects.count("alert"), subjects.count("status")) == (50, 1)


async def test_a_message_that_no_double_can_hold_does_not_stop_ingest(
    world: Any, make_reading: Callable[..., bytes], until: Callable[..., Any]
) -> None:
    await world.approve([ESP])
    ingest = world.ingest()
    await until(ingest.connected)
    device = await world.device()
    beat = b'{"uptime":%s,"x":%s}' % (b"9" * 400, b"9" * 400)
    await device.publish(0, world.topic(ESP, "system/heartbeat"), beat)
    await device.publish(1, world.topic(ESP, "sensor/34/data"), make_reading(ESP, 1))
    await device.all_acknowledged()
    await until(lambda: ingest.total("kaiser_ingest_messages_total") == 2)
    assert ingest.metric('kaiser_ingest_oddities_total{field="uptime",kind="system.heartbeat"}') == 1
    assert [body["raw"] for _, body in await world.stored("SENSORS")] == [1]
    assert ingest.stop() == 0


async def test_a_session_that_the_broker_lost_is_told(
    world_at: Callable[[Any], Any], mosquitto_factory: Callable[..., Any], until: Callable[..., Any]
) -> None:
    broker = mosquitto_factory()
    world = world_at(broker)
    ingest = world.ingest()
    await until(ingest.connected)
    assert ingest.metric("kaiser_ingest_sessions_lost_total") == 0
    broker.kill()
    for database in broker.server.home.glob("*.db*"):
        database.unlink()
    broker.start()
    await until(lambda: ingest.metric("kaiser_ingest_sessions_lost_total") == 1)
    assert "mqtt_session_lost" in ingest.log()


async def test_the_server_status_is_retained_online_offline_and_will(world: Any, until: Callable[..., Any]) -> None:
    ingest = world.ingest(KAISER_MQTT_WILL_DELAY_S="1")
    await until(ingest.connected)
    watcher = await world.device()
    await watcher.subscribe(f"kaiser/{world.site}/server/status")
    await until(lambda: states(watcher) == [("online", None)])
    ingest.kill()
    await until(lambda: states(watcher)[1:] == [("offline", "unexpected_disconnect")])
    ingest.start()
    await until(lambda: states(watcher)[2:] == [("online", None)])
    assert ingest.stop() == 0
    await until(lambda: states(watcher)[3:] == [("offline", "unexpected_disconnect")])
    late = await world.device()
    await late.subscribe(f"kaiser/{world.site}/server/status")
    await until(lambda: states(late) == [("offline", "unexpected_disconnect")])


PUMP = 25
CONFIG = {
    "config_id": "c1",
    "correlation_id": "c1",
    "actuators": [{"gpio": PUMP, "actuator_type": "pump", "actuator_name": "Pump"}],
}


async def test_no_device_hears_that_the_server_is_offline_while_ingest_restarts(
    world_at: Callable[[Any], Any], mqtt_broker: Any, until: Callable[..., Any]
) -> None:
    """Firmware B puts every actuator to its default at `offline`: neither a kill, a stop nor a takeover may say it,
    under MQTT 5 with a delayed will, under 3.1.1 (NATS) without one."""
    world = world_at(mqtt_broker)
    ingest = world.ingest(KAISER_MQTT_WILL_DELAY_S="600")
    await until(ingest.connected)
    server = await world.device()
    esp_id = f"TEST_{secrets.token_hex(4).upper()}"
    with FirmwareB(
        (mqtt_broker.host, mqtt_broker.port), esp_id, world.site, interval_s=0.1, ack_timeout_s=3600.0
    ) as device:

        async def say(tail: str, body: dict[str, Any]) -> None:
            await server.publish(0, device.board.topic(tail), json.dumps(body).encode())

        def heard() -> list[str]:
            return [each.body["status"] for each in device.board.heard if each.topic.endswith("/server/status")]

        await until(lambda: heard() == ["online"])
        await say("system/heartbeat/ack", {"status": "online", "handover_epoch": 1})
        await until(lambda: device.registered)
        await say("config", CONFIG)
        await until(lambda: PUMP in device.board.flash.actuators)
        pump = device.board.flash.actuators[PUMP]
        await say(f"actuator/{PUMP}/command", {"command": "ON", "value": 1, "duration": 0})
        await until(lambda: pump.on)

        ingest.kill()
        ingest.start()
        await until(lambda: heard() == ["online"] * 2)
        assert ingest.stop() == 0
        ingest.start()
        await until(lambda: heard() == ["online"] * 3)
        standby = world.ingest(KAISER_MQTT_WILL_DELAY_S="600")
        await until(lambda: "standing_by" in standby.log())
        ingest.kill()
        await until(lambda: heard() == ["online"] * 4)
        assert pump.on, device.board.notes

        await server.publish(0, f"kaiser/{world.site}/server/status", b'{"status":"offline","timestamp":0}')
        await until(lambda: not pump.on, "the device goes by the status")


async def test_the_will_is_held_back_for_thirty_seconds_unless_set_otherwise(
    world: Any, until: Callable[..., Any]
) -> None:
    """Read from the CONNECT as it is on the wire: the property that the broker goes by."""
    packets: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        packets.append(await reader.read(4096))
        writer.close()

    async with await asyncio.start_server(take, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        world.ingest(KAISER_MQTT_HOST="127.0.0.1", KAISER_MQTT_PORT=str(port))
        await until(lambda: packets)
    will = will_of(packets[0])
    assert (will.topic, will.delay_s) == (f"kaiser/{world.site}/server/status", 30)
    assert (json.loads(will.payload)["status"], will.qos, will.retain) == ("offline", 1, True)


@dataclass(frozen=True)
class Will:
    """The will of an MQTT 5 CONNECT."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    delay_s: int | None


_WILL_DELAY_INTERVAL = 0x18


def will_of(packet: bytes) -> Will:
    """Take a CONNECT apart (MQTT 5 §3.1); the will's only property here is its delay."""
    assert packet[0] == 0x10
    begin = next(at for at in range(1, 5) if packet[at] < 0x80) + 1
    assert packet[begin : begin + 7] == b"\x00\x04MQTT\x05"
    flags = packet[begin + 7]
    assert flags & 0x04, "it has a will"
    at = begin + 10
    at += 1 + packet[at]  # the properties of CONNECT
    at += 2 + int.from_bytes(packet[at : at + 2], "big")  # the client id
    length, at = packet[at], at + 1
    properties, at = packet[at : at + length], at + length
    topic_length = int.from_bytes(packet[at : at + 2], "big")
    topic, at = packet[at + 2 : at + 2 + topic_length], at + 2 + topic_length
    payload_length = int.from_bytes(packet[at : at + 2], "big")
    delay_s = int.from_bytes(properties[1:5], "big") if properties[:1] == bytes([_WILL_DELAY_INTERVAL]) else None
    payload = packet[at + 2 : at + 2 + payload_length]
    return Will(topic.decode(), payload, flags >> 3 & 3, bool(flags & 0x20), delay_s)


def states(device: Any) -> list[tuple[str, str | None]]:
    found = [json.loads(payload) for _, payload in device.heard]
    return [(each["status"], each.get("reason")) for each in found]


async def test_filters_of_an_earlier_version_are_dropped(
    world: Any, make_reading: Callable[..., bytes], until: Callable[..., Any]
) -> None:
    await world.approve([ESP])
    other = f"{world.site}x"
    wide = world.ingest(KAISER_MQTT_KAISER_IDS=json.dumps([world.site, other]))
    await until(wide.connected)
    assert wide.stop() == 0
    narrow = world.ingest()
    await until(narrow.connected)
    assert narrow.metric("kaiser_ingest_session_present") == 1
    device = await world.device()
    await device.publish(0, f"kaiser/{other}/esp/{ESP}/sensor/34/data", make_reading(ESP, 0))
    await device.publish(1, world.topic(ESP, "sensor/34/data"), make_reading(ESP, 1))
    await until(lambda: narrow.total("kaiser_ingest_messages_total") >= 1)
    await device.all_acknowledged()
    assert [body["raw"] for _, body in await world.stored("SENSORS")] == [1]
    assert narrow.total("kaiser_ingest_received_messages_total") == 1


async def test_retained_messages_are_counted_and_not_republished_but_for_wills(
    world: Any, make_reading: Callable[..., bytes], until: Callable[..., Any]
) -> None:
    await world.approve([ESP])
    device = await world.device()
    await device.publish(0, world.topic(ESP, "sensor/34/data"), make_reading(ESP, 0), retain=True)
    await device.publish(1, world.topic(ESP, "system/will"), b'{"status":"offline"}', retain=True)
    await device.all_acknowledged()
    async with world.client() as client:
        heard: list[str] = []

        async def note(message: Any) -> None:
            heard.append(message.subject)

        await client.subscribe("esp.system.will.>", cb=note)
        await client.flush()
        ingest = world.ingest()
        await until(lambda: ingest.total("kaiser_ingest_messages_total") == 2)
        await until(lambda: heard == [f"esp.system.will.{world.site}.{ESP}"])
    assert ingest.metric('kaiser_ingest_ignored_messages_total{reason="retained"}') == 1
    assert await world.count("SENSORS") == 0
    for rest in ("sensor/34/data", "system/will"):
        await device.publish(2, world.topic(ESP, rest), b"", retain=True)


async def test_what_is_in_flight_stays_within_the_window(
    world: Any, nats_server: Any, make_reading: Callable[..., bytes], until: Callable[..., Any]
) -> None:
    window = 50
    await world.approve([ESP])
    ingest = world.ingest(KAISER_INGEST_WINDOW=str(window))
    await until(ingest.connected)
    device = await world.device()
    for number in range(3000):
        await device.publish(number, world.topic(ESP, "sensor/34/data"), make_reading(ESP, number))
    await until(lambda: ingest.total("kaiser_ingest_messages_total") == 3000)
    nats_server.kill()
    for number in range(3000, 4000):
        await device.publish(number, world.topic(ESP, "sensor/34/data"), make_reading(ESP, number))
    await until(lambda: ingest.total("kaiser_ingest_in_flight_messages") >= window)
    assert ingest.total("kaiser_ingest_in_flight_messages") <= 2 * window + 1000  # one read of the socket more
    nats_server.start()
    await until(lambda: len(device.acknowledged) == 4000)
    await until(lambda: _stored(world, 4000))
    assert ingest.accounts_balance()


async def test_qos_0_messages_are_bounded_and_their_drops_counted(
    world: Any, nats_server: Any, until: Callable[..., Any]
) -> None:
    ingest = world.ingest(KAISER_INGEST_QOS0_LIMIT="100", KAISER_INGEST_ACK_AGE_ALARM_S="1")
    await until(ingest.connected)
    nats_server.kill()
    device = await world.device()
    beat = b'{"ts":1767225600,"uptime":1,"heap_free":1,"wifi_rssi":-1}'
    for number in range(1000):
        await device.publish(number, world.topic(ESP, "system/heartbeat"), beat, qos=0)
    await until(lambda: ingest.metric('kaiser_ingest_ignored_messages_total{reason="overflow"}') == 900)
    assert ingest.total("kaiser_ingest_in_flight_messages") == 100
    await until(lambda: ingest.metric("kaiser_ingest_oldest_unacknowledged_seconds") > 1)
    await until(lambda: "messages_not_stored" in ingest.log())
    assert ingest.accounts_balance()
    nats_server.start()
    await until(lambda: not ingest.total("kaiser_ingest_in_flight_messages"))
    assert ingest.accounts_balance()
    assert ingest.metric('kaiser_ingest_messages_total{kind="system.heartbeat",result="published"}') == 100


async def test_a_stop_under_load_ends_in_order(
    world: Any, make_reading: Callable[..., bytes], until: Callable[..., Any]
) -> None:
    await world.approve([ESP])
    ingest = world.ingest()
    await until(ingest.connected)
    device = await world.device()

    async def send() -> None:
        for number in range(20_000):
            await device.publish(number, world.topic(ESP, "sensor/34/data"), make_reading(ESP, number))

    sending = asyncio.create_task(send())
    await until(lambda: ingest.total("kaiser_ingest_messages_total") > 1000)
    assert ingest.stop() == 0
    assert '"drained": true' in ingest.log()
    await sending
    await device.all_acknowledged()
    ingest.start()
    await until(lambda: _stored(world, 20_000), within_s=60.0)


async def _stored(world: Any, number: int) -> bool:
    return await world.count("SENSORS") == number


async def test_a_broker_without_mqtt_5_is_spoken_to_in_311(
    world_at: Callable[[Any], Any], nats_mqtt: Any, make_reading: Callable[..., bytes], until: Callable[..., Any]
) -> None:
    world = world_at(nats_mqtt)
    await world.approve([ESP])
    ingest = world.ingest()
    await until(ingest.connected, within_s=60.0)
    assert '"protocol": "3.1.1"' in ingest.log()
    device = await world.device()
    await device.publish(0, world.topic(ESP, "sensor/34/data"), make_reading(ESP, 0))
    await until(lambda: _stored(world, 1))
    assert ingest.stop() == 0


async def test_a_holder_that_cannot_renew_its_lease_lets_go(
    world: Any, nats_server: Any, until: Callable[..., Any]
) -> None:
    ingest = world.ingest()
    await until(ingest.connected)
    nats_server.kill()
    await until(lambda: not ingest.connected())
    assert ingest.metric("kaiser_lease_held") == 0
    assert ingest.get("/readyz")[0] == 503
    nats_server.start()


async def test_a_standby_takes_over_at_once_when_the_holder_stops(world: Any, until: Callable[..., Any]) -> None:
    holder = world.ingest()
    await until(holder.connected)
    standby = world.ingest()
    await until(standby.ready)
    await until(lambda: "standing_by" in standby.log())
    assert holder.stop() == 0
    await until(standby.connected, within_s=60.0)
    assert standby.metric("kaiser_ingest_session_present") == 1


@pytest.fixture
def secured(tmp_path: Path, free_port: Callable[[], int], mosquitto: Any) -> Iterator[Any]:
    """A Mosquitto that wants TLS with a client certificate, and a password."""
    (tmp_path / "tls").mkdir()
    openssl(tmp_path / "tls")
    port = free_port()
    subprocess.run(
        ["mosquitto_passwd", "-b", "-c", str(tmp_path / "tls/passwords"), "kaiser", "secret"], check=True, timeout=10
    )
    config = tmp_path / "tls/mosquitto.conf"
    config.write_text(
        f"user root\nlistener {port} 127.0.0.1\nallow_anonymous false\npassword_file {tmp_path}/tls/passwords\n"
        f"cafile {tmp_path}/tls/ca.pem\ncertfile {tmp_path}/tls/server.pem\nkeyfile {tmp_path}/tls/server.key\n"
        "require_certificate true\nmax_inflight_messages 5000\n"
    )
    binary = mosquitto.server.prepare().command[0]
    child = Child(Program("mosquitto-tls", (binary, "-c", str(config))), tmp_path / "tls/log")

    class Secured:
        host = "127.0.0.1"

    Secured.port = port  # type: ignore[attr-defined]
    Secured.files = tmp_path / "tls"  # type: ignore[attr-defined]
    try:
        yield Secured
    finally:
        child.kill()


def openssl(folder: Path) -> None:
    """A CA, and certificates of a server and a client."""
    run = lambda *words: subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, timeout=30)  # noqa: E731
    run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    for name in ("server", "client"):
        run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", "/CN=x")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out",
            f"{name}.pem", "-extfile", "names")  # fmt: skip


async def test_tls_with_a_client_certificate_and_a_password_from_a_file(
    world_at: Callable[[Any], Any], secured: Any, until: Callable[..., Any]
) -> None:
    (secured.files / "password").write_text("secret\n")
    (secured.files / "wrong").write_text("wrong\n")
    tls = {
        "KAISER_MQTT_TLS": "true",
        "KAISER_MQTT_TLS_CA_FILE": str(secured.files / "ca.pem"),
        "KAISER_MQTT_TLS_CERTIFICATE_FILE": str(secured.files / "client.pem"),
        "KAISER_MQTT_TLS_KEY_FILE": str(secured.files / "client.key"),
        "KAISER_MQTT_USERNAME": "kaiser",
    }
    world = world_at(secured)
    refused = world.ingest(**tls, KAISER_MQTT_PASSWORD_FILE=str(secured.files / "wrong"))
    await until(lambda: "0x87 not authorized" in refused.log(), within_s=60.0)
    assert '"code": 5107' in refused.log()
    assert refused.stop() == 0
    ingest = world.ingest(**tls, KAISER_MQTT_PASSWORD_FILE=str(secured.files / "password"))
    await until(ingest.connected, within_s=60.0)
    context = ssl.create_default_context(cafile=secured.files / "ca.pem")
    context.load_cert_chain(secured.files / "client.pem", secured.files / "client.key")
    await _publish_over_tls(context, secured.port, world.topic("MOCK_1", "heartbeat"))
    await until(lambda: ingest.total("kaiser_ingest_messages_total") == 400)
    assert ingest.stop() == 0


async def _publish_over_tls(context: ssl.SSLContext, port: int, topic: str) -> None:
    """400 heartbeats, more bytes than one TLS record."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.write(b"\x10\x20\x00\x04MQTT\x04\xc2\x00\x3c\x00\x04tls1\x00\x06kaiser\x00\x06secret")
    assert (await reader.readexactly(4))[3] == 0
    payload = json.dumps({"ts": 0, "uptime": 1, "heap_free": 1, "wifi_rssi": -1}).encode()
    name = topic.encode()
    body = len(name).to_bytes(2, "big") + name + payload
    writer.write((bytes([0x30, len(body)]) + body) * 400)
    await writer.drain()
    writer.write(b"\xe0\x00")
    await writer.drain()
    writer.close()


async def test_the_filters_of_a_session_are_remembered_in_kv(world: Any, until: Callable[..., Any]) -> None:
    ingest = world.ingest()
    await until(ingest.connected)
    async with world.client() as client:
        bucket = await client.jetstream().key_value(INGEST_BUCKET.name)
        assert len(json.loads((await bucket.get("filters.live")).value or b"")) == len(filters(world.site))
