"""Pumps of the emulated firmware under stops that meet commands on their way."""

import asyncio
import json

import pytest
from actuator_world import (
    ADA,
    another_waits_for_a_lock,
    away,
    bucket_of,
    device,
)
from firmware_a import FirmwareA
from firmware_b import FirmwareB
from firmware_device import Actuator, Flash, Heard
from kaiser_actuator.store import actuators, emergencies
from kaiser_actuator.store.numbers import Numbers, open_board
from kaiser_actuator.store.stops import Stops
from kaiser_common.contract.schemas.api.actuators import (
    CommandStatus,
    Emergency,
    EmergencyStop,
)
from waiting import until as eventually


@pytest.mark.parametrize("gpio", [None, 5])
@pytest.mark.parametrize("reported", ["nothing", "off"])
async def test_a_command_that_was_being_admitted_when_the_stop_came_is_followed_by_the_stop(
    life, monkeypatch, reported, gpio
):
    await life.pump()
    if reported == "off":
        await life.say(life.status(False))
    publish, admitted, stopped = life.bus.publish_batch, asyncio.Event(), asyncio.Event()

    async def after_the_stop(messages, **options):
        if messages and messages[0].msg_id.startswith("command-"):
            admitted.set()
            await asyncio.wait_for(stopped.wait(), 60)
        await publish(messages, **options)

    async def is_recorded_or_waits() -> bool:
        async with life.pool.connection() as connection:
            cursor = await connection.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            return bool(await cursor.fetchone()) or any(lane.startswith("out ") for lane, _ in await life.outbox())

    monkeypatch.setattr(life.bus, "publish_batch", after_the_stop)
    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(life.send("ON"))
        await asyncio.wait_for(admitted.wait(), 60)
        tasks.create_task(life.emergency.stop(EmergencyStop(esp_id="ESP_A", gpio=gpio, reason="leak"), ADA))
        await eventually(is_recorded_or_waits, "the record of the stop has come while the command is being admitted")
        stopped.set()
    command = sending.result()

    async def is_followed() -> bool:  # the stop is answered after 1.4 s, whatever the database does
        lanes[:] = [(lane.split()[0], payload["command"]) for lane, payload in await life.outbox()]
        return lanes[-1] == ("out", behind) and (await life.how(command)).state == "cancelled"

    behind = "emergency_stop" if gpio is None else "OFF"
    lanes: list[tuple[str, str]] = []
    await eventually(is_followed, "the stop comes behind whatever ingest may hold of the command")
    assert ("out", "ON") not in lanes


@pytest.mark.parametrize("firmware", [FirmwareA, FirmwareB])
@pytest.mark.parametrize("stopped", ["here", "by a replica that was killed", "in the table alone"])
async def test_a_command_that_waits_starts_no_pump_under_a_lock_of_it(life, firmware, stopped):
    """The lock is in force, and its record, which cancels what waits, has not come so far."""
    await life.pump()
    life.devices["ESP_A"] = device("ESP_A", online=False)
    waits = await life.send("ON", queue=True, expires_s=60)
    await life.sweep.once()  # tables and bucket are compared again five seconds later
    lock = {"esp_id": "ESP_A", "gpio": 5, "reason": "a hand in the pump"}
    if stopped == "here":
        await life.stops.raise_(Emergency(emergency_id="e1", raised_by="ada", raised_at=life.now_ms(), **lock))
    elif stopped == "by a replica that was killed":
        other = Stops(
            life.bus, await bucket_of(life), open_board(life.bus, Numbers()), life.devices, life.now_ms, Numbers()
        )
        await other.raise_(Emergency(emergency_id="e1", raised_by="bob", raised_at=life.now_ms(), **lock))
        await life.mirrored("ESP_A.5")
    else:
        async with life.pool.connection() as connection:
            await emergencies.add(
                connection, Emergency(emergency_id="e1", raised_by="bob", raised_at=life.now_ms(), **lock)
            )
    life.devices["ESP_A"] = device("ESP_A")
    life.sweep.on_device("ESP_A", life.devices["ESP_A"])
    for _ in range(2):
        await life.sweep.once()
        life.wait(2)
    await life.sweep.once()
    assert await pump_of(life, firmware) is False
    cancelled = await life.how(waits)
    assert (cancelled.state, cancelled.state_reason) == ("cancelled", "emergency stop: a hand in the pump")


