"""Stops in the bucket and in the table, where one of the two is away, late or lost."""

import asyncio

import pytest
from actuator_world import (
    ADA,
    TIMEOUT,
    TOPIC,
    away,
    device,
    refusal,
)
from kaiser_actuator.domain.emergency_core import Put
from kaiser_actuator.jobs.emergency_ledger import EmergencyLedger
from kaiser_actuator.store import actuators, emergencies
from kaiser_actuator.store.numbers import Numbers
from kaiser_actuator.store.stops import Stops
from kaiser_common.bus.bucket import BucketWriter
from kaiser_common.bus.connection import BusUnavailable
from kaiser_common.bus.declare import apply
from kaiser_common.contract.schemas.api.actuators import (
    ClearEmergency,
    Emergency,
    EmergencyStop,
)
from kaiser_common.contract.subjects import EMERGENCIES_BUCKET
from nats.errors import Error as NatsError


async def test_a_stop_changes_no_actuator_that_was_added_after_it_had_locked_the_others(life, monkeypatch):
    await life.pump()
    async with life.pool.connection() as connection:
        execute = connection.execute

        async def adding(*statement):
            done = await execute(*statement)
            monkeypatch.setattr(connection, "execute", execute)
            async with life.pool.connection() as other:
                await actuators.add_unregistered(other, [("ESP_A", 6, "god", "pump")])
            return done

        monkeypatch.setattr(connection, "execute", adding)
        assert list(await actuators.lock_covered(connection, None, None)) == [("ESP_A", 5)]


async def test_a_stop_of_another_replica_counts_before_the_bucket_told_of_it(life):
    await life.pump()
    other = Emergency(
        emergency_id="e1", esp_id="ESP_A", gpio=5, reason="leak", raised_by="bob", raised_at=life.now_ms()
    )
    await life.ledger.record(other)
    assert "ESP_A.5" not in life.stops
    assert await refusal(life.send("ON")) == (423, 5411)


async def test_a_stop_needs_no_database_and_is_written_down_once_it_is_back(life, monkeypatch):
    await life.pump()
    command = await life.send("ON")

    with monkeypatch.context() as broken:
        broken.setattr(life.ledger, "record", away)
        answer = await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    assert (len(answer.items), answer.cancelled) == (1, 0)
    assert f"urgent {TOPIC}emergency" in [lane for lane, _ in await life.outbox()]
    assert await refusal(life.send("ON")) == (423, 5411)
    await life.sweep.once()
    assert (await life.how(command)).state == "cancelled"
    assert [event["event"] for event in await life.events("system_event")] == ["emergency_stop"]


async def test_stops_survive_a_restart_and_the_loss_of_either_store(life):
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    await life.mirrored("ESP_A")
    bucket = await BucketWriter.open(life.bus, EMERGENCIES_BUCKET)
    again = Stops(life.bus, bucket, life.mirror, life.devices, life.now_ms, Numbers())
    assert list(again) == ["ESP_A"], "a restarted process reads the bucket"
    await bucket.delete("ESP_A")
    await life.mirrored()
    assert list(again) == []
    await EmergencyLedger(life.pool, life.bus, again, TIMEOUT, life.clock).align()
    await life.mirrored("ESP_A")
    assert again["ESP_A"].reason == "leak", "what NATS lost comes back from the table"


async def test_a_stop_that_was_cleared_while_its_replica_died_goes_from_the_bucket_too(life):
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    await life.mirrored("ESP_A")
    await life.ledger.note_cleared(life.stops["ESP_A"], "ada", "dry")
    await life.ledger.align()
    await life.mirrored()
    assert list(life.stops) == []
    life.wait(5)
    await life.look()
    assert await life.emergencies() == ["emergency_stop", "clear_emergency"], "it may have had the stop again"


