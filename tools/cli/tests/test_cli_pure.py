"""The command line without a server."""

import json
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from kaiser_cli import output, servers, times
from kaiser_cli.asking import hint_of
from kaiser_cli.commands.actuators import state_now
from kaiser_cli.commands.command import duration_of, sentence_of
from kaiser_cli.commands.doctor import standing
from kaiser_cli.commands.sensors import value_now
from kaiser_cli.commands.watch import line_of
from kaiser_cli.main import cli
from kaiser_client import ApiProblem, Tokens, Watched
from kaiser_common.contract.schemas.api.actuators import UNCONFIRMED, Actuator, CommandStatus
from kaiser_common.contract.schemas.api.alarms import Alarm
from kaiser_common.contract.schemas.api.sensors import ReadingItem

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
NOWHERE = "http://127.0.0.1:9"
ALARM = Alarm(
    alarm_id="5a982098f68cda7c",
    kind="stop_in_force",
    source="all",
    severity="critical",
    state="raised",
    message="everything is stopped",
    raised_at=1_767_225_600_000,
    last_raised_at=1_767_225_600_000,
)


def run(*words: str, folder: Path | None = None, **environment: str) -> Result:
    variables = {"KAISER_URL": None, "XDG_CONFIG_HOME": str(folder) if folder else "/nonexistent", **environment}
    return CliRunner().invoke(cli, list(words), env=variables, prog_name="kaiser")


def signed_in(folder: Path, url: str, expires_at: float) -> None:
    tokens = Tokens(access_token="a", refresh_token="r", expires_at=expires_at, role="admin")
    path = servers.file_of({"XDG_CONFIG_HOME": str(folder)})
    with servers.locked(path):
        known = servers.KnownServer(url=url, name="plant", user="grace", tokens=tokens)
        servers.write(path, servers.KnownServers().with_server(known, current=True))


def every_command(group: click.Group, *before: str) -> list[tuple[tuple[str, ...], click.Command]]:
    found = []
    for name, command in group.commands.items():
        found.append(((*before, name), command))
        if isinstance(command, click.Group):
            found += every_command(command, *before, name)
    return found


