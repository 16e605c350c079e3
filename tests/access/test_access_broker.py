"""At the broker a device speaks for itself alone, and hears what is for it or for all."""

import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as paho
import pytest
import secured
import yaml
from claimed import holds
from harness import wait_until
from kaiser_common.contract.topics import LEGACY_TEMPLATES, TEMPLATES, filters, is_downlink
from kaiser_deploy import devices
from kaiser_factory_dialect.catalogue import ROWS
from kaiser_factory_dialect.filters import subscriptions
from leaving import leave
from secured import DEPLOY, Secured

ONE, OTHER = "ESP_0A1B2C3D", "ESP_FFFFFFFF"


@pytest.fixture(scope="module")
def passwords(broker: Secured) -> dict[str, str]:
    given = {esp_id: devices.admit(broker.secrets, esp_id) for esp_id in (ONE, OTHER)}
    broker.reread()
    wait_until(lambda: is_let_in(broker, OTHER, given[OTHER]), "the broker knows the devices")
    return given | {"kaiser-ingest": broker.secret("mqtt-ingest"), "kaiser-probe": broker.secret("mqtt-probe")}


@contextmanager
def client(broker: Secured, user: str, password: str, client_id: str = "") -> Iterator[tuple[paho.Client, queue.Queue]]:
    heard: queue.Queue[paho.MQTTMessage] = queue.Queue()
    answers: queue.Queue[int] = queue.Queue()
    connection = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5)
    connection.username_pw_set(user, password)
    connection.on_message = lambda _, __, message: heard.put(message)
    connection.on_connect = lambda _, __, ___, reason, ____: answers.put(reason.value)
    connection.connect("127.0.0.1", broker.port)
    connection.loop_start()
    try:
        code = answers.get(timeout=60)
        if code:
            raise PermissionError(code)
        yield connection, heard
    finally:
        leave(connection)


def is_let_in(broker: Secured, user: str, password: str) -> bool:
    try:
        with client(broker, user, password):
            return True
    except PermissionError:
        return False


def subscribe(connection: paho.Client, *topic_filters: str) -> None:
    """Subscribe, and wait until the broker has said so."""
    done: queue.Queue[None] = queue.Queue()
    connection.on_subscribe = lambda *_: done.put(None)
    connection.subscribe([(each, 1) for each in topic_filters])
    done.get(timeout=60)


def published(connection: paho.Client, topic: str, payload: bytes = b"{}", retain: bool = False) -> int:
    """The reason code of the broker's PUBACK: 0 or 16 (nobody subscribed) for taken, 135 for not allowed."""
    codes: queue.Queue[int] = queue.Queue()
    connection.on_publish = lambda _, __, ___, reason, ____: codes.put(reason.value)
    connection.publish(topic, payload, qos=1, retain=retain)
    return codes.get(timeout=60)


def concrete(template: str, esp_id: str) -> str:
    return template.format(k="god", esp=esp_id, gpio=4)


def test_ingest_may_read_exactly_the_filters_that_it_subscribes():
    lines = (DEPLOY / "mosquitto/access.conf").read_text().split("user kaiser-ingest")[1].split("\n\n")[0].splitlines()
    readable = {line.removeprefix("topic read ") for line in lines if line.startswith("topic read ")}
    assert readable == {*filters(), *subscriptions(), "$SYS/broker/publish/messages/dropped"}
    writable = {line.removeprefix("topic write ") for line in lines if line.startswith("topic write ")}
    levels = {"{i}": "uagv", "{v}": "v2", "{m}": "+", "{s}": "+", "{n}": "+"}
    commands = {row.template for row in ROWS if row.direction in {"in", "both"}}
    assert {each for each in writable if not each.startswith("kaiser/")} == {
        "/".join(levels.get(level, level) for level in template.split("/")) for template in commands
    }


def test_a_device_publishes_as_itself_in_every_way_that_it_has(broker, passwords):
    with client(broker, ONE, passwords[ONE]) as (device, _):
        for kind, template in TEMPLATES.items():
            if not is_downlink(kind) and "{esp}" in template:
                assert published(device, concrete(template, ONE)) in (0, 16), template


def test_ingest_hears_a_device_on_every_topic_of_the_uplink_and_no_other(broker, passwords):
    uplink = [template for kind, template in TEMPLATES.items() if not is_downlink(kind) and "{esp}" in template]
    topics = {concrete(template, ONE) for template in (*uplink, *LEGACY_TEMPLATES)}
    beside = [f"{topic}/x" for topic in topics] + [f"kaiser/god/esp/{ONE}/{tail}" for tail in ("", "x", "system/x")]
    with (
        client(broker, "kaiser-ingest", passwords["kaiser-ingest"]) as (ingest, heard),
        client(broker, ONE, passwords[ONE]) as (device, _),
    ):
        subscribe(ingest, *filters())
        for topic in beside:
            assert published(device, topic) == 135, topic
        for topic in sorted(topics):
            published(device, topic, b"said")
        assert {heard.get(timeout=30).topic for _ in topics} == topics
        assert heard.empty()