async def test_a_press_that_is_written_down_after_a_newer_one_was_cleared_is_over(life):
    await life.pump()
    press = EmergencyStop(esp_id="ESP_A", gpio=5, reason="leak")
    first = await life.stops.raise_(
        Emergency(emergency_id="slow", esp_id="ESP_A", gpio=5, reason="leak", raised_by="ada", raised_at=life.now_ms())
    )
    await life.emergency.stop(press, ADA)
    await life.clear_at_once("ESP_A", 5)
    await life.ledger.record(first)
    await life.ledger.align()
    assert list(life.stops) == []
    assert (await life.send("ON")).state == "queued"
    await life.emergency.stop(press, ADA)
    assert await refusal(life.send("ON")) == (423, 5411)


async def test_a_clear_that_a_stop_of_everything_overtakes_has_ended_the_stop_that_it_was_for(life):
    """It is answered as done: the table must not bring that stop back once everything is cleared."""
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    await life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA)
    await life.emergency.stop(EmergencyStop(reason="fire"), ADA)
    await life.look()
    await life.ledger.align()
    assert sorted(life.stops) == ["all"]
    life.wait(5)
    await life.clear()
    await life.ledger.align()
    assert sorted(life.stops) == []
    assert (await life.emergencies())[-1] == "clear_emergency"
    assert (await life.send("ON")).state == "queued"


@pytest.mark.parametrize("gpio", [None, 5])
async def test_a_stop_that_is_cleared_before_it_is_recorded_was_raised_all_the_same(life, monkeypatch, gpio):
    """The database was away for the stop, and back before the tables were brought in line."""
    await life.pump()

    with monkeypatch.context() as broken:
        broken.setattr(life.ledger, "record", away)
        await life.emergency.stop(EmergencyStop(esp_id="ESP_A", gpio=gpio, reason="leak"), ADA)
    life.wait(1)
    await life.clear("ESP_A", gpio, reason="dry")
    assert [event["event"] for event in await life.events("system_event")] == ["emergency_stop", "emergency_cleared"]
    recorded = await life.recorded("ESP_A")
    assert [recorded[0], recorded[-1]] == [("raised: leak", "ada"), ("cleared: dry", "ada")]


@pytest.mark.parametrize("gpio", [None, 5])
@pytest.mark.parametrize("state", ["waits", "is on the OUTBOX"])
async def test_a_stop_that_is_recorded_with_its_clear_has_cancelled_what_was_open_under_it(life, state, gpio):
    """Its replica was killed after it had sent the stop, and the clear came before the tables were brought in line."""
    await life.pump()
    life.devices["ESP_A"] = device("ESP_A", online=state != "waits")
    command = await life.send("ON", queue=True, expires_s=600)
    fields = {"emergency_id": "e1", "esp_id": "ESP_A", "gpio": gpio, "reason": "leak", "raised_by": "bob"}
    await life.stops.raise_(Emergency(raised_at=life.now_ms(), **fields))
    life.wait(1)
    await life.clear("ESP_A", gpio)
    assert list(life.stops) == []
    life.devices["ESP_A"] = device("ESP_A")
    await life.sweep.once()
    assert "ON" not in [payload["command"] for _, payload in await life.outbox()]
    cancelled = await life.how(command)
    assert (cancelled.state, cancelled.state_reason) == ("cancelled", "emergency stop: leak")


async def test_a_stop_that_the_table_lost_and_whose_clear_was_given_up_is_recorded_as_any_other(life):
    await life.pump()
    command = await life.send("ON")
    fields = {"emergency_id": "e1", "esp_id": "ESP_A", "gpio": None, "reason": "leak", "raised_by": "bob"}
    stop = Emergency(raised_at=life.now_ms(), not_cleared="ESP_A did not confirm", **fields)
    await life.stops.apply(Put("ESP_A", stop, None))
    for _ in range(2):
        await life.ledger.align()
    assert (await life.how(command)).state == "cancelled"
    assert [event["event"] for event in await life.events("system_event")] == [
        "emergency_stop",
        "emergency_not_cleared",
    ]
    lanes = [(lane.split()[0], payload["command"]) for lane, payload in await life.outbox()]
    assert lanes[-1] == ("out", "emergency_stop")
    assert ("out", "ON") not in lanes


