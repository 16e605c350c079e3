"""The promises of `make run` when it is started, stopped and killed."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psycopg
import pytest
from devices import new_id
from harness import Stack, reading, wait_until

MakeStack = Callable[..., Stack]


def processes_of(stack: Stack) -> list[str]:
    """Command lines of the processes that have the stack's state folder in their command line or environment.

    Of a stack that was started plainly: forks show the environment of their server.
    """
    mark = str(stack.state_dir).encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            if mark in command or mark in (process / "environ").read_bytes():
                found.append(command.replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def one_line_of(stack: Stack) -> str:
    """The one line of a stack that does not start: nothing else may come before or after."""
    assert stack.launch().wait(120) == 2, stack.console()
    lines = [line for line in stack.console().splitlines() if "is not installed and not started" not in line]
    assert len(lines) == 1, stack.console()
    return lines[0]


def logs_of_services(stack: Stack) -> list[Path]:
    """The logs of the services, without those of the servers and of the migrate step."""
    others = {"nats", "postgres", "mosquitto", "migrate"}
    return [path for path in sorted((stack.state_dir / "log").glob("*.log")) if path.stem not in others]


def worse_than_info(line: str) -> bool:
    """Whether a line of a log is a warning or worse, or no event at all: what a library wrote."""
    return re.search(r"\[(info|debug) *\]", line) is None


def test_ctrl_c_leaves_no_process_and_the_data_is_there_at_the_next_start(make_stack: MakeStack):
    stack = make_stack(plain=True).start()
    device = stack.register(1)
    stack.publish([reading(device[0], 4, int(time.time() * 1000), 21.5)])
    wait_until(lambda: stack.rows(device) == 1, "the reading is stored")
    password = stack.password()
    pids = stack.pids()
    assert {"nats", "postgres", "ingest", "sensor", "health", "websocket-gateway"} <= pids.keys()

    before = {path: path.stat().st_size for path in logs_of_services(stack)}
    assert stack.stop() == 0, stack.logs()
    assert processes_of(stack) == []
    assert "Traceback" not in stack.log_lines()
    told = [line for path, size in before.items() for line in path.read_bytes()[size:].decode().splitlines()]
    assert any("stopped" in line for line in told), told
    worse = [line for line in told if worse_than_info(line) and "stopped_late" not in line]  # that is the machine
    assert worse == [], "a planned stop is nothing to look at"

    again = make_stack(state_dir=stack.state_dir).start()
    assert again.rows(device) == 1
    assert again.password() == password
    with again.sign_in() as rest:
        assert rest.get(f"/api/v1/esp/devices/{device[0]}").status_code == 200


def test_it_tells_where_everything_is(stack: Stack):
    text = wait_until(lambda: "Ctrl-C" in stack.console() and stack.console(), "the table")
    assert float(text.partition("Kaiser is ready (")[2].partition(" s)")[0]) > 0
    for address in (stack.addresses["http_url"], f"127.0.0.1:{stack.addresses['mqtt_port']}", "admin-password"):
        assert address in text
    assert stat.S_IMODE((stack.state_dir / "admin-password").stat().st_mode) == 0o600
    assert stat.S_IMODE((stack.state_dir / "token-secret").stat().st_mode) == 0o600


@pytest.mark.parametrize("stack", ["nats"], indirect=True)
def test_two_stacks_run_side_by_side(stack: Stack, make_stack: MakeStack):
    other = make_stack().start()
    device = other.register(1)
    other.publish([reading(device[0], 4, int(time.time() * 1000), 21.5)])
    wait_until(lambda: other.rows(device) == 1, "the reading is stored")
    assert stack.rows(device) == 0
    assert other.stop() == 0
    assert _ready(stack)


@pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere the kernel does not end the children; the next start does"
)
def test_a_killed_stack_leaves_no_process(make_stack: MakeStack):
    stack = make_stack("servers", plain=True).start()
    assert stack.process
    stack.process.kill()
    stack.process.wait(60)
    wait_until(lambda: not processes_of(stack), "every process has ended")
    make_stack("servers", state_dir=stack.state_dir).start()


def test_a_start_ends_what_a_killed_stack_has_left(make_stack: MakeStack):
    stack = make_stack("servers").start()
    with subprocess.Popen(["sleep", "600"]) as left_over:
        start = Path(f"/proc/{left_over.pid}/stat").read_text().rpartition(")")[2].split()[19]
        stack.stop()
        (stack.state_dir / "run" / "sensor.pid").write_text(f"{left_over.pid}\n{start}\n15\n")
        (stack.state_dir / "run" / "health.pid").write_text(f"{os.getpid()}\n1\n15\n")
        stack.start()
        assert left_over.wait(60) == -signal.SIGTERM


@pytest.mark.parametrize("name", ["nats", "postgres", "mosquitto", "sensor"])
def test_what_is_killed_is_started_again(name: str, stack: Stack):
    _kill_and_see(stack, name)


@pytest.mark.parametrize("stack", ["nats"], indirect=True)
def test_a_killed_bus_that_is_the_broker_too_is_started_again(stack: Stack):
    _kill_and_see(stack, "nats")


def _kill_and_see(stack: Stack, name: str) -> None:
    device = stack.register(1)
    before = stack.pid(name)
    stack.kill(name)
    assert wait_until(lambda: stack.pid(name) != before and stack.pid(name), f"{name} runs again")
    wait_until(lambda: _goes_through(stack, device), "a reading that the device sends again and again is stored")
    wait_until(lambda: _ready(stack), "the gateway is ready again")
    wait_until(lambda: _registers(stack), "health answers again")


def _registers(stack: Stack) -> bool:
    """Whether a device can be registered: of all requests the one that needs most, NATS, health and the database."""
    with stack.sign_in() as rest:
        answer = rest.post("/api/v1/esp/devices", json={"esp_id": new_id()})
    assert answer.status_code in (201, 503, 504), answer.text
    return answer.status_code == 201


def _goes_through(stack: Stack, device: list[str]) -> bool:
    """Send a reading; whether one is stored. False while the broker or the database is away."""
    try:
        stack.publish([reading(device[0], 4, int(time.time() * 1000), 21.5)])
        return stack.rows(device) > 0
    except (OSError, RuntimeError, psycopg.OperationalError):  # paho's RuntimeError: the connection was closed at once
        return False


def _ready(stack: Stack) -> bool:
    return httpx.get(f"{stack.addresses['http_url']}/readyz", timeout=30, verify=False).status_code == 200


@pytest.mark.parametrize("setting", ["KAISER_HTTP_PORT", "KAISER_NATS_PORT", "KAISER_MQTT_PORT"])
def test_a_port_in_use_is_one_line_that_names_the_setting(setting: str, make_stack: MakeStack):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        line = one_line_of(make_stack(**{setting: port}))
    assert f"port {port} ({setting}) is in use" in line
    assert f"set {setting}" in line


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("KAISER_HTTP_PORT", "abc", "set it to a number from 1 to 65535"),
        ("KAISER_NATS_PORT", "70000", "set it to a number from 1 to 65535"),
        ("KAISER_LOG_LEVEL", "loud", "set it to one of debug, info, warning, error"),
        ("KAISER_MQTT_BROKER", "emqx", "set it to one of auto, mosquitto, nats"),
        ("KAISER_STATE_DIR", "/proc/kaiser", "set KAISER_STATE_DIR"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_line(setting: str, value: str, said: str, make_stack: MakeStack):
    line = one_line_of(make_stack(**{setting: value}))
    assert setting in line
    assert said in line


def test_a_setting_that_only_a_service_knows_is_one_line_at_the_end(make_stack: MakeStack, tmp_path: Path):
    procfile = tmp_path / "Procfile"
    procfile.write_text("health: kaiser-health\nwebsocket-gateway: kaiser-websocket-gateway\n")
    stack = make_stack("run", "--procfile", str(procfile), plain=True, KAISER_TOKEN_MINUTES="soon")
    assert stack.launch().wait(60) == 2
    assert "KAISER_TOKEN_MINUTES" in stack.console().splitlines()[-1]
    assert "Traceback" not in stack.console()
    assert processes_of(stack) == []


def test_a_second_stack_on_the_same_folder_does_not_start(make_stack: MakeStack):
    stack = make_stack("servers").start()
    second = make_stack("servers", state_dir=stack.state_dir)
    assert second.launch().wait(120) == 2
    assert "another stack runs" in stack.console()
    assert stack.stop() == 0


def test_a_long_state_folder_is_no_trouble_for_the_socket(server_folder: Path, make_stack: MakeStack):
    folder = server_folder / ("long" * 12) / ("path" * 15)
    folder.parent.mkdir(exist_ok=True)
    assert make_stack("servers", state_dir=folder).start().stop() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only for root PostgreSQL has an account of its own")
def test_root_may_keep_its_state_in_a_folder_closed_to_others(server_folder: Path, make_stack: MakeStack):
    closed = server_folder / "closed"
    closed.mkdir(mode=0o700)
    stack = make_stack("servers", state_dir=closed / "state").start()
    elsewhere = (closed / "state" / "postgres" / "elsewhere").resolve()
    assert stack.stop() == 0
    assert (elsewhere / "data" / "PG_VERSION").exists()
    subprocess.run(["rm", "-rf", str(elsewhere)], check=True, timeout=30)
