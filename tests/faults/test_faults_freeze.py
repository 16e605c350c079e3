"""Commands under way while each server stands still for a short and a long while: none is carried out late."""

import secrets

import pytest
from firmware_a import FirmwareA
from freezing import freeze, set_up
from harness import Stack


@pytest.mark.in_short_form(stack={"nats"}, victim={"nats"}, seconds={9.0})  # `make test` has those with Mosquitto
@pytest.mark.parametrize("seconds", [4.0, 9.0, 20.0])
@pytest.mark.parametrize("victim", ["nats", "postgres", "mosquitto"])
async def test_no_command_is_carried_out_after_its_deadline_however_long_a_server_stands_still(
    stack: Stack, victim: str, seconds: float
):
    if victim not in stack.pids():
        pytest.skip(f"{victim} is no process of this stack")
    address = stack.addresses["mqtt_host"], stack.addresses["mqtt_port"]
    with (
        FirmwareA(address, f"ESP_{secrets.token_hex(4).upper()}", interval_s=0.3) as device,
        stack.sign_in() as rest,
    ):
        set_up(stack, rest, device)
        found = await freeze(stack, device, victim, seconds)
    assert found.late == {}, "number: (status, seconds after its deadline)"
    assert len(found.heard) >= 2
    assert found.stop_heard_at > 0
