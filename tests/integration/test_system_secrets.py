"""A stack as `make run` starts it: its folder is closed, and no server lets anybody in without its own password."""

import json
import os
import socket
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import forked
import nats
import nats.errors
import paho.mqtt.client as paho
import psycopg
import pytest
from harness import ROOT, Stack, wait_until
from leaving import leave
from nats.aio.msg import Msg

DEFAULTS = ["", "postgres", "admin", "kaiser"]
SECRETS = ["nats-password", "postgres-password", "mqtt-ingest-password", "mqtt-device-password", "admin-password"]


@pytest.fixture(scope="module", params=["mosquitto", "nats"])
def closed(request: pytest.FixtureRequest, server_folder: Path) -> Iterator[Stack]:
    """Each MQTT broker once; nothing but ports, folder and broker are set. The folder was left open, as of old."""
    if request.param == "mosquitto":
        from kaiser_stack import mosquitto

        if not mosquitto.is_installed():
            request.getfixturevalue("missing")("mosquitto", "mosquitto is not installed")
    folder = server_folder / f"secrets-{request.param}"
    folder.mkdir(mode=0o755)
    closed = Stack(folder, KAISER_MQTT_BROKER=request.param, KAISER_MQTT_ANONYMOUS="")
    try:
        yield closed.start()
    finally:
        closed.stop()


def connack(closed: Stack, user: str | None, password: str = "") -> int:
    """The broker's answer to a CONNECT: 0 is let in."""
    codes: list[int] = []
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
    if user is not None:
        client.username_pw_set(user, password)
    client.on_connect = lambda _, __, ___, reason, ____: codes.append(reason.value)
    client.on_disconnect = lambda *_: codes.append(-1)
    client.connect(closed.addresses["mqtt_host"], closed.addresses["mqtt_port"])
    client.loop_start()
    try:
        wait_until(lambda: codes, "the broker answers")
    finally:
        leave(client)
    return codes[0]


def test_the_folder_and_all_in_it_are_their_owners_alone(closed: Stack):
    assert stat.S_IMODE(closed.state_dir.stat().st_mode) == 0o700
    for name in [*SECRETS, "token-secret", "run/stack.json", "nats/nats.conf"]:
        assert stat.S_IMODE((closed.state_dir / name).stat().st_mode) == 0o600, name
    for path in closed.state_dir.rglob("*"):
        if not path.is_symlink():
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_each_password_is_long_and_no_two_are_equal(closed: Stack):
    found = [(closed.state_dir / name).read_text().strip() for name in SECRETS]
    assert len(set(found)) == len(found)
    assert min(map(len, found)) >= 20


def test_no_password_is_in_a_log_on_the_console_or_on_a_command_line(closed: Stack):
    said = closed.console() + closed.log_lines()
    for pid in closed.pids().values():
        said += (Path("/proc") / str(pid) / "cmdline").read_text() if sys.platform == "linux" else ""
    for name in SECRETS:
        assert (closed.state_dir / name).read_text().strip() not in said, name


@pytest.mark.parametrize("user", [None, "kaiser-device", "kaiser-ingest"])
@pytest.mark.parametrize("password", DEFAULTS)
def test_the_broker_lets_nobody_in_without_the_password(closed: Stack, user: str | None, password: str):
    assert connack(closed, user, password) != 0


def test_the_broker_lets_a_device_in_with_its_password(closed: Stack):
    assert connack(closed, closed.addresses["mqtt_username"], closed.addresses["mqtt_password"]) == 0


def test_the_bus_answers_nobody_without_the_password(closed: Stack):
    """By the protocol itself: a client library might send something of its own."""
    port = int(closed.environment["KAISER_NATS_PORT"])
    device = closed.addresses["mqtt_password"]
    tries = [{}, *({"user": "kaiser", "pass": password} for password in DEFAULTS)]
    tries.append({"user": "kaiser-device", "pass": device})  # a device speaks MQTT alone
    for login in tries:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.settimeout(10)
            assert connection.recv(65536).startswith(b"INFO ")
            connection.sendall(b"CONNECT " + json.dumps({"verbose": False, **login}).encode() + b"\r\nPING\r\n")
            answer = connection.recv(4096)
        assert answer.startswith(b"-ERR"), login
        assert b"PONG" not in answer, login


async def test_the_bus_lets_the_services_user_in(closed: Stack):
    client = await nats.connect(closed.addresses["nats_url"], allow_reconnect=False)
    try:
        assert (await client.jetstream().stream_info("DEVICES")).config.name == "DEVICES"
    finally:
        await client.close()


@pytest.mark.parametrize("password", DEFAULTS)
def test_the_database_lets_nobody_in_without_the_password(closed: Stack, password: str):
    right = (closed.state_dir / "postgres-password").read_text().strip()
    url = closed.addresses["database_url"]
    with psycopg.connect(url, connect_timeout=10) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(url.replace(f":{right}@", f":{password}@" if password else "@"), connect_timeout=10)


def test_the_command_that_sends_a_reading_signs_in_as_a_device(closed: Stack):
    command = ["kaiser-demo", "send", "--esp", "TEST_SENT_BY_HAND"]
    done = forked.run(command, cwd=ROOT, env=closed.environment, timeout=120)
    assert (done.returncode, "acknowledged by the broker" in done.stdout) == (1, True), done.stderr
    rejected = "rejected (5001): device TEST_SENT_BY_HAND is not registered and approved; register it: `make send"
    assert rejected in done.stderr
    done = forked.run([*command, "--unit", "°C", "--register"], cwd=ROOT, env=closed.environment, timeout=120)
    assert (done.returncode, "stored: 21.5 °C, quality good" in done.stdout) == (0, True), done.stdout + done.stderr