@pytest.mark.parametrize(
    ("words", "command"), every_command(cli), ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_every_command_has_examples_and_prints_json(words: tuple[str, ...], command: click.Command):
    shown = run(*words, "--help")
    assert shown.exit_code == 0
    assert "Example" in shown.output
    assert f"kaiser {' '.join(words)}" in shown.output
    names = {name for parameter in command.params for name in parameter.opts}
    assert words == ("completion",) or {"--json", "--server"} <= names


def test_a_misspelt_command_names_the_nearest():
    shown = run("devcies")
    assert shown.exit_code == 2
    assert "devices" in shown.stderr


def test_a_misspelt_option_names_the_nearest():
    shown = run("watch", "--devise", "ESP_1")
    assert shown.exit_code == 2
    assert "--device" in shown.stderr


@pytest.mark.parametrize("words", [("stop",), ("clear",), ("stop", "ESP_1", "--all")])
def test_a_stop_or_clear_of_everything_must_be_asked_for(words: tuple[str, ...], tmp_path: Path):
    signed_in(tmp_path, NOWHERE, time.time() + 3600)
    shown = run(*words, folder=tmp_path)
    assert shown.exit_code == 2
    assert "--all" in shown.stderr


@pytest.mark.parametrize(
    ("what", "for_s", "open_end", "duration_s"),
    [
        ("ON", None, False, 60),
        ("PWM", None, False, 60),
        ("TOGGLE", None, False, 60),
        ("ON", 600.0, False, 600),
        ("ON", None, True, 0),
        ("OFF", None, False, 0),
        ("OFF", 30.0, False, 0),
    ],
)
def test_what_is_switched_on_ends_after_a_minute_unless_said(what: str, for_s: float, open_end: bool, duration_s: int):
    assert duration_of(what, for_s, open_end) == duration_s


@pytest.mark.parametrize(
    ("state", "reason", "said"),
    [
        ("queued", UNCONFIRMED, f"queued, {UNCONFIRMED} (command c1)"),
        ("sent", UNCONFIRMED, f"sent, {UNCONFIRMED} (command c1)"),
        ("sent", None, "sent, the device has not answered yet (command c1)"),
        ("acknowledged", None, "done by the device"),
        ("expired", "no answer within 10 s", "expired, no answer within 10 s"),
    ],
)
def test_how_a_command_stands_is_said_with_its_reason(state: str, reason: str | None, said: str):
    given = {"command_id": "c1", "esp_id": "ESP_A", "gpio": 25, "command": "OFF", "issued_by": "ada", "queued_at": 1}
    status = CommandStatus.model_validate({**given, "state": state, "state_reason": reason})
    assert sentence_of(status).partition(": ")[2] == said


@pytest.mark.parametrize("options", [("--for", "0s"), ("--for", "0.4s"), ("--for", "9s", "--until-further-notice")])
def test_on_without_an_end_is_asked_for_by_its_name_alone(options: tuple[str, ...], tmp_path: Path):
    signed_in(tmp_path, NOWHERE, time.time() + 3600)
    shown = run("command", "ESP_0A1B2C3D", "25", "on", *options, folder=tmp_path)
    assert shown.exit_code == 2
    assert "--until-further-notice" in shown.stderr


@contextmanager
def broker_that_answers(connack: bytes) -> Iterator[int]:
    """The port of a broker that answers each CONNECT with these bytes and closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    client, _ = listening.accept()
                except OSError:
                    return
                with client:
                    client.recv(1024)
                    client.sendall(connack)

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def test_a_broker_that_refuses_the_password_is_said_to_refuse_it(tmp_path: Path):
    signed_in(tmp_path, NOWHERE, time.time() + 3600)
    not_authorized = bytes((0x20, 0x02, 0x00, 0x05))  # MQTT 3.1.1, 3.2.2.3
    with broker_that_answers(not_authorized) as port:
        shown = run("send", "ESP_0A1B2C3D", "--mqtt-host", "127.0.0.1", "--mqtt-port", str(port), folder=tmp_path)
    assert shown.exit_code == 5
    assert f"the broker at 127.0.0.1:{port} refuses this client: Not authorized" in shown.stderr
    assert "--mqtt-password" in shown.stderr


@pytest.mark.parametrize(
    ("status", "code", "detail", "hint"),
    [
        (404, 5202, "this actuator is not registered", "the known ones: kaiser actuators"),
        (404, 5202, "no such sensor at gpio 4", ""),
        (404, 5001, "no device ESP_1", "the known ones: kaiser devices"),
        (503, 5304, "service sensor cannot reach its database: try again later", "what is down: kaiser doctor"),
        (504, 5403, "service sensor did not answer within 5 s", "what is down: kaiser doctor"),
        (504, 5403, "the device has not confirmed: the stop stays in force", ""),
        (422, 5206, "name: too long", ""),
    ],
)
def test_a_problem_has_the_command_that_helps(status: int, code: int, detail: str, hint: str):
    assert hint_of(ApiProblem(status, detail, code=code)) == hint


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        ({"state": True}, "on"),
        ({"state": False, "emergency": "active"}, "off, stopped"),
        ({"state": True, "registered": False}, "on, not registered"),
        ({"known": False}, "not reported yet"),
        ({"known": False, "last_state": True}, "last known on, not known now"),
    ],
)
def test_the_state_of_an_actuator_says_what_is_known(of: dict[str, object], expected: str):
    assert state_now(Actuator.model_validate({"esp_id": "ESP_1", "gpio": 25, **of})) == expected


def test_an_alarm_that_is_over_is_no_finding_of_the_doctor():
    [stop, over] = [ALARM.model_copy(update={"state": state, "message": state}) for state in ("raised", "cleared")]
    assert list(standing([over])) == []
    assert list(standing([over, stop])) == [("a critical alarm stands: raised", "kaiser alarms --severity critical")]
    assert next(standing([stop, stop]))[0] == "2 critical alarms stand: raised"


def test_without_a_sign_in_the_command_for_it_is_named(tmp_path: Path):
    shown = run("devices", "--server", NOWHERE, folder=tmp_path)
    assert shown.exit_code == 4
    assert f"kaiser login {NOWHERE}" in shown.stderr


def test_a_server_that_is_away_has_a_status_of_its_own(tmp_path: Path):
    signed_in(tmp_path, NOWHERE, time.time() + 3600)
    shown = run("devices", folder=tmp_path)
    assert shown.exit_code == 5
    assert f"{NOWHERE} cannot be reached" in shown.stderr


def test_an_unknown_name_of_a_server_lists_the_known_ones(tmp_path: Path):
    signed_in(tmp_path, NOWHERE, time.time() + 3600)
    shown = run("devices", "--server", "palnt", folder=tmp_path)
    assert shown.exit_code == 2
    assert "plant" in shown.stderr


def test_tokens_are_in_a_file_that_only_its_owner_may_read(tmp_path: Path):
    signed_in(tmp_path, NOWHERE, 1.0)
    path = tmp_path / "kaiser" / "servers.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    listed = json.loads(run("servers", "--json", folder=tmp_path).output)
    assert listed == {
        "url": NOWHERE,
        "name": "plant",
        "user": "grace",
        "role": "admin",
        "current": True,
        "expires_at": 1000,
    }


def test_a_damaged_file_says_what_to_do(tmp_path: Path):
    signed_in(tmp_path, NOWHERE, 1.0)
    (tmp_path / "kaiser" / "servers.json").write_text("{")
    shown = run("devices", folder=tmp_path)
    assert shown.exit_code == 2
    assert "sign in again" in shown.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_script(shell: str):
    shown = run("completion", shell)
    assert shown.exit_code == 0
    assert "_KAISER_COMPLETE" in shown.output
    assert f"{shell}_complete" in shown.output


def test_a_shell_is_offered_commands():
    words = {"_KAISER_COMPLETE": "bash_complete", "COMP_WORDS": "kaiser de", "COMP_CWORD": "1"}
    shown = run(**words)
    assert "plain,devices" in shown.output


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("10m", 600), ("2h", 7200), ("7d", 604_800), ("5", 5), ("1.5h", 5400)]
)
def test_a_duration_as_people_write_it(text: str, seconds: float):
    assert times.duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("-2h", "2026-01-31T10:00:00+00:00"),
        ("now", "2026-01-31T12:00:00+00:00"),
        ("2026-01-30T06:00:00+01:00", "2026-01-30T05:00:00+00:00"),
    ],
)
def test_a_time_as_people_write_it(text: str, iso: str):
    assert times.instant_at(text, NOW) == datetime.fromisoformat(iso).timestamp() * 1000


@pytest.mark.parametrize("text", ["soon", "-soon", "3 weeks", ""])
def test_a_time_that_is_none_says_how_to_write_one(text: str):
    with pytest.raises(click.BadParameter, match="write"):
        times.instant_at(text, NOW)


def test_a_cell_steers_no_terminal_and_is_no_longer_than_its_column():
    assert output.cell("a\x1b[31mb\n") == "a�[31mb�"
    assert output.cell("x" * 100) == "x" * 59 + "…"
    assert [output.cell(value) for value in (None, True, 21.50, [1, 2])] == ["–", "yes", "21.5", "1, 2"]


def test_an_event_on_one_line():
    reading = {"esp_id": "ESP_1", "gpio": 4, "sensor_type": "ds18b20", "value": 21.5, "unit": "°C", "quality": "good"}
    line = line_of(Watched("sensor_data", 0.0, 1, reading))
    assert line.split()[0] == "1970-01-01"
    assert line.split()[2:] == ["sensor_data", "ESP_1", "gpio", "4", "ds18b20", "21.5", "°C", "good"]


def test_what_is_not_known_now_is_what_was_known_last_and_until_when():
    until = int(datetime(2026, 1, 31, 11, 59, 30, tzinfo=UTC).timestamp() * 1000)
    since = f"not known since {output.at(until)}"
    seen = {"ts": until, "esp_id": "ESP_1", "gpio": 4, "sensor_type": "ds18b20", "unit": "°C", "data_source": "device"}
    cases = [
        ({"value": 20.5, "quality": "good"}, "20.5 °C"),
        ({"value": 20.5, "quality": "good", "state": "known"}, "20.5 °C"),
        ({"value": 20.5, "quality": "good", "state": "silent", "known_until": until}, f"last known 20.5 °C, {since}"),
        ({"raw_value": 7.0, "quality": "stale", "state": "offline", "known_until": until}, f"last known 7 °C, {since}"),
        ({"value": 20.5, "quality": "good", "state": "offline"}, "last known 20.5 °C, not known since then"),
    ]
    items = [ReadingItem.model_validate(seen | fields) for fields, _ in cases]
    assert [value_now(item) for item in items] == [text for _, text in cases]
    stale = {**seen, "value": 20.5, "quality": "stale", "state": "silent", "known_until": until}
    assert line_of(Watched("sensor_data", 0.0, 1, stale)).endswith(f"last known 20.5 °C, {since}, silent")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("faults", "MOCK_1", "ofline=true"), "ofline: there is no such field: did you mean offline?"),
        (("create", "-"), "esp_id: must be MOCK_ and then"),
    ],
)
def test_what_is_wrong_with_a_mock_is_said_as_the_server_says_it(tmp_path: Path, words: tuple[str, ...], reason: str):
    signed_in(tmp_path, NOWHERE, time.time() + 3600)
    environment = {"KAISER_URL": None, "XDG_CONFIG_HOME": str(tmp_path)}
    shown = CliRunner().invoke(cli, ["mocks", *words], env=environment, input='{"esp_id": "ESP_1"}', prog_name="kaiser")
    assert shown.exit_code == 2
    assert reason in shown.stderr
