"""How long a stop may take to be answered: measured on a clock that jumps to the next thing that is due."""

import asyncio
from types import SimpleNamespace

import pytest
from jumping import JumpingLoop
from kaiser_actuator.api.emergencies import EmergencyApi
from kaiser_common.bus.rpc import Caller
from kaiser_common.contract.schemas.api.actuators import EmergencyStop

ADA = Caller(user="ada", role="operator")


async def hang(*_, **__):
    await asyncio.Event().wait()


async def at_once(*_, **__):
    return 0


class TakenAtOnce(dict):
    """Stops that NATS takes immediately."""

    def __init__(self, purge) -> None:
        super().__init__()
        self.purge = purge
        self.follow = hang

    async def raise_(self, stop):
        self[stop.esp_id] = stop
        return stop


@pytest.mark.parametrize(("purge", "record"), [(at_once, hang), (hang, hang), (hang, at_once)])
def test_a_stop_is_answered_within_a_second_and_a_half_whatever_the_database_does(purge, record):
    bus, ledger = SimpleNamespace(message_id=lambda: "e1"), SimpleNamespace(record=record)
    api = EmergencyApi(bus, TakenAtOnce(purge), ledger, SimpleNamespace(), lambda: 1_767_225_600_000)

    async def answered():
        answer = await api.stop(EmergencyStop(esp_id="ESP_A"), ADA)
        return answer, asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        answer, after_s = runner.run(answered())
    assert [each.esp_id for each in answer.items] == ["ESP_A"]
    assert after_s <= 1.5
