"""ingest is killed, stopped or away while a pump of generation B runs: what the pump does, and what the API says."""

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from firmware_b import FirmwareB
from harness import Stack, wait_until

pytestmark = pytest.mark.both_brokers

PUMP = 25
NEVER_S = 3600.0


@pytest.fixture
def rest(stack: Stack) -> Iterator[httpx.Client]:
    with stack.sign_in() as rest:
        yield rest


@pytest.fixture
def device(stack: Stack, rest: httpx.Client) -> Iterator[FirmwareB]:
    """A device whose pump runs, by a command of the API; it waits for the server's acks for as long as it takes."""
    address = (stack.addresses["mqtt_host"], stack.addresses["mqtt_port"])
    esp_id = f"ESP_{secrets.token_hex(4).upper()}"
    with FirmwareB(address, esp_id, interval_s=0.3, ack_timeout_s=NEVER_S) as device:
        url = f"/api/v1/esp/devices/{esp_id}"
        wait_until(lambda: rest.get(url).is_success, "it is pending")
        done(rest, "POST", f"{url}/approve")
        wait_until(lambda: not device.pending, "it knows that it is approved")
        done(rest, "PUT", pump_of(device), {"actuator_type": "pump", "name": "Pump"})
        done(rest, "POST", f"{url}/config", {})
        wait_until(lambda: PUMP in device.board.flash.actuators, "it is configured")
        switch_on(rest, device)
        yield device


def done(rest: httpx.Client, method: str, path: str, body: dict[str, Any] | None = None) -> None:
    """Ask until it is taken: a service that was just started refuses for a moment."""
    wait_until(lambda: rest.request(method, path, json=body).is_success, f"{method} {path} {body}")


def pump_of(device: FirmwareB) -> str:
    return f"/api/v1/actuators/{device.board.esp_id}/{PUMP}"


def switch_on(rest: httpx.Client, device: FirmwareB) -> None:
    done(rest, "POST", f"{pump_of(device)}/command", {"command": "ON"})
    wait_until(lambda: device.board.flash.actuators[PUMP].on, "the pump runs")
    wait_until(lambda: shown(rest, device) == (True, True), "the API says so")


def shown(rest: httpx.Client, device: FirmwareB) -> tuple[bool | None, bool] | None:
    """The pump's state in the API, and whether it is known; None without an answer."""
    answer = rest.get(pump_of(device))
    return (answer.json()["state"], answer.json()["known"]) if answer.is_success else None


def server(device: FirmwareB) -> list[str]:
    """The statuses of the server that the device received, in order."""
    return [each["status"] for each in device.board.heard_on("kaiser/god/server/status")]


def kill(stack: Stack) -> None:
    stack.kill("ingest")


def stop_and_start(stack: Stack) -> None:
    stack.control("stop", "ingest")
    stack.control("start", "ingest")


@pytest.mark.parametrize("restart", [kill, stop_and_start])
def test_a_running_pump_runs_on_while_ingest_restarts(
    stack: Stack, rest: httpx.Client, device: FirmwareB, restart: Callable[[Stack], None]
):
    board = device.board
    pins, known = len(board.pins), len(server(device))
    restart(stack)
    wait_until(lambda: len(server(device)) > known, "ingest is back")
    acks = len(board.heard_on("system/heartbeat/ack"))
    wait_until(lambda: len(board.heard_on("system/heartbeat/ack")) > acks + 1, "its heartbeats are answered again")
    assert (board.pins[pins:], board.flash.actuators[PUMP].on) == ([], True), board.notes
    assert set(server(device)) == {"online"}
    done(rest, "POST", f"{pump_of(device)}/command", {"command": "OFF"})
    wait_until(lambda: board.pins[pins:] == [(PUMP, False)], "it obeys the first command after it")


def test_a_pump_that_its_device_switched_off_while_ingest_was_away_is_not_said_to_run(
    stack: Stack, rest: httpx.Client, device: FirmwareB
):
    """Generation B puts its actuators to their defaults after 120 s without an ack; here it waits for a second. The
    device's own heartbeat timeout is over too: the API says that the pump's state is not known."""
    board, pump = device.board, device.board.flash.actuators[PUMP]
    done(rest, "PATCH", f"/api/v1/esp/devices/{board.esp_id}", {"heartbeat_timeout_s": 3})
    stack.control("stop", "ingest")
    device.ack_timeout_s = 1.0  # only now: on a busy machine it would be over before ingest is stopped
    wait_until(lambda: not pump.on, "the device goes to its safe state")
    assert board.notes[-1] == "DEFAULT: no heartbeat ack"
    wait_until(lambda: shown(rest, device) == (None, False), "the API says that it is not known")
    device.ack_timeout_s = NEVER_S
    done(rest, "PATCH", f"/api/v1/esp/devices/{board.esp_id}", {"heartbeat_timeout_s": 180})
    stack.control("start", "ingest")
    wait_until(lambda: shown(rest, device) == (False, True), "the API says what the device reports")
    assert not pump.on, "no return of ingest switches it on again"
    switch_on(rest, device)
