"""A server that stands still makes no command late: none moves the pump after its caller heard that it failed, or after
the `expires_at` that the answer named. A stop goes out all the same. Other lengths: tests/faults/test_faults_freeze.py.
"""

import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from firmware_a import FirmwareA
from freezing import PUMP, SETTINGS, freeze, frozen, set_up, tree
from harness import Stack, wait_until
from kaiser_stack import mosquitto

WITHIN_S = 10.0
"""Of an answer that 1.5 s are promised for on a quiet machine; one that waits for the database takes 15 s or fails."""


@pytest.fixture(scope="module")
def quiet_stack(server_folder: Path, missing) -> Iterator[Stack]:
    """A stack of this module's own: what stands still would hold up other tests."""
    if not mosquitto.is_installed():
        missing("mosquitto", "mosquitto is not installed")
    stack = Stack(server_folder / f"freeze-{secrets.token_hex(3)}", KAISER_MQTT_BROKER="mosquitto", **SETTINGS)
    try:
        yield stack.start()
    finally:
        if stack.process and stack.process.poll() is None:
            stack.stop()


def state(pid: int) -> str:
    """The letter that Linux has for what a process does; T: it is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


@pytest.mark.parametrize(("victim", "seconds"), [("nats", 9.0), ("postgres", 7.0), ("mosquitto", 9.0)])
async def test_no_command_moves_the_pump_after_its_deadline_while_a_server_stands_still(
    quiet_stack: Stack, victim: str, seconds: float
):
    address = quiet_stack.addresses["mqtt_host"], quiet_stack.addresses["mqtt_port"]
    with (
        FirmwareA(address, f"ESP_{secrets.token_hex(4).upper()}", interval_s=0.3) as device,
        quiet_stack.sign_in() as rest,
    ):
        set_up(quiet_stack, rest, device)
        found = await freeze(quiet_stack, device, victim, seconds)
    assert found.late == {}, "number: (status, seconds after its deadline)"
    assert len(found.heard) >= 2, "commands before and after were carried out"
    if victim == "nats":
        assert [found.answers[number][0] for number in found.failed], "some callers had no answer in time"
    if victim == "postgres":
        assert found.stop is not None
        assert found.stop.status_code == 200, found.stop.text
        assert found.stop_heard_at < found.ended_at, "the stop waited for no database"
    else:
        assert found.stop_heard_at > found.ended_at, "the stop went out as soon as it could"


def test_a_stop_is_answered_and_the_pump_is_off_while_the_database_still_stands_still(quiet_stack: Stack):
    """Both come before the database goes on: it waits for them."""
    address = quiet_stack.addresses["mqtt_host"], quiet_stack.addresses["mqtt_port"]
    with (
        FirmwareA(address, f"ESP_{secrets.token_hex(4).upper()}", interval_s=0.3) as device,
        quiet_stack.sign_in() as rest,
    ):
        set_up(quiet_stack, rest, device)
        esp_id, actuators = device.board.esp_id, device.board.flash.actuators
        command = f"/api/v1/actuators/{esp_id}/{PUMP}/command"
        wait_until(lambda: rest.post(command, json={"command": "ON"}).is_success, "the command is taken")
        wait_until(lambda: actuators[PUMP].on, "the pump runs")
        database = quiet_stack.pid("postgres")
        with frozen(database):
            began = time.monotonic()
            answer = rest.post("/api/v1/actuators/emergency_stop", json={"esp_id": esp_id}, timeout=WITHIN_S)
            wait_until(lambda: not actuators[PUMP].on, "the pump is off", WITHIN_S)
            took_s = time.monotonic() - began
            assert {state(each) for each in tree(database)} == {"T"}, "the database stood still all the time"
        assert answer.status_code == 200, answer.text
        assert [each["esp_id"] for each in answer.json()["items"]] == [esp_id]
        assert took_s < WITHIN_S
        wait_until(lambda: rest.get(f"/api/v1/esp/devices/{esp_id}").is_success, "the database goes on")
        assert not actuators[PUMP].on
