"""The stack's small parts: Procfile, secrets, choice of servers, the lint of tracked files."""

import os
import socket
import stat
from contextlib import ExitStack
from pathlib import Path

import forked
import pytest
from kaiser_common.contract.topics import filters
from kaiser_stack import control, mosquitto, procfile, secret_files, servers, values
from kaiser_stack.errors import SetupError
from kaiser_stack.nats import MAX_ACK_PENDING
from kaiser_stack.procfile import Entry
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


@pytest.mark.parametrize("command", [control.stop, control.start])
def test_without_a_stack_no_process_is_stopped_or_started(command, tmp_path: Path):
    for folder in ("run", "log"):
        (tmp_path / folder).mkdir()
    (tmp_path / "log" / "postgres.log").touch()
    with pytest.raises(SetupError, match=f"no stack runs on {tmp_path}: start it with `make run`"):
        command(tmp_path / "run", "postgres")
    assert not list((tmp_path / "run").iterdir())


def test_a_setting_of_the_containers_is_said_to_have_no_effect():
    given = {"KAISER_MQTT_BIND": "0.0.0.0", "KAISER_HTTP_BIND": "", "KAISER_HTTP_HOST": "0.0.0.0"}
    [line] = values.without_effect(given)
    assert line.startswith("KAISER_MQTT_BIND is a setting of `make up` and has no effect here: ")


def test_every_port_that_is_taken_is_named_in_one_answer():
    with ExitStack() as open_sockets:
        taken = {}
        for name in ("HTTP", "NATS", "MQTT"):
            probe = open_sockets.enter_context(socket.create_server(("127.0.0.1", 0)))
            taken[f"KAISER_{name}_PORT"] = probe.getsockname()[1]
        with pytest.raises(SetupError) as refused:
            servers.require_ports(load({name: str(port) for name, port in taken.items()}))
    lines = str(refused.value).splitlines()
    assert [line.split(" is in use")[0] for line in lines] == [f"port {port} ({name})" for name, port in taken.items()]


@pytest.mark.parametrize("command", [control.stop, control.start])
def test_a_process_that_is_not_there_is_neither_stopped_nor_started(tmp_path: Path, command):
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "sensor.pid").touch()
    with pytest.raises(SetupError, match="there is no process 'senzor'; there are: sensor"):
        command(run_dir, "senzor")
    assert [path.name for path in run_dir.iterdir()] == ["sensor.pid"]


@pytest.mark.parametrize("command", ["run", "servers"])
def test_a_misspelt_setting_starts_nothing(command: str, tmp_path: Path):
    environment = {
        "PATH": os.environ["PATH"],
        "KAISER_STATE_DIR": str(tmp_path / "state"),
        "KAISER_HTPP_PORT": "9000",
        "KAISER_MQTT_BROKR": "nats",
    }
    done = forked.run(["kaiser-stack", command], cwd=Path(__file__).parents[3], env=environment, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "kaiser: KAISER_HTPP_PORT is no setting: did you mean KAISER_HTTP_PORT?",
        "kaiser: KAISER_MQTT_BROKR is no setting: did you mean KAISER_MQTT_BROKER?",
    ]
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        (
            "KAISER_TIME_ZONE",
            "Europe/Berln",
            "KAISER_TIME_ZONE='Europe/Berln': 'Europe/Berln' is no time zone of the IANA: is it Europe/Berlin?",
        ),
        (
            "KAISER_TOKEN_MINUTES",
            "soon",
            "KAISER_TOKEN_MINUTES='soon': Input should be a valid integer, unable to parse string as an integer",
        ),
        ("KAISER_OBSERVE", "kaiser/#", """KAISER_OBSERVE='kaiser/#': it must be JSON, such as ["…"]"""),
    ],
)
def test_a_value_that_a_service_refuses_is_told_before_a_server_is_started(
    name: str, value: str, line: str, tmp_path: Path
):
    environment = {"PATH": os.environ["PATH"], "KAISER_STATE_DIR": str(tmp_path / "state"), name: value}
    done = forked.run(["kaiser-stack", "run"], cwd=Path(__file__).parents[3], env=environment, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"kaiser: {line}\n")
    assert not (tmp_path / "state").exists()


def test_values_of_the_stack_s_own_and_empty_ones_are_left_to_it():
    entries = [Entry("ingest", ("kaiser-ingest",)), Entry("odd", ("not-installed",))]
    values.check(entries, {"KAISER_NATS_PORT": "0", "KAISER_MQTT_PORT": "0", "KAISER_TIME_ZONE": ""})
    values.check(entries, {**os.environ, "KAISER_MQTT_PROFILE": "mock", "KAISER_SENSOR_BATCH": "soon"})
    with pytest.raises(SetupError, match="KAISER_SHARDS='0': Input should be greater than or equal to 1"):
        values.check(entries, {**os.environ, "KAISER_SHARDS": "0"})


def test_nats_takes_every_filter_of_ingest_in_one_session():
    """NATS refuses a subscription (0x80) once the sum over the session's subscriptions is 65,536."""
    assert len(filters()) * MAX_ACK_PENDING < 65_536