def test_a_device_retains_nothing_but_on_the_topics_that_it_has(broker, passwords):
    own = f"kaiser/god/esp/{ONE}"
    downlink = [concrete(template, ONE) for kind, template in TEMPLATES.items() if is_downlink(kind)]
    with client(broker, ONE, passwords[ONE]) as (device, heard):
        for topic in [*downlink, own, f"{own}/", f"{own}/note", f"{own}/system/heartbeat/x", "kaiser/god/note", "note"]:
            assert published(device, topic, b"kept", retain=True) == 135, topic
        subscribe(device, "#")
        assert published(device, f"{own}/system/diagnostics", b"last") in (0, 16)
        assert [heard.get(timeout=60).payload] == [b"last"], "nothing was retained"


def test_retained_messages_without_end_end_their_client_and_neither_the_broker_nor_another_device(
    server_folder: Path, broker: Secured, passwords: dict[str, str], free_port: Callable[[], int]
):
    """A device chooses the site and the pin of its topics, so it has topics without end."""
    limit = 24 * 1024**2
    with (
        secured.mosquitto(server_folder / "small-broker", broker.secrets, free_port(), limit) as small,
        client(small, OTHER, passwords[OTHER]) as (other, _),
        client(small, ONE, passwords[ONE]) as (flooding, _),
    ):
        ended = threading.Event()
        flooding.on_disconnect = lambda *_: ended.set()
        for number in range(6_000):
            flooding.publish(f"kaiser/{number}/esp/{ONE}/system/will", bytes(10_000), qos=0, retain=True)
        assert ended.wait(60), "the broker took 60 MB"
        flooding.loop_stop()
        resident = int(Path(f"/proc/{small.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        assert resident < 2 * limit
        assert published(other, concrete(TEMPLATES["sensor.data"], OTHER)) in (0, 16)
        assert other.is_connected()


def test_a_device_cannot_publish_as_another_nor_as_kaiser(broker, passwords):
    of_another = [concrete(template, OTHER) for template in TEMPLATES.values() if "{esp}" in template]
    of_kaiser = ["kaiser/broadcast/emergency", "kaiser/god/server/status", "kaiser/god/discovery/esp32_nodes", "x"]
    with client(broker, ONE, passwords[ONE]) as (device, _):
        for topic in of_another + of_kaiser:
            assert published(device, topic) == 135, topic
    holds("a device's publishes on topics that are not its own", len(of_another + of_kaiser))
    holds("a device's greedy subscriptions", len(GREEDY))


def test_what_a_device_claims_in_anothers_name_reaches_nobody(broker, passwords):
    with (
        client(broker, "kaiser-ingest", passwords["kaiser-ingest"]) as (ingest, heard),
        client(broker, ONE, passwords[ONE]) as (device, _),
    ):
        subscribe(ingest, *filters())
        published(device, concrete(TEMPLATES["sensor.data"], OTHER), b"forged")
        published(device, concrete(TEMPLATES["sensor.data"], ONE), b"own")
        assert heard.get(timeout=60).payload == b"own"
        assert heard.empty()


def test_a_device_hears_its_commands_and_broadcasts_and_nothing_of_others(broker, passwords):
    with (
        client(broker, "kaiser-ingest", passwords["kaiser-ingest"]) as (ingest, _),
        client(broker, ONE, passwords[ONE]) as (device, heard),
    ):
        subscribe(device, "#")
        for kind, template in TEMPLATES.items():
            if is_downlink(kind):
                for esp_id in {concrete(template, OTHER): OTHER, concrete(template, ONE): ONE}.values():
                    assert published(ingest, concrete(template, esp_id)) in (0, 16), template
        assert published(ingest, concrete(TEMPLATES["downlink.config"], ONE), b"last") in (0, 16)
        topics = []
        while (message := heard.get(timeout=60)).payload != b"last":
            topics.append(message.topic)
        assert set(topics) == {concrete(each, ONE) for kind, each in TEMPLATES.items() if is_downlink(kind)}
        assert not any(OTHER in topic for topic in topics)


GREEDY = (
    "#",
    "+/+/+/+/#",
    "kaiser/#",
    "kaiser/+/esp/+/#",
    f"kaiser/+/esp/{OTHER}/#",
    "$share/g/#",
    "$share/g/kaiser/+/esp/+/sensor/+/data",
    "$SYS/#",
)


def test_greedy_subscriptions_hear_nothing_of_others_and_take_nothing_away(broker, passwords):
    with (
        client(broker, "kaiser-ingest", passwords["kaiser-ingest"]) as (ingest, at_ingest),
        client(broker, ONE, passwords[ONE]) as (greedy, heard),
        client(broker, OTHER, passwords[OTHER]) as (other, _),
    ):
        subscribe(ingest, *filters())
        subscribe(greedy, *GREEDY)
        uplink = [each for kind, each in TEMPLATES.items() if not is_downlink(kind) and "{esp}" in each]
        for template in uplink:
            assert published(other, concrete(template, OTHER)) in (0, 16)
        for kind, template in TEMPLATES.items():
            if is_downlink(kind) and "{esp}" in template:
                assert published(ingest, concrete(template, OTHER)) in (0, 16)
        assert published(ingest, concrete(TEMPLATES["downlink.config"], ONE), b"last") in (0, 16)
        while (message := heard.get(timeout=60)).payload != b"last":
            raise AssertionError(f"it hears {message.topic}")
        assert {at_ingest.get(timeout=60).topic for _ in uplink} == {concrete(each, OTHER) for each in uplink}


def test_a_will_in_anothers_name_reaches_nobody(broker, passwords):
    with client(broker, "kaiser-ingest", passwords["kaiser-ingest"]) as (ingest, heard):
        subscribe(ingest, *filters())
        forger = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="forger", protocol=paho.MQTTv5)
        forger.username_pw_set(ONE, passwords[ONE])
        forger.will_set(concrete(TEMPLATES["system.will"], OTHER), b"forged", qos=1)
        answered = threading.Event()
        forger.on_connect = lambda *_: answered.set()
        forger.on_disconnect = lambda *_: answered.set()
        forger.connect("127.0.0.1", broker.port)
        forger.loop_start()
        assert answered.wait(60)
        forger.loop_stop()
        socket = forger.socket()
        if socket is not None:  # let in: its power is cut
            socket.close()
        with client(broker, ONE, passwords[ONE]) as (device, _):
            published(device, concrete(TEMPLATES["sensor.data"], ONE), b"own")
        assert heard.get(timeout=60).payload == b"own"
        assert heard.empty()


def test_a_device_that_takes_ingests_client_id_does_not_end_its_session(broker, passwords):
    with client(broker, "kaiser-ingest", passwords["kaiser-ingest"], "kaiser-ingest-god") as (ingest, heard):
        subscribe(ingest, concrete(TEMPLATES["sensor.data"], ONE))
        with client(broker, ONE, passwords[ONE], "kaiser-ingest-god") as (device, _):
            assert published(device, concrete(TEMPLATES["sensor.data"], ONE), b"own") == 0
            assert heard.get(timeout=60).payload == b"own"
        assert ingest.is_connected()


@pytest.mark.parametrize(("user", "password"), [(ONE, "wrong"), (ONE, ""), ("ESP_UNKNOWN", "x"), ("", "")])
def test_without_the_right_password_nobody_is_let_in(broker, passwords, user, password):
    with pytest.raises(PermissionError, match=r"13[45]"), client(broker, user, password):
        pass


def test_a_device_is_let_in_once_it_has_a_password_and_no_more_once_it_is_shut_out(broker, passwords):
    password = devices.admit(broker.secrets, "ESP_GONE")
    broker.reread()
    wait_until(lambda: is_let_in(broker, "ESP_GONE", password), "the device is let in")
    devices.shut_out(broker.secrets, "ESP_GONE")
    broker.reread()
    wait_until(lambda: not is_let_in(broker, "ESP_GONE", password), "the device is shut out")


def test_the_health_check_reads_the_brokers_uptime_and_cannot_write(broker, passwords):
    with client(broker, "kaiser-probe", passwords["kaiser-probe"]) as (probe, heard):
        subscribe(probe, "$SYS/broker/uptime")
        assert heard.get(timeout=60).payload.endswith(b"seconds")
        assert published(probe, concrete(TEMPLATES["sensor.data"], ONE)) == 135


def test_the_health_check_of_the_container_reads_its_password_from_a_file(broker, passwords, tmp_path):
    """The very command of compose.yaml, on this broker's port and folder."""
    compose = yaml.safe_load((DEPLOY.parent / "compose.yaml").read_text())
    _, *command = compose["services"]["mosquitto"]["healthcheck"]["test"]
    assert passwords["kaiser-probe"] not in " ".join(command)

    def status(folder: Path) -> int:
        words = [word.replace("/mosquitto/auth/probe", str(folder)).replace("$$", "$") for word in command]
        words += ["-p", str(broker.port)]
        return subprocess.run(words, capture_output=True, timeout=30, check=False).returncode

    if shutil.which("mosquitto_sub") is None:
        pytest.skip("mosquitto-clients is not installed")
    assert status(broker.secrets / "mosquitto/probe") == 0
    (tmp_path / "mosquitto_sub").write_text("-u kaiser-probe\n-P wrong\n")
    assert status(tmp_path) != 0
    assert status(tmp_path / "empty") != 0