@pytest.mark.parametrize(
    ("first", "then", "kept", "addition"),
    [
        (7, 5, 7, emergencies.Addition.UNCHANGED),
        (7, None, 7, emergencies.Addition.UNCHANGED),
        (7, 9, 9, emergencies.Addition.RENUMBERED),
        (None, 5, 5, emergencies.Addition.RENUMBERED),
    ],
)
async def test_the_number_of_a_recorded_stop_grows_alone(life, first, then, kept, addition):
    """Another replica may record a value of the bucket that is older than the one in the table."""
    fields = {"emergency_id": "e1", "esp_id": "ESP_A", "gpio": None, "reason": "leak", "raised_by": "bob"}
    async with life.pool.connection() as connection:
        await emergencies.add(connection, Emergency(raised_at=life.now_ms(), number=first, **fields))
        again = await emergencies.add(connection, Emergency(raised_at=life.now_ms(), number=then, **fields))
        in_force = await emergencies.in_force(connection)
    assert (again, in_force["ESP_A"].number) == (addition, kept)


async def test_a_stop_is_answered_while_the_database_hangs(life, monkeypatch):
    hanging = asyncio.Event()

    async def hang(*_):
        await hanging.wait()
        return 0

    monkeypatch.setattr(life.ledger, "record", hang)
    answer = await asyncio.wait_for(life.emergency.stop(EmergencyStop(esp_id="ESP_A"), ADA), 60)
    assert [each.esp_id for each in answer.items] == ["ESP_A"]
    hanging.set()


async def test_stops_are_in_the_bucket_again_after_it_was_deleted_and_declared_anew(life):
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="a hand in the pump"), ADA)
    await life.mirrored("ESP_A")
    await life.bus.jetstream.delete_key_value(EMERGENCIES_BUCKET.name)
    await apply(life.bus)  # as the migrate step does
    async with asyncio.timeout(60):
        while not await in_bucket(life):
            life.wait(6)
            await life.sweep.once()
            await asyncio.sleep(0.05)
    await life.mirrored("ESP_A")
    assert life.stops["ESP_A"].reason == "a hand in the pump"
    life.wait(5)
    await life.clear("ESP_A")
    sent = [body for _, body in await life.published("OUTBOX") if body["topic"].endswith("/emergency")]
    assert sent[-1]["clears"]
    assert sent[-1]["number"] > max(body["number"] for body in sent if not body["clears"]), "ingest lets the clear pass"


async def test_a_stop_that_the_bucket_did_not_take_is_in_force_everywhere_once_it_does_and_can_be_cleared(life):
    await life.pump()
    await life.bus.jetstream.delete_key_value(EMERGENCIES_BUCKET.name)
    with pytest.raises((BusUnavailable, NatsError)):
        await life.emergency.stop(EmergencyStop(esp_id="ESP_A", gpio=5, reason="a hand in the pump"), ADA)
    assert await refusal(life.send("ON")) == (423, 5411)
    assert (f"urgent {TOPIC}5/command", "OFF") in [(lane, body["command"]) for lane, body in await life.outbox()]
    await apply(life.bus)
    async with asyncio.timeout(60):
        while not await in_bucket(life):
            life.wait(6)
            await life.sweep.once()
            await asyncio.sleep(0.05)
    await life.mirrored("ESP_A.5")
    await life.clear_at_once("ESP_A", 5)
    await life.mirrored()
    assert list(life.stops) == []
    assert (await life.send("ON")).state == "queued"


async def in_bucket(life) -> bool:
    """Whether the bucket itself has a stop."""
    return (await life.bus.jetstream.stream_info(f"KV_{EMERGENCIES_BUCKET.name}")).state.messages > 0