@pytest.mark.parametrize("firmware", [FirmwareA, FirmwareB])
async def test_a_command_that_waited_under_a_lock_starts_no_pump_after_its_clear(life, monkeypatch, firmware):
    await life.pump()
    life.sweep.on_device("ESP_A", life.devices["ESP_A"])
    await life.sweep.once()
    await life.send("ON", queue=True, expires_s=60)
    monkeypatch.setattr(life.ledger, "record", away)
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", gpio=5, reason="a hand in the pump"), ADA)
    life.wait(2)
    await life.sweep.once()
    await life.clear_at_once("ESP_A", 5)
    await life.sweep.once()
    assert await pump_of(life, firmware) is False


@pytest.mark.parametrize("firmware", [FirmwareA, FirmwareB])
async def test_a_lock_whose_first_message_is_lost_stops_the_pump_while_the_database_stands_still(life, firmware):
    await life.pump()
    async with life.pool.connection() as connection:
        await actuators.lock(connection, [("ESP_A", 5)])
        answer = await life.emergency.stop(EmergencyStop(esp_id="ESP_A", gpio=5, reason="a hand in the pump"), ADA)
        assert [each.gpio for each in answer.items] == [5]

        async def is_off() -> bool:
            return not await pump_of(life, firmware, was_on=True, lost="urgent")

        await eventually(is_off, "the stop behind what waits has come", within_s=10)
        await another_waits_for_a_lock(connection)  # its record
        sent = (await life.bus.jetstream.stream_info("OUTBOX")).state.last_seq
        life.wait(2)  # messages of the same time count as one

    async def is_behind_the_record() -> bool:
        return (await life.bus.jetstream.stream_info("OUTBOX")).state.last_seq > sent

    await eventually(is_behind_the_record, "it comes again behind a command that was being admitted")


async def pump_of(
    life, firmware: type[FirmwareA] | type[FirmwareB], *, was_on: bool = False, lost: str | None = None
) -> bool:
    """Whether the pump of a device runs that takes all messages of the OUTBOX, the urgent ones first, but for those of
    a lane that are lost."""
    emulated = firmware(("", 0), "ESP_A", flash=Flash(actuators={5: Actuator(5, "pump", "Pump")}))
    emulated.board.flash.actuators[5].on = was_on
    registered = json.dumps({"status": "online", "handover_epoch": 1})  # B takes no command before
    emulated.hear(Heard("kaiser/god/esp/ESP_A/system/heartbeat/ack", registered, 1, retain=False))
    messages = [(lane.split(), payload) for lane, payload in await life.outbox()]
    for (lane, topic), payload in sorted(messages, key=lambda each: each[0][0] != "urgent"):
        if lane == lost:
            continue
        emulated.hear(Heard(topic, json.dumps(payload), 1, retain=False))
    return emulated.board.flash.actuators[5].on


@pytest.mark.parametrize("cleared", ["before its own record", "at its own record", "after its own record"])
async def test_what_is_sent_after_a_clear_is_not_cancelled_by_the_late_record_of_the_stop(life, monkeypatch, cleared):
    """The stops were raised while the database was away, and are recorded one by one once it is back."""
    await life.pump()
    record, follow = life.ledger.record, life.stops.follow
    with monkeypatch.context() as broken:
        broken.setattr(life.ledger, "record", away)
        for gpio in (4, 5):
            await life.emergency.stop(EmergencyStop(esp_id="ESP_A", gpio=gpio, reason="leak"), ADA)
    since: list[CommandStatus] = []

    async def cleared_meanwhile() -> None:
        await life.clear_at_once("ESP_A", 5)
        since.append(await life.send("ON"))

    async def recording(stop):
        if not since and stop.gpio == (4 if cleared == "before its own record" else 5):
            await cleared_meanwhile()
        return await record(stop)

    async def following(stop):
        if not since and stop.gpio == 5:
            await cleared_meanwhile()
        return await follow(stop)

    if cleared == "after its own record":
        monkeypatch.setattr(life.stops, "follow", following)
    else:
        monkeypatch.setattr(life.ledger, "record", recording)
    await life.ledger.align()
    assert [(await life.how(command)).state for command in since] == ["queued"]
    assert await pump_of(life, FirmwareA), "the command is still on its way"
