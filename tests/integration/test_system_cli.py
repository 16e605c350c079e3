"""The `kaiser` command line and the Python client against a whole stack: what a device does, and what is stored."""

import csv
import io
import json
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result
from firmware_b import FirmwareB
from firmware_device import Actuator
from harness import ROOT, Message, Stack, reading, wait_until
from kaiser_cli import servers
from kaiser_cli.main import cli
from kaiser_client import Kaiser, WatchFilters

PUMP = 25


class Terminal:
    """Somebody at a terminal, signed in as the administrator."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        self.url = str(stack.addresses["http_url"])
        self.environment = {"KAISER_URL": self.url, "XDG_CONFIG_HOME": str(folder)}

    def shown(self, *words: str, said: str | None = None) -> Result:
        """A command: its output and its status."""
        return CliRunner().invoke(cli, list(words), input=said, env=self.environment, prog_name="kaiser")

    def run(self, *words: str, status: int = 0, said: str | None = None) -> Result:
        """A command, which must end with a status."""
        shown = self.shown(*words, said=said)
        assert shown.exit_code == status, f"{words}: {shown.exit_code}\n{shown.output}\n{shown.exception!r}"
        return shown

    def lines(self, *words: str, status: int = 0) -> list[dict[str, Any]]:
        """The objects that a command prints."""
        return [json.loads(line) for line in self.run(*words, "--json", status=status).stdout.splitlines()]

    def sign_in(self) -> "Terminal":
        """Sign in, again while the database is busy."""
        words = ("login", "--user", "admin", "--password-stdin")

        def answered() -> Result | None:
            shown = self.shown(*words, said=f"{self.stack.password()}\n")
            return None if "(code 5402)" in shown.stderr else shown

        shown = wait_until(answered, "a sign-in is answered")
        assert shown.exit_code == 0, shown.output
        return self


@pytest.fixture
def terminal(stack: Stack, tmp_path: Path) -> Terminal:
    return Terminal(stack, tmp_path).sign_in()


@pytest.fixture
def pump(stack: Stack, terminal: Terminal) -> Iterator[tuple[FirmwareB, Callable[[], Actuator]]]:
    """A device of generation B with a pump on gpio 25, which is registered and configured."""
    esp_id = f"ESP_{secrets.token_hex(4).upper()}"
    address = stack.addresses["mqtt_host"], stack.addresses["mqtt_port"]
    with FirmwareB(address, esp_id, interval_s=0.5) as device, stack.sign_in() as rest:
        wait_until(lambda: terminal.lines("devices", "--state", "pending", "--text", esp_id), "it is pending")
        terminal.run("devices", "approve", esp_id)
        url = f"/api/v1/actuators/{esp_id}/{PUMP}"
        wait_until(lambda: rest.put(url, json={"actuator_type": "pump", "name": "Pump"}).is_success, "it has a pump")
        push = f"/api/v1/esp/devices/{esp_id}/config"
        wait_until(lambda: rest.post(push, json={}).is_success, "its configuration is sent")
        wait_until(lambda: device.board.flash.actuators, "it is configured")
        wait_until(lambda: rest.get(url).json().get("state") is False, "its pump is reported off")
        yield device, lambda: device.board.flash.actuators[PUMP]


def test_a_pump_is_switched_stopped_and_freed_from_the_command_line(terminal: Terminal, pump):
    device, state = pump
    esp_id = device.board.esp_id
    (switched,) = terminal.lines("command", esp_id, str(PUMP), "on", "--for", "10m")
    assert switched["state"] == "acknowledged"
    assert state().on is True
    (listed,) = terminal.lines("actuators", "--device", esp_id)
    assert (listed["gpio"], listed["name"], listed["registered"]) == (PUMP, "Pump", True)
    unknown = terminal.run("command", esp_id, str(PUMP + 1), "on", status=1)
    assert "kaiser actuators" in unknown.stderr
    assert "done by the device" in terminal.run("command", esp_id, str(PUMP), "on").output
    (unsaid,) = terminal.lines("command", esp_id, str(PUMP), "on")
    (forever,) = terminal.lines("command", esp_id, str(PUMP), "on", "--until-further-notice")
    assert (switched["duration_s"], unsaid["duration_s"], forever["duration_s"]) == (600, 60, 0)

    (stopped,) = terminal.lines("stop", esp_id, "--reason", "water on the floor", "--wait", "60s")
    assert state().on is False
    assert stopped["confirmed"] is True
    assert [one["confirmed"] for one in stopped["actuators"]] == [True]
    refused = terminal.run("command", esp_id, str(PUMP), "on", status=1)
    assert "kaiser clear" in refused.stderr
    assert state().on is False
    assert "water on the floor" in terminal.run("clear", "--list").stdout

    terminal.run("clear", esp_id)
    wait_until(lambda: not state().stopped, "the device has cleared its stop")
    assert state().on is False, "a clear starts nothing"
    terminal.run("command", esp_id, str(PUMP), "on")
    assert state().on is True

    (of_one,) = terminal.lines("stop", esp_id, str(PUMP), "--wait", "60s")
    assert state().on is False
    assert of_one["confirmed"] is True
    terminal.run("clear", esp_id, str(PUMP))
    assert "no stop of" in terminal.run("clear", esp_id, str(PUMP), status=1).stderr


def test_a_stop_that_no_device_confirms_has_a_status_of_its_own(terminal: Terminal, pump):
    device, state = pump
    esp_id = device.board.esp_id
    terminal.run("command", esp_id, str(PUMP), "on")
    assert state().on is True
    device.board.power_cut()
    wait_until(lambda: terminal.lines("devices", "show", esp_id)[0]["online"] is False, "it is offline")
    shown = terminal.run("stop", esp_id, "--wait", "1s", status=3)
    assert "0 of 1 actuators have confirmed" in shown.output
    assert "its device is offline" in shown.stderr
    (found,) = terminal.lines("doctor", status=1)
    assert any(f"an emergency stop of {esp_id} is in force" in one["what"] for one in found["findings"])
    offline = terminal.run("command", esp_id, str(PUMP), "on", status=1)
    assert "kaiser clear" in offline.stderr


def test_a_reading_that_is_sent_is_stored_or_its_reason_and_remedy_are_said(stack: Stack, terminal: Terminal):
    esp_id = f"TEST_{secrets.token_hex(4).upper()}"
    broker = ("--mqtt-port", str(stack.addresses["mqtt_port"]), "--mqtt-host", str(stack.addresses["mqtt_host"]))
    refused = terminal.run("send", esp_id, *broker, "--wait", "60s", status=1)
    assert f"kaiser devices register {esp_id}" in refused.stderr
    assert stack.rows([esp_id]) == 0

    terminal.run("devices", "register", esp_id, "--name", "Bench")
    words = {"_KAISER_COMPLETE": "bash_complete", "COMP_WORDS": f"kaiser devices show {esp_id[:9]}", "COMP_CWORD": "3"}
    offered = CliRunner().invoke(cli, [], env={**terminal.environment, **words}, prog_name="kaiser")
    assert f"plain,{esp_id}" in offered.output
    stack.settle_registry()
    (replayed,) = terminal.lines("replay", "--device", esp_id)
    assert (replayed["published"], replayed["refused"]) == (1, [])
    wait_until(lambda: stack.rows([esp_id]) == 1, "the rejected reading is stored")

    (sent,) = terminal.lines("send", esp_id, *broker, "--value", "19.25", "--wait", "60s")
    assert (sent["fate"], sent["entry"]["value"]) == ("stored", 19.25)
    assert stack.rows([esp_id]) == 2
    wait_until(lambda: "19.25 °C" in terminal.run("sensors", "--device", esp_id).stdout, "it is the newest")

    table = list(csv.DictReader(io.StringIO(terminal.run("export", esp_id).stdout)))
    with psycopg.connect(stack.addresses["database_url"], connect_timeout=5) as connection:
        stored = connection.execute(
            "SELECT value FROM sensor.data WHERE esp_id = %s ORDER BY time", [esp_id]
        ).fetchall()
    assert [float(row["value"]) for row in table] == [value for (value,) in stored]
    assert all(row["time"].endswith("+00:00") for row in table)

    wrong = Message(f"kaiser/god/esp/{esp_id}/sensor/4/data", b'{"ts": "yesterday"')
    stack.publish([wrong])
    (item,) = wait_until(lambda: terminal.lines("rejected", "--device", esp_id, "--code", "5209"), "it is rejected")
    assert f"{item['seq']}: " in terminal.run("replay", str(item["seq"]), status=1).stderr
    assert any(one["count"] == 1 and one["code"] == 5209 for one in terminal.lines("rejected", "--groups"))


def test_a_sensor_that_is_silent_shows_what_was_known_last_and_since_when_it_is_not(stack: Stack, terminal: Terminal):
    (esp_id,) = stack.register(1)
    at = time.time_ns() // 1_000_000
    stack.publish([reading(esp_id, 4, at - number * 1000, 20.5) for number in range(5)])

    def shown() -> str:
        return terminal.run("sensors", "--device", esp_id).stdout

    wait_until(lambda: "20.5 °C" in shown(), "its reading is stored")
    said = re.compile(r"last known 20\.5 °C, not known since (?:\d{4}-\d\d-\d\d )?(\d\d:\d\d:\d\d)")
    since = wait_until(lambda: said.search(shown()), "it is silent", 240.0)
    (item,) = terminal.lines("sensors", "--device", esp_id)
    assert (item["state"], item["value"]) == ("silent", 20.5)
    assert datetime.fromtimestamp(item["known_until"] / 1000, UTC).astimezone().strftime("%H:%M:%S") == since.group(1)


def test_events_are_watched_and_resumed_where_they_stopped(stack: Stack, terminal: Terminal):
    (esp_id,) = stack.register(1)
    first_ts = time.time_ns() // 1_000_000 - 60_000
    shown: list[Result] = []
    words = ("watch", "--type", "sensor_data", "--device", esp_id, "--rate", "1000", "--json")
    watcher = threading.Thread(target=lambda: shown.append(terminal.run(*words, "--count", "3")))
    watcher.start()
    sent = 0
    while watcher.is_alive():  # the first events may come before its subscription
        stack.publish([reading(esp_id, 4, first_ts + sent, float(sent))])
        sent += 1
        watcher.join(0.2)
        assert sent < 300
    events = [json.loads(line) for line in shown[0].stdout.splitlines()]
    values = [one["data"]["value"] for one in events]
    assert values == [values[0], values[0] + 1, values[0] + 2]
    again = terminal.run(*words, "--after", str(events[0]["seq"]), "--count", "2")
    assert [json.loads(line)["seq"] for line in again.stdout.splitlines()] == [one["seq"] for one in events[1:]]


def test_users_are_made_changed_and_deleted_and_see_what_their_role_allows(terminal: Terminal, tmp_path: Path):
    name = f"user-{secrets.token_hex(3)}"
    terminal.run("users", "set", name, "--role", "viewer", "--password-stdin", said="a long sentence\n")
    viewer = Terminal(terminal.stack, tmp_path / "viewer")
    wrong = viewer.run("login", "--user", name, "--password-stdin", said="another sentence\n", status=4)
    assert "wrong name or password" in wrong.stderr
    viewer.run("login", "--user", name, "--password-stdin", said="a long sentence\n")
    viewer.run("devices")
    assert "role" in viewer.run("stop", "--all", status=4).stderr
    assert "role admin" in viewer.run("users", status=4).stderr
    terminal.run("users", "delete", name, "--yes")
    wait_until(lambda: _ended(viewer), "the sign-in has ended")
    assert name not in {one["username"] for one in terminal.lines("users")}


def _ended(viewer: Terminal) -> bool:
    shown = viewer.shown("devices")
    return shown.exit_code == 4 and f"kaiser login {viewer.url}" in shown.stderr


def test_tokens_that_are_due_are_renewed_once_by_two_commands_at_the_same_time(terminal: Terminal):
    path = servers.file_of(terminal.environment)
    known = servers.read(path)
    (one,) = known.servers
    stale = one.model_copy(update={"tokens": one.tokens.model_copy(update={"expires_at": 0.0})})
    servers.write(path, known.with_server(stale, current=True))
    token = servers.tokens_at(path, terminal.url)
    given: list[str] = []
    threads = [threading.Thread(target=lambda: given.append(token())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(given) == 4
    assert len(set(given)) == 1
    terminal.run("devices")
    refresh = servers.read(path).servers[0].tokens.refresh_token
    terminal.run("logout")
    assert "kaiser login" in terminal.run("devices", status=4).stderr
    with terminal.stack.sign_in() as rest:
        assert rest.post("/api/v1/auth/refresh", json={"refresh_token": refresh}).status_code == 401


def test_the_installed_command_says_what_is_wrong(terminal: Terminal):
    command = [str(Path(sys.executable).parent / "kaiser"), "doctor", "--json"]
    ended = subprocess.run(command, env=terminal.environment, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode in (0, 1), ended.stderr
    findings = json.loads(ended.stdout)["findings"]
    assert bool(findings) == (ended.returncode == 1)


def test_the_wheels_alone_sign_in_and_list_devices(stack: Stack, terminal: Terminal, missing: Callable[..., Any]):
    program = ROOT / ".venv/wheels/bin/kaiser"
    if not program.exists():
        missing("wheels", "the wheels are not installed: make wheels")
    (esp_id,) = stack.register(1)

    def run(*words: str, said: str = "") -> str:
        command, environment = [str(program), *words], {**terminal.environment, "HOME": "/nonexistent"}
        ended = subprocess.run(
            command, env=environment, input=said, capture_output=True, text=True, timeout=120, check=False
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    run("login", "--user", "admin", "--password-stdin", said=f"{stack.password()}\n")
    assert esp_id in [json.loads(line)["esp_id"] for line in run("devices", "--text", esp_id, "--json").splitlines()]


def test_the_example_of_the_python_client_runs_as_it_is_printed(stack: Stack, capsys: pytest.CaptureFixture[str]):
    (esp_id,) = stack.register(1)
    stack.publish([reading(esp_id, 4, time.time_ns() // 1_000_000, 20.5)])
    wait_until(lambda: stack.rows([esp_id]) == 1, "its reading is stored")
    page = (ROOT / "docs" / "python-client.md").read_text()
    example = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    exec(example, {"URL": stack.addresses["http_url"], "PASSWORD": stack.password(), "ESP_ID": esp_id})
    assert "20.5 °C" in capsys.readouterr().out


def test_the_client_s_watch_goes_on_after_the_gateway_was_killed(stack: Stack):
    (esp_id,) = stack.register(1)
    ts = time.time_ns() // 1_000_000 - 60_000
    seen: list[float] = []
    began = threading.Event()

    def follow() -> None:
        with Kaiser(str(stack.addresses["http_url"])) as kaiser:
            kaiser.sign_in("admin", stack.password())
            for event in kaiser.watch(WatchFilters(types=("sensor_data",), esp_ids=(esp_id,)), rate=1000):
                if event.type == "sensor_data":
                    seen.append(event.data["value"])
                    began.set()
                if seen and set(wanted) <= set(seen):  # the newest may come before what was missed
                    return

    wanted = [1000.0 - left for left in range(20, -1, -1)]
    watcher = threading.Thread(target=follow, daemon=True)
    watcher.start()
    number = 0
    while not began.is_set():
        stack.publish([reading(esp_id, 4, ts + number, float(number))])
        number += 1
        began.wait(0.2)
        assert number < 300
    stack.kill("websocket-gateway")
    stack.publish([reading(esp_id, 4, ts + 1000 + place, value) for place, value in enumerate(wanted)])
    watcher.join(120)
    assert not watcher.is_alive(), f"what came while the gateway was away did not all come after it: {seen[-30:]}"


def test_a_mock_is_made_broken_and_deleted_and_its_alarm_acknowledged_and_shelved(terminal: Terminal):
    esp_id = f"MOCK_{secrets.token_hex(4).upper()}"
    body = {"esp_id": esp_id, "sensors": [{"gpio": 4, "sensor_type": "ds18b20", "interval_s": 0.5}]}
    made = terminal.run("mocks", "create", "--json", said=json.dumps(body))
    assert json.loads(made.stdout)["esp_id"] == esp_id
    wait_until(lambda: terminal.lines("devices", "show", esp_id)[0]["online"], "it is online")
    assert "offline: " in terminal.run("mocks", "faults", esp_id, 'offline="perhaps"', status=2).stderr

    terminal.run("mocks", "faults", esp_id, "offline=true")
    (mock,) = [one for one in terminal.lines("mocks") if one["esp_id"] == esp_id]
    assert mock["faults"]["offline"] is True

    def of_device(shown: str = "open") -> list[dict[str, Any]]:
        return terminal.lines("alarms", "--device", esp_id, "--shown", shown)

    wait_until(of_device, "its alarm is raised")
    alarm_id = of_device()[0]["alarm_id"]
    (acknowledged,) = terminal.lines("alarms", "ack", alarm_id, "--note", "on my way")
    assert (acknowledged["state"], acknowledged["acknowledged_by"]) == ("acknowledged", "admin")
    (shelved,) = terminal.lines("alarms", "shelve", alarm_id, "--for", "10m")
    assert shelved["shelved_by"] == "admin"
    assert "shelved until" in terminal.run("alarms", "--device", esp_id).stdout
    terminal.run("alarms", "unshelve", alarm_id)
    assert "on my way" in terminal.run("alarms", "show", alarm_id).stdout

    terminal.run("mocks", "faults", esp_id)
    wait_until(lambda: of_device("closed"), "its alarm is closed once it is back")
    terminal.run("mocks", "stop", esp_id)
    terminal.run("mocks", "start", esp_id)
    terminal.run("mocks", "delete", esp_id)
    assert not [one for one in terminal.lines("mocks") if one["esp_id"] == esp_id]


def test_without_a_factory_its_commands_say_so(terminal: Terminal):
    for words in (["factory"], ["factory", "orders"], ["factory", "stock"]):
        assert "factory" in terminal.run(*words, status=1).stderr


def test_a_zone_is_made_renamed_listed_and_deleted(terminal: Terminal):
    zone_id = f"zone-{secrets.token_hex(3)}"
    terminal.run("zones", "create", zone_id, "--name", "Greenhouse, east")
    (changed,) = terminal.lines("zones", "set", zone_id, "--description", "by the river")
    assert (changed["name"], changed["description"]) == ("Greenhouse, east", "by the river")
    assert [one["devices"] for one in terminal.lines("zones") if one["zone_id"] == zone_id] == [0]
    assert "Greenhouse, east" in terminal.run("zones").stdout
    terminal.run("zones", "delete", zone_id)
    assert zone_id not in terminal.run("zones").stdout


def offered(terminal: Terminal, *words: str) -> set[str]:
    """The ids that the shell offers for the last word."""
    line = {
        "COMP_WORDS": " ".join(("kaiser", *words)),
        "COMP_CWORD": str(len(words)),
        "_KAISER_COMPLETE": "bash_complete",
    }
    shown = CliRunner().invoke(cli, [], env={**terminal.environment, **line}, prog_name="kaiser")
    return {each.removeprefix("plain,") for each in shown.output.splitlines() if each}


def test_a_cause_whose_sender_is_a_topic_is_replayed_by_its_name_and_causes_left_out_are_counted(
    stack: Stack, terminal: Terminal
):
    topics = [f"kaiser/god/esp/no-{secrets.token_hex(4)}/sensor/{gpio}/data" for gpio in (4, 5)]
    words = {f"5201/esp_id/topic/{topic}" for topic in topics}
    stack.publish([Message(topic, b"{}") for topic in topics])

    def named() -> bool:
        return words <= {
            one["cause"] for one in terminal.lines("rejected", "--groups", "--code", "5201", "--limit", "1000")
        }

    wait_until(named, "both are rejected, each for a cause of its own")
    for word in words:
        assert (
            "0 messages are taken in, 1 are rejected still" in terminal.run("replay", "--cause", word, status=1).output
        )
    assert "more causes are left out" in terminal.run("rejected", "--groups", "--code", "5201", "--limit", "1").stderr


def test_all_of_a_cause_is_replayed_by_its_name_from_the_list_and_stored_once(stack: Stack, terminal: Terminal):
    esp_id = f"TEST_{secrets.token_hex(4).upper()}"
    ts = time.time_ns() // 1_000_000 - 60_000
    stack.publish([reading(esp_id, 4, ts + number, float(number)) for number in range(30)])

    def cause() -> dict[str, Any] | None:
        return next(
            (one for one in terminal.lines("rejected", "--groups", "--device", esp_id) if one["count"] == 30), None
        )

    found = wait_until(cause, "all are rejected for one cause")
    assert (found["cause"], found["code"]) == (f"5001/esp_id/{esp_id}", 5001)
    assert found["cause"] in offered(terminal, "replay", "--cause", "5001")
    assert "30 are rejected still" in terminal.run("replay", "--cause", found["cause"], status=1).output
    assert "kaiser rejected --groups" in terminal.run("replay", "--cause", "all", status=2).stderr

    terminal.run("devices", "register", esp_id)
    stack.settle_registry()
    for _ in range(2):
        (replayed,) = terminal.lines("replay", "--cause", found["cause"])
        assert (replayed["published"], replayed["rejected"], replayed["refused"]) == (30, 0, [])
    wait_until(lambda: stack.rows([esp_id]) == 30, "the rejected readings are stored")
    with stack.sign_in() as rest:
        query = {"action": "replay_cause", "target": f"5001/{esp_id}/esp_id"}

        def entries() -> list[dict[str, Any]]:
            found = rest.get("/api/v1/audit", params=query).raise_for_status().json()["items"]
            return [one for one in found if one["outcome"] == "done"]

        newest, _, oldest = wait_until(lambda: entries() if len(entries()) == 3 else None, "the audit has each replay")
    assert (newest["before"]["count"], newest["after"]["replayed"]) == (30, 30)
    assert (oldest["before"]["count"], oldest["after"]["refused"]) == (30, 30)


def test_ids_of_zones_and_alarms_are_offered_by_the_shell(
    stack: Stack, terminal: Terminal, pump: tuple[FirmwareB, Callable[[], Actuator]]
):
    zone_id = f"zone-{secrets.token_hex(3)}"
    terminal.run("zones", "create", zone_id, "--name", "Greenhouse, east")
    assert offered(terminal, "zones", "set", zone_id[:6]) >= {zone_id}
    assert zone_id in offered(terminal, "devices", "--zone", zone_id[:6])
    esp_id = pump[0].board.esp_id
    stop = {"esp_id": esp_id, "reason": "tried"}
    with stack.sign_in() as rest:
        rest.post("/api/v1/actuators/emergency_stop", json=stop).raise_for_status()

    def alarm() -> dict[str, Any] | None:
        return next(iter(terminal.lines("alarms", "--device", esp_id)), None)

    alarm_id = str(wait_until(alarm, "the stop is an alarm")["alarm_id"])
    for words in (("alarms", "show"), ("alarms", "ack"), ("alarms", "shelve")):
        assert alarm_id in offered(terminal, *words, alarm_id[:2])
    assert offered(Terminal(stack, Path("/nonexistent")), "zones", "set", "z") == set()
    with stack.sign_in() as rest:
        clear = "/api/v1/actuators/clear_emergency"
        wait_until(lambda: rest.post(clear, json=stop).is_success, "the stop is cleared")
    terminal.run("zones", "delete", zone_id)
