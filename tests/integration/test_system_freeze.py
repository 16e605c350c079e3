"""A server that stands still makes no command late: none moves the pump after its caller heard that it failed, or after
the `expires_at` that the answer named. A stop goes out all the same. Other lengths: tests/faults/test_faults_freeze.py.
"""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from firmware_a import FirmwareA
from freezing import SETTINGS, freeze, set_up
from harness import Stack
from kaiser_stack import mosquitto


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
