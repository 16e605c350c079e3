"""The longest stop and token, in each scope: the pump of each firmware stops, and none drops a message."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from firmware_a import FirmwareA
from firmware_b import FirmwareB
from firmware_device import Actuator, Board, Flash
from harness import Stack, wait_until

PUMP = 25
STOP, CLEAR = "/api/v1/actuators/emergency_stop", "/api/v1/actuators/clear_emergency"
LONGEST = "ü" * 200
TOKEN = "t" * 64


@pytest.fixture
def rest(stack: Stack) -> Iterator[httpx.Client]:
    with stack.sign_in() as rest:
        rest.timeout = httpx.Timeout(60.0)
        yield rest


@pytest.fixture
def boards(stack: Stack, rest: httpx.Client) -> Iterator[dict[str, Board]]:
    """Devices of A and B, and a production build of B; those of B have a token that was sent to them."""
    address = stack.addresses["mqtt_host"], stack.addresses["mqtt_port"]
    kinds: dict[str, tuple[Any, dict[str, Any]]] = {
        "A": (FirmwareA, {}),
        "B": (FirmwareB, {}),
        "B, production": (FirmwareB, {"production": True}),
    }
    found: dict[str, Board] = {}
    with ExitStack() as devices:
        for esp_id, (kind, (firmware, options)) in zip(stack.register(len(kinds)), kinds.items(), strict=True):
            rest.put(f"/api/v1/actuators/{esp_id}/{PUMP}", json={"actuator_type": "pump"}).raise_for_status()
            flash = Flash(actuators={PUMP: Actuator(PUMP, "pump", "Pump")})
            device = devices.enter_context(
                firmware(address, esp_id, flash=flash, clear_refused_s=0.0, interval_s=0.3, **options)
            )
            found[kind] = device.board
            if firmware is FirmwareB:
                token = {"command": "set_emergency_token", "params": {"token": TOKEN}}
                path = f"/api/v1/esp/devices/{esp_id}/command"
                wait_until(lambda: rest.post(path, json=token).is_success, f"{kind} is sent a token")  # noqa: B023
                wait_until(lambda: flash.token == TOKEN, f"{kind} has the token")  # noqa: B023
        yield found


def switch_on(rest: httpx.Client, board: Board) -> None:
    """Switch the pump on, as soon as no stop is in force."""
    path, pump = f"/api/v1/actuators/{board.esp_id}/{PUMP}/command", board.flash.actuators[PUMP]
    wait_until(lambda: rest.post(path, json={"command": "ON"}).is_success, "ON is taken")
    wait_until(lambda: pump.on, "the pump runs")


def test_the_longest_stop_of_each_scope_stops_the_pump_of_each_firmware(
    stack: Stack, rest: httpx.Client, boards: dict[str, Board]
):
    everything: list[dict[str, Any]] = [{}]
    devices: list[dict[str, Any]] = [{"esp_id": board.esp_id} for board in boards.values()]
    for scope, targets in {
        "actuator": [{**device, "gpio": PUMP} for device in devices],
        "device": devices,
        "everything": everything,
    }.items():
        for board in boards.values():
            switch_on(rest, board)
        for target in targets:
            rest.post(STOP, json={**target, "reason": LONGEST}).raise_for_status()
        for kind, board in boards.items():
            pump = board.flash.actuators[PUMP]
            wait_until(lambda: not pump.on, f"the pump of {kind} is off by a stop of {scope}")  # noqa: B023
            if scope != "actuator":  # that one is an OFF, the others are messages of their own
                wait_until(lambda: pump.stopped, f"{kind} is stopped by a stop of {scope}", 30.0)  # noqa: B023
            assert board.dropped == [], f"{kind} drops what is longer than its buffer"
        for target in targets:
            clear = {"all": True} if target == {} else target
            wait_until(lambda: rest.post(CLEAR, json=clear).is_success, "the clear is taken")  # noqa: B023
    for board in boards.values():
        switch_on(rest, board)
        assert board.dropped == []