class Client:
    """A client of MQTT 3.1.1, as the firmware is one, and the topics that it hears."""

    def __init__(self, closed: Stack, user: str, password: str) -> None:
        self.heard: list[str] = []
        self._subscribed = threading.Event()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
        self._client.username_pw_set(user, password)
        self._client.on_message = lambda _, __, message: self.heard.append(message.topic)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.connect(closed.addresses["mqtt_host"], closed.addresses["mqtt_port"])
        self._client.loop_start()
        wait_until(self._client.is_connected, f"{user} is let in")

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        leave(self._client)

    def hear(self, *topic_filters: str) -> "Client":
        self._client.subscribe([(each, 1) for each in topic_filters])
        assert self._subscribed.wait(60)
        return self

    def say(self, *topics: str) -> None:
        """Publish at QoS 1, retained, and wait for every acknowledgement."""
        sent = [self._client.publish(each, b'{"command":"clear_emergency"}', qos=1, retain=True) for each in topics]
        wait_until(lambda: all(each.is_published() for each in sent), "the broker has acknowledged")


def device(closed: Stack, *arguments: str) -> str:
    """`python -m kaiser_stack device …`; what it prints."""
    command = ["kaiser-stack", "device", *arguments]
    done = forked.run(command, cwd=ROOT, env=closed.environment, timeout=60, check=True)
    return done.stdout.strip()


def of_any_device(closed: Stack) -> Client:
    return Client(closed, closed.addresses["mqtt_username"], closed.addresses["mqtt_password"])


def of_ingest(closed: Stack) -> Client:
    return Client(closed, "kaiser-ingest", (closed.state_dir / "mqtt-ingest-password").read_text().strip())


async def test_a_devices_password_says_nothing_that_kaiser_says(closed: Stack):
    """Neither to another device nor, through the MQTT listener of NATS, to a service."""
    bus = await nats.connect(closed.addresses["nats_url"], allow_reconnect=False)
    on_the_bus: list[str] = []

    async def note(message: Msg) -> None:
        on_the_bus.append(message.subject)

    forged = ["actuator/25/command", "actuator/emergency", "config", "system/heartbeat/ack", "zone/assign"]
    topics = [*(f"kaiser/god/esp/ESP_OTHER/{tail}" for tail in forged), "kaiser/broadcast/emergency"]
    inner = ["mqtt/out/god/ESP_OTHER/urgent", "rpc/actuator/ESP_X", "event/system_event/X", "$KV/devices/ESP_X"]
    last = "kaiser/god/esp/ESP_OTHER/zone/ack"
    try:
        for subject in ("mqtt.>", "rpc.actuator.>", "event.system_event.X", "$KV.devices.ESP_X"):
            await bus.subscribe(subject, cb=note)
        await bus.flush()
        with of_any_device(closed) as forger, of_any_device(closed) as other:
            other.hear("kaiser/+/esp/ESP_OTHER/#", "kaiser/broadcast/#", "kaiser/+/server/status")
            wait_until(lambda: "kaiser/god/server/status" in other.heard, "what ingest says is heard")
            forger.say(*topics, "kaiser/evil/server/status", *inner, last)
            wait_until(lambda: last in other.heard, "what a device says is heard")
        await bus.flush()
    finally:
        await bus.close()
    assert other.heard == ["kaiser/god/server/status", last]
    assert [subject for subject in on_the_bus if "ESP_" in subject or subject.endswith("X")] == []


def test_a_device_with_a_password_of_its_own_speaks_and_hears_for_itself_alone(closed: Stack):
    own, other = "ESP_OWN", "ESP_OTHER"
    password = device(closed, own)
    wait_until(lambda: connack(closed, own, password) == 0, "the broker knows the device")
    assert device(closed, own) == password, "asked again it is the same"
    with Client(closed, own, password) as one, of_any_device(closed) as all_of_them, of_ingest(closed) as kaiser:
        all_of_them.hear("kaiser/+/esp/+/sensor/#")
        one.hear(f"kaiser/+/esp/{own}/#", "kaiser/broadcast/#")
        one.say(f"kaiser/god/esp/{other}/sensor/4/data", f"kaiser/god/esp/{own}/sensor/4/data")
        wait_until(lambda: all_of_them.heard, "what it says for itself arrives")
        kaiser.say(f"kaiser/god/esp/{other}/actuator/emergency", f"kaiser/god/esp/{own}/actuator/emergency")
        wait_until(lambda: f"kaiser/god/esp/{own}/actuator/emergency" in one.heard, "what is for it arrives")
    assert all_of_them.heard == [f"kaiser/god/esp/{own}/sensor/4/data"]
    assert [topic for topic in one.heard if other in topic] == []
    device(closed, own, "--remove")
    wait_until(lambda: connack(closed, own, password) != 0, "it is shut out")


def test_a_restart_keeps_the_passwords_and_a_lost_one_is_made_again(closed: Stack):
    kept = {name: (closed.state_dir / name).read_text() for name in SECRETS}
    closed.stop()
    (closed.state_dir / "postgres-password").unlink()
    os.chmod(closed.state_dir / "nats-password", 0o644)  # as a copy from elsewhere may leave it
    closed.start()
    now = {name: (closed.state_dir / name).read_text() for name in SECRETS}
    assert now.pop("postgres-password") != kept.pop("postgres-password")
    assert now == kept
    assert stat.S_IMODE((closed.state_dir / "nats-password").stat().st_mode) == 0o600
    with psycopg.connect(closed.addresses["database_url"], connect_timeout=10) as connection:
        assert connection.execute("SELECT count(*) FROM gateway.users").fetchone() == (1,)
