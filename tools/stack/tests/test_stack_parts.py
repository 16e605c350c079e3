"""The stack's small parts: Procfile, secrets, choice of servers, the sender's message, the lint of tracked files."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from kaiser_common.contract.topics import filters
from kaiser_stack import control, demo, misspelt, mosquitto, procfile, secret_files, send, servers, tracked_files
from kaiser_stack.errors import NotReadyError, SetupError
from kaiser_stack.nats import MAX_ACK_PENDING
from kaiser_stack.ports import LOOPBACK, free_port
from kaiser_stack.procfile import Entry
from kaiser_stack.rest import Refused
from kaiser_stack.settings import load


def test_a_procfile_names_services_and_their_commands():
    text = "# services\n\ningest: kaiser-ingest\nweb: python -m web --title 'a b'\n"
    assert procfile.parse(text) == [
        Entry("ingest", ("kaiser-ingest",)),
        Entry("web", ("python", "-m", "web", "--title", "a b")),
    ]


def test_a_line_that_is_no_entry_is_named():
    with pytest.raises(SetupError, match="line 2 of the Procfile"):
        procfile.parse("ingest: kaiser-ingest\nsensor\n")


def test_the_procfile_of_this_repository_is_one():
    entries = procfile.read(Path(__file__).parents[3] / "Procfile")
    assert {"ingest", "sensor", "health", "websocket-gateway"} <= {entry.name for entry in entries}


def test_a_secret_is_made_once_and_read_by_its_owner_alone(tmp_path: Path):
    path = secret_files.keep(tmp_path / "secret", 32)
    first = path.read_text()
    assert len(first.strip()) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secret_files.keep(path, 32).read_text() == first


def test_a_secret_file_left_empty_by_a_kill_is_made_anew(tmp_path: Path):
    (tmp_path / "secret").touch()
    assert secret_files.keep(tmp_path / "secret", 32).read_text().strip()


def test_servers_of_ones_own_are_not_started():
    own = {
        "KAISER_NATS_URL": "nats://nats.example:4222",
        "KAISER_DATABASE_URL": "postgresql://db.example/kaiser",
        "KAISER_MQTT_HOST": "broker.example",
    }
    settings = load(own)
    chosen = servers.choose(settings)
    assert chosen.to_start == ()
    assert chosen.addresses(settings) == {**own, "KAISER_MQTT_PORT": "1883"}


def test_without_mosquitto_nats_is_the_broker(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mosquitto, "is_installed", lambda: False)
    chosen = servers.choose(load({}))
    assert [server.name for server in chosen.to_start] == ["nats", "postgres"]
    assert "MQTT 3.1.1" in chosen.broker


def test_without_mosquitto_and_with_a_nats_of_ones_own_a_broker_is_asked_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mosquitto, "is_installed", lambda: False)
    with pytest.raises(SetupError, match="set KAISER_MQTT_HOST"):
        servers.choose(load({"KAISER_NATS_URL": "nats://nats.example:4222"}))


def test_the_sender_sends_a_reading_of_the_contract():
    reading = send.Reading("god", "ESP_0A1B2C3D", 4, "DS18B20", 21.5)
    assert send.topic(reading) == "kaiser/god/esp/ESP_0A1B2C3D/sensor/4/data"
    assert json.loads(send.payload(reading, 1767225600123)) == {
        "ts": 1767225600123,
        "esp_id": "ESP_0A1B2C3D",
        "gpio": 4,
        "sensor_type": "DS18B20",
        "raw": 2150,
        "raw_value": 21.5,
        "raw_mode": False,
        "value": 21.5,
        "quality": "good",
    }


def test_the_sender_says_that_there_is_no_broker():
    port = free_port()
    with pytest.raises(NotReadyError, match=f"no MQTT broker at {LOOPBACK}:{port}"):
        send.send(LOOPBACK, port, send.Reading("god", "ESP_1", 4, "DS18B20", 21.5))


def test_the_sender_tells_of_the_acknowledgement(mqtt_broker):
    said = send.send(mqtt_broker.host, mqtt_broker.port, send.Reading("god", "ESP_1", 4, "DS18B20", 21.5))
    assert said.startswith("kaiser/god/esp/ESP_1/sensor/4/data\n")
    assert "acknowledged by the broker" in said


@pytest.mark.parametrize("command", [control.stop, control.start])
def test_a_process_that_is_not_there_is_neither_stopped_nor_started(tmp_path: Path, command):
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "sensor.pid").touch()
    with pytest.raises(SetupError, match="there is no process 'senzor'; there are: sensor"):
        command(run_dir, "senzor")
    assert [path.name for path in run_dir.iterdir()] == ["sensor.pid"]


def test_a_misspelt_setting_is_named_with_the_one_that_was_meant():
    known = misspelt.documented(Path(__file__).parents[3] / "docs")
    environment = {"HOME", "KAISER_HTPP_PORT", "KAISER_XYZZY", "KAISER_HTTP_PORT", "KAISER_SENSOR_BATCH"}
    assert list(misspelt.notices(environment, known)) == [
        "KAISER_HTPP_PORT is no setting and is ignored: did you mean KAISER_HTTP_PORT?",
        "KAISER_XYZZY is no setting and is ignored: docs/operating.md lists them",
    ]
    assert "KAISER_SECRETS_DIR" in known, "the Makefile exports it"
    assert list(misspelt.notices(environment, set())) == []


def test_a_file_of_mocks_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(SetupError, match=r"cannot read .*/nowhere\.yaml: No such file or directory"):
        demo.read(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("requirements.lock", "aiomqtt==2.5.1 \\\n    --hash=sha256:00\n", 0),
        ("requirements.lock", "--index-url somewhere\naiomqtt==2.5.1\n", 1),
        ("README.md", "see https://" + "registry.npm" + "js.org/x", 1),
        ("README.md", "see https://docs.nats.io/", 0),
    ],
)
def test_the_address_of_a_registry_is_found(name: str, text: str, found: int, tmp_path: Path):
    path = tmp_path / name
    path.write_text(text)
    assert len(tracked_files.addresses(str(path))) == found


def test_nats_takes_every_filter_of_ingest_in_one_session():
    """NATS refuses a subscription (0x80) once the sum over the session's subscriptions is 65,536."""
    assert len(filters()) * MAX_ACK_PENDING < 65_536


class OutageOfLogic:
    """A stack whose logic service answers 503 so many times; notes what it was asked."""

    http_url = "http://here"

    def __init__(self, times: int) -> None:
        self._times = times
        self.added: list[str] = []

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        if path.startswith("/api/v1/logic/rules"):
            self._times -= 1
            if self._times >= 0:
                raise Refused(503, "the database does not answer")
            if method == "POST":
                self.added.append(body["name"])
        return {"items": [], "esp_ids": []}


def test_the_demo_waits_for_its_rules_after_an_outage_and_fails_without_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(demo, "_ASK_EVERY_S", 0.0)
    content = demo.Demo([], [{"name": "Cool"}, {"name": "Water"}])
    rest = OutageOfLogic(3)
    demo.load(rest, content, lambda _: None)
    assert rest.added == ["Cool", "Water"]
    monkeypatch.setattr(demo, "_THERE_WITHIN_S", 0.01)
    with pytest.raises(NotReadyError, match="rules: not taken"):
        demo.load(OutageOfLogic(1_000_000), content, lambda _: None)
