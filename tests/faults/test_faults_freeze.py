"""Commands under way while each server stands still for a short and a long while: none is carried out late."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from firmware_a import FirmwareA
from freezing import SETTINGS, freeze, set_up
from harness import Stack
from kaiser_stack import mosquitto


@pytest.fixture(scope="module", params=["mosquitto", "nats"])
def commanded(request: pytest.FixtureRequest, server_folder: Path) -> Iterator[Stack]:
    """A stack whose actuators may be commanded as often as a test likes."""
    if request.param == "mosquitto" and not mosquitto.is_installed():
        request.getfixturevalue("missing")("mosquitto", "mosquitto is not installed")
    stack = Stack(server_folder / f"freeze-{secrets.token_hex(3)}", KAISER_MQTT_BROKER=request.param, **SETTINGS)
    try:
        yield stack.start()
    finally:
        if stack.process and stack.process.poll() is None:
            stack.stop()


@pytest.mark.in_short_form(commanded={"nats"}, victim={"nats"}, seconds={9.0})  # `make test` has those with Mosquitto
@pytest.mark.parametrize("seconds", [4.0, 9.0, 20.0])
@pytest.mark.parametrize("victim", ["nats", "postgres", "mosquitto"])
async def test_no_command_is_carried_out_after_its_deadline_however_long_a_server_stands_still(
    commanded: Stack, victim: str, seconds: float
):
    if victim not in commanded.pids():
        pytest.skip(f"{victim} is no process of this stack")
    address = commanded.addresses["mqtt_host"], commanded.addresses["mqtt_port"]
    with (
        FirmwareA(address, f"ESP_{secrets.token_hex(4).upper()}", interval_s=0.3) as device,
        commanded.sign_in() as rest,
    ):
        set_up(commanded, rest, device)
        found = await freeze(commanded, device, victim, seconds)
    assert found.late == {}, "number: (status, seconds after its deadline)"
    assert len(found.heard) >= 2
    assert found.stop_heard_at > 0
