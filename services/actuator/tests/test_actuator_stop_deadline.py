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


def api_of(record) -> tuple[EmergencyApi, list[tuple[str, float]]]:
    """The handlers over a database as given, and when each device was sent its stop behind what waits."""
    followed: list[tuple[str, float]] = []

    async def follow(stop):
        followed.append((stop.esp_id, asyncio.get_running_loop().time()))

    stops = TakenAtOnce(at_once)
    stops.follow = follow
    bus, ledger = SimpleNamespace(message_id=lambda: "e1"), SimpleNamespace(record=record)
    return EmergencyApi(bus, stops, ledger, SimpleNamespace(), lambda: 1_767_225_600_000), followed


def test_the_second_message_of_a_stop_waits_for_no_slow_record_and_comes_again_behind_a_failed_one():
    api, followed = api_of(hang)

    async def pressed():
        await api.stop(EmergencyStop(esp_id="ESP_A"), ADA)
        await asyncio.sleep(60)

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(pressed())
    (_, first_s), (_, second_s) = followed
    assert first_s <= 1.5
    assert 30 <= second_s <= 31, "the record is given up"


def test_each_of_many_stops_is_sent_behind_what_waits_while_the_database_hangs():
    api, followed = api_of(hang)
    pressed = [f"ESP_{number}" for number in range(100)]

    async def all_answered():
        async with asyncio.TaskGroup() as tasks:
            for esp_id in pressed:
                tasks.create_task(api.stop(EmergencyStop(esp_id=esp_id), ADA))
        return asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        after_s = runner.run(all_answered())
    assert sorted({esp_id for esp_id, _ in followed}) == sorted(pressed)
    assert after_s <= 1.5
