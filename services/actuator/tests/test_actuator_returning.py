"""Devices that come back: the stops and commands that they are sent, and the states that are no longer known."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
from actuator_world import (
    ADA,
    START,
    TOPIC,
    another_waits_for_a_lock,
    device,
    nats_refuses,
    pressed,
    refusal,
)
from kaiser_actuator.store import actuators
from kaiser_common.bus.connection import BusUnavailable
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.schemas.api.actuators import (
    ActuatorKey,
    ClearEmergency,
    EmergencyStop,
)
from kaiser_common.runtime.loops import beside
from waiting import until as eventually

_HANGS_S = 10.0
"""Less than the 15 s after which PostgreSQL ends a statement."""


async def test_a_device_that_took_a_configuration_is_sent_its_stop_again(life):
    await life.pump()

    def answer(**fields) -> Delivery:
        body = {"kaiser_id": "god", "esp_id": "ESP_A", "ts": life.now_ms(), "received_at": life.now_ms()}
        body |= {"status": "success", "type": "actuator", "count": 1, **fields}
        reply = "$JS.ACK.DEVICES.actuator.1.77.1.1.0"
        return Delivery("esp.config.response.god.ESP_A", reply, json.dumps(body).encode(), None)

    assert await life.say(answer()) == []
    assert await life.emergencies() == [], "nothing is in force"
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    life.wait(1)
    assert await life.say(answer(replayed=True)) == []
    assert await life.emergencies() == ["emergency_stop"]
    assert await life.say(answer()) == []
    assert await life.emergencies() == ["emergency_stop"] * 2
    life.wait(2)
    await life.look()
    assert await life.emergencies() == ["emergency_stop"] * 3, "once more, in case that one is lost"


async def test_a_device_that_comes_online_is_told_of_the_stops_over_it(life):
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    before = len(await life.outbox())
    life.sweep.on_device("ESP_A", device("ESP_A", online=False))
    await life.sweep.once()
    assert len(await life.outbox()) == before
    life.wait(60)
    life.sweep.on_device("ESP_A", device("ESP_A"))
    life.sweep.on_device("ESP_B", device("ESP_B"))
    await life.sweep.once()
    [(lane, payload)] = (await life.outbox())[before:]
    assert lane == f"urgent {TOPIC}emergency"
    assert (payload["command"], payload["auth_token"], payload["reason"]) == ("emergency_stop", "ESP_A", "leak")


@asynccontextmanager
async def hangs(life) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """A database that answers nothing about actuators and stops; called, it returns once somebody waits for it."""
    async with life.pool.connection() as connection:
        await connection.execute("LOCK TABLE actuator.actuators, actuator.emergencies IN ACCESS EXCLUSIVE MODE")
        yield partial(another_waits_for_a_lock, connection)


async def test_a_device_that_comes_online_while_the_database_hangs_is_sent_its_stop_twice(life):
    await life.stops.raise_(pressed(life, "e1"))
    before = len(await life.emergencies())

    async def is_sent(copies: int) -> bool:
        return len(await life.emergencies()) == before + copies

    async with hangs(life) as somebody_waits, beside(sweep=life.sweep.run(0.01)):
        await somebody_waits()
        life.sweep.on_device("ESP_A", device("ESP_A", boot=1))
        await eventually(partial(is_sent, 1), "the stop is sent while the database hangs", _HANGS_S)
        life.wait(2)
        await eventually(partial(is_sent, 2), "the second copy is sent while the database hangs", _HANGS_S)


async def test_a_device_that_comes_online_is_sent_its_stop_while_the_bucket_does_not_take_a_press(life, monkeypatch):
    await life.stops.raise_(pressed(life, "e1"))
    before = len(await life.emergencies())
    is_asked = asyncio.Event()

    async def answers_never() -> None:
        is_asked.set()
        await asyncio.Event().wait()

    async def is_sent() -> bool:
        return len(await life.emergencies()) > before

    monkeypatch.setattr(life.stops, "raise_again", answers_never)
    async with beside(sweep=life.sweep.run(0.01)):
        await eventually(is_asked.is_set, "the press is tried again")
        life.sweep.on_device("ESP_A", device("ESP_A", boot=1))
        await eventually(is_sent, "the stop is sent while the press waits", _HANGS_S)


async def test_a_press_that_failed_is_sent_while_the_database_hangs(life, monkeypatch):
    with monkeypatch.context() as broken:
        nats_refuses(life, broken, lambda batch: any(subject.startswith("mqtt.") for subject, _ in batch))
        with pytest.raises(BusUnavailable):
            await life.stops.raise_(pressed(life, "e1"))
        async with hangs(life) as somebody_waits, beside(sweep=life.sweep.run(0.01)):
            await somebody_waits()
            broken.undo()

            async def is_sent() -> bool:
                return "emergency_stop" in await life.emergencies()

            await eventually(is_sent, "the press is sent while the database hangs", _HANGS_S)


async def test_the_copy_of_a_stop_is_sent_while_a_clear_waits_for_a_database_that_hangs(life):
    await life.pump(esp_id="ESP_B")
    await life.emergency.stop(EmergencyStop(reason="leak"), ADA)
    await life.emergency.clear(ClearEmergency(all=True), ADA)
    before = len(await life.emergencies())

    async def is_sent() -> bool:
        return "emergency_stop" in (await life.emergencies())[before + 1 :]

    async with hangs(life) as somebody_waits, beside(clears=life.clears.run()):
        await somebody_waits()
        await life.stops.send_again("ESP_A", "configured", twice=True)
        life.wait(2)
        await eventually(is_sent, "the copy is sent while the database hangs", _HANGS_S)


async def test_a_device_that_restarts_between_two_heartbeats_is_sent_its_stop_again(life):
    life.sweep.on_device("ESP_A", device("ESP_A", boot=3))
    life.sweep.on_device("ESP_B", device("ESP_B", boot=1))
    await life.sweep.once()
    life.wait(3)
    await life.sweep.once()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    before = len(await life.outbox())
    life.wait(60)
    life.sweep.on_device("ESP_A", device("ESP_A", boot=3))  # a heartbeat: the record is written, the boot is the same
    await life.sweep.once()
    assert len(await life.outbox()) == before
    life.sweep.on_device("ESP_A", device("ESP_A", boot=4))
    life.sweep.on_device("ESP_B", device("ESP_B", boot=2))
    await life.sweep.once()
    [(lane, payload)] = (await life.outbox())[before:]
    assert (lane, payload["command"]) == (f"urgent {TOPIC}emergency", "emergency_stop")

    # The firmware subscribes after its first heartbeat: what came in between it has not heard.
    life.wait(2)
    await life.sweep.once()
    [_, (lane, payload)] = (await life.outbox())[before:]
    assert (lane, payload["command"]) == (f"urgent {TOPIC}emergency", "emergency_stop")
    life.wait(60)
    await life.sweep.once()
    assert len(await life.outbox()) == before + 2


async def test_the_states_of_a_device_that_restarted_are_unknown_until_it_reports(life):
    await life.pump(5, interlocks=[6])
    await life.pump(6)
    life.sweep.on_device("ESP_A", device("ESP_A", boot=3))
    await life.sweep.once()
    await life.say(life.status(False, gpio=6))
    life.wait(1)
    life.sweep.on_device("ESP_A", device("ESP_A", boot=4))
    await life.sweep.once()
    assert await refusal(life.send("ON")) == (409, 5412)  # gpio 6 may have come up on
    life.wait(1)
    await life.say(life.status(False, gpio=6))
    life.sweep.on_device("ESP_A", device("ESP_A", boot=4))
    await life.sweep.once()
    assert (await life.send("ON")).state == "queued"


async def test_the_last_state_of_a_device_that_went_away_is_told_as_the_last_one(life):
    key = ActuatorKey(esp_id="ESP_A", gpio=5)
    await life.pump()
    life.sweep.on_device("ESP_A", device("ESP_A", boot=3))
    await life.sweep.once()
    pump = await life.registry.read(key, ADA)
    assert (pump.state, pump.last_state, pump.on_since) == (None, None, None)
    await life.say(life.status(True))
    on_since = life.now_ms()
    life.wait(10)
    await life.say(life.status(True))
    pump = await life.registry.read(key, ADA)
    assert (pump.state, pump.last_state, pump.on_since, pump.known) == (True, True, on_since, True)
    life.wait(1)
    life.sweep.on_device("ESP_A", device("ESP_A", boot=4))
    await life.sweep.once()
    pump = await life.registry.read(key, ADA)
    assert (pump.state, pump.last_state, pump.on_since, pump.known) == (None, True, None, False)
    await life.say(life.status(False))
    pump = await life.registry.read(key, ADA)
    assert (pump.state, pump.last_state) == (False, False)


@pytest.mark.parametrize(
    "change",
    [
        lambda connection: actuators.forget_states(connection, {"ESP_B": START, "ESP_A": START}),
        lambda connection: actuators.wake_guards(connection, ["ESP_B", "ESP_A"], START),
    ],
    ids=["went away", "came back"],
)
async def test_devices_that_went_away_or_came_back_are_locked_in_the_order_in_which_a_stop_locks_them(life, change):
    """Else both wait for each other, and PostgreSQL ends one."""
    async with life.pool.connection() as connection:
        for esp_id in ("ESP_B", "ESP_A"):  # in the table the later one comes first
            await life.pump(esp_id=esp_id)
            await connection.execute(
                "UPDATE actuator.actuators SET state = true, reported_at = %s, guard_due_at = %s, guard_tries = 1"
                " WHERE esp_id = %s",
                (START, START, esp_id),
            )

    async def changed() -> None:
        async with life.pool.connection() as connection:
            await change(connection)

    async with asyncio.TaskGroup() as tasks, life.pool.connection() as connection:
        await actuators.lock(connection, [("ESP_A", 5)])
        tasks.create_task(changed())
        await another_waits_for_a_lock(connection)
        other = "SELECT 1 FROM actuator.actuators WHERE esp_id = 'ESP_B' FOR UPDATE NOWAIT"
        assert await (await connection.execute(other)).fetchone() is not None


async def test_a_device_that_goes_away_while_it_is_sent_its_stops_ends_no_look(life, monkeypatch):
    life.sweep.on_device("ESP_A", life.devices["ESP_A"])
    await life.sweep.once()
    life.wait(2)

    async def leaves(*_):
        life.devices["ESP_A"] = device("ESP_A", online=False)
        life.sweep.on_device("ESP_A", life.devices["ESP_A"])

    monkeypatch.setattr(life.stops, "send_again", leaves)
    await life.sweep.once()
    assert not life.sweep.takes_commands("ESP_A")


async def test_a_device_that_restarts_while_it_is_sent_its_stops_is_sent_them_again_twice(life, monkeypatch):
    await life.stops.raise_(pressed(life, "e1"))
    send_again, sent = life.stops.send_again, []

    async def restarts(esp_id, why, **options):
        await send_again(esp_id, why, **options)
        sent.append(why)
        if len(sent) == 1:
            life.wait(1.5)
            life.devices["ESP_A"] = device("ESP_A", boot=2)
            life.sweep.on_device("ESP_A", life.devices["ESP_A"])

    monkeypatch.setattr(life.stops, "send_again", restarts)
    life.sweep.on_device("ESP_A", device("ESP_A", boot=1))
    await life.sweep.once()
    await life.sweep.once()
    life.wait(1.9)
    await life.sweep.once()
    assert (sent, life.sweep.takes_commands("ESP_A")) == (["online", "online"], False)
    life.wait(0.1)
    await life.sweep.once()
    assert (sent, life.sweep.takes_commands("ESP_A")) == (["online", "online", "subscribed"], True)


async def test_a_press_that_takes_long_brings_the_two_copies_of_a_stop_no_nearer(life, monkeypatch):
    await life.stops.raise_(pressed(life, "e1"))
    before = len(await life.emergencies())

    async def takes_long() -> None:
        life.wait(13)

    life.sweep.on_device("ESP_A", device("ESP_A", boot=1))
    with monkeypatch.context() as slow:
        slow.setattr(life.stops, "raise_again", takes_long)
        await life.sweep.once()
    for seconds, sent in ((0, 1), (1.9, 1), (0.1, 2), (10, 2)):
        life.wait(seconds)
        await life.sweep.once()
        assert len(await life.emergencies()) - before == sent, f"{seconds} s later"
