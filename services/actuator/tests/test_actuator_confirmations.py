"""Clears: when they are sent, what ends a stop, and what becomes of one that is not confirmed."""

import asyncio
from datetime import timedelta
from functools import partial

import pytest
from actuator_world import (
    ADA,
    TOPIC,
    Life,
    bucket_of,
    device,
    nats_refuses,
    pressed,
    refusal,
)
from answering import Method, serve
from kaiser_actuator.jobs.clears import Clears
from kaiser_actuator.store import emergencies
from kaiser_common.bus.connection import BusUnavailable
from kaiser_common.bus.rpc import RpcError, call
from kaiser_common.contract.schemas.api.actuators import (
    ClearEmergency,
    Emergencies,
    EmergenciesQuery,
    EmergencyStop,
)
from kaiser_common.runtime.wiring import UNREACHABLE
from psycopg_pool import PoolTimeout
from pydantic import ValidationError
from read_only import set_read_only
from waiting import until as eventually


@pytest.mark.parametrize("target", [{"all": True}, {"esp_id": "ESP_A"}, {"esp_id": "ESP_A", "gpio": 5}])
async def test_a_clear_that_was_asked_before_a_stop_and_comes_behind_it_does_not_end_it(life, target):
    """Stops overtake other requests, so a clear without ids finds one that its sender cannot have seen."""
    await life.pump()
    pressed = EmergencyStop(**{name: value for name, value in target.items() if name != "all"}, reason="leak")
    [stop] = (await life.emergency.stop(pressed, ADA)).items
    early, late = (ADA.model_copy(update={"asked_ms": stop.raised_at + delay_ms}) for delay_ms in (-1, 0))
    assert await refusal(life.emergency.clear(ClearEmergency(**target), early)) == (409, 5414)
    assert [each.clearing for each in life.stops.values()] == [None]
    await life.emergency.clear(ClearEmergency(**target), late)
    assert all(each.clearing for each in life.stops.values())


async def test_a_clear_that_a_device_confirms_just_as_it_is_given_up_leaves_the_device_free(life):
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    life.wait(5)
    asked = asyncio.create_task(life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA))
    await eventually(life.is_clearing, "the clear is asked")
    await asyncio.wait([asked])
    await life.look()
    apply, confirmed_at = life.stops.apply, life.now_ms()

    async def overtaken(change):
        life.stops.apply = apply
        life.wait(15)
        await life.look()  # gives the clear up and sends the stop again
        return await apply(change)

    life.stops.apply = overtaken
    await life.say(life.answer("response", status="emergency_cleared", received_at=confirmed_at))
    assert (await life.emergencies())[-1] == "emergency_stop"
    await life.ledger.align()
    assert list(life.stops) == []
    life.wait(5)
    await life.look()
    assert (await life.emergencies())[-1] == "clear_emergency"


async def test_a_clear_is_sent_5_s_after_the_stop_and_ends_it_on_the_devices_word(life):
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    await life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA)
    life.wait(4.9)
    await life.look()
    await life.say(life.answer("response", status="emergency_cleared"))
    assert set(await life.emergencies()) == {"emergency_stop"}, "the device would refuse it"
    assert await refusal(life.send("ON")) == (423, 5411)
    life.wait(0.1)
    await life.look()
    assert (await life.emergencies())[-1] == "clear_emergency"
    assert await refusal(life.send("ON")) == (423, 5411)
    await life.say(life.answer("recovery", state="cleared"))
    assert (await life.send("ON")).state == "queued"


async def test_a_status_that_says_nothing_of_the_emergency_ends_no_stop(life):
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    await life.say(life.status(on=False, emergency="active"))
    await life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA)
    life.wait(5.1)
    await life.look()
    await life.say(life.status(on=False))
    assert await refusal(life.send("ON")) == (423, 5411)
    assert life.stops.is_in_stop("ESP_A"), "what it said last of it"
    assert "emergency" not in (await life.events("actuator_status"))[-1]
    await life.say(life.status(on=False, emergency="normal"))
    assert (await life.send("ON")).state == "queued"


async def test_a_clear_that_is_not_confirmed_leaves_the_stop_in_force_and_says_so(life):
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    await life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA)
    life.wait(5)
    await life.look()
    life.wait(15)
    await life.look()
    [stop] = (await life.emergency.list_stops(EmergenciesQuery(), ADA)).items
    assert stop.not_cleared == "ESP_A did not confirm the clear within 15 s"
    assert (await life.emergencies())[-1] == "emergency_stop", "the device may have taken the clear all the same"
    assert [event["event"] for event in await life.events("system_event")][-1] == "emergency_not_cleared"
    assert await refusal(life.send("ON")) == (423, 5411)


@pytest.mark.parametrize("fails", ["the stop is not sent", "the event is not published", "the process is killed"])
async def test_a_clear_that_is_given_up_is_published_and_recorded_once_whichever_step_fails(life, monkeypatch, fails):
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    life.wait(1)
    await life.emergency.clear(ClearEmergency(esp_id="ESP_A", reason="dry"), ADA)
    life.wait(5)
    await life.look()
    life.wait(15)
    with monkeypatch.context() as broken:
        if fails == "the process is killed":
            broken.setattr(life.stops, "tell_kept", nothing)
            broken.setattr(life.ledger, "note_not_cleared", nothing)
            await life.look()
        else:
            lane = "mqtt." if fails == "the stop is not sent" else "event."
            nats_refuses(life, broken, lambda batch: any(subject.startswith(lane) for subject, _ in batch))
            with pytest.raises(BusUnavailable):
                await life.look()
    for _ in range(3):
        await life.ledger.align()
    assert life.stops["ESP_A"].not_cleared is not None
    [event] = [each for each in await life.events("system_event") if each["event"] == "emergency_not_cleared"]
    assert (event["esp_id"], event["severity"]) == ("ESP_A", "critical")
    assert await life.recorded("ESP_A") == [
        ("raised: leak", "ada"),
        ("clear asked: dry", "ada"),
        ("not cleared: ESP_A did not confirm the clear within 15 s", "actuator"),
    ]


async def test_a_lock_that_outlives_a_clear_is_sent_behind_it_though_nats_refused_it_at_first(life, monkeypatch):
    """The clear of a device frees all its pins; the confirmation comes again, when the stop has ended already."""
    await life.pump()
    for gpio in (5, None):
        await life.emergency.stop(EmergencyStop(esp_id="ESP_A", gpio=gpio, reason="leak"), ADA)
    await life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA)
    life.wait(5)
    await life.look()
    life.wait(1)
    confirmation = life.answer("response", status="emergency_cleared")
    with monkeypatch.context() as broken:
        nats_refuses(life, broken, lambda batch: any(subject.startswith("mqtt.urgent") for subject, _ in batch))
        with pytest.raises(BusUnavailable):
            await life.say(confirmation)
    assert set(life.stops) == {"ESP_A.5"}
    await life.say(confirmation)
    await life.look()
    urgent = [(lane, payload["command"]) for lane, payload in await life.outbox() if lane.startswith("urgent ")]
    cleared = urgent.index((f"urgent {TOPIC}emergency", "clear_emergency"))
    assert urgent[cleared + 1] == (f"urgent {TOPIC}5/command", "OFF"), "before any further clear"


async def test_a_lock_that_its_device_raised_is_cleared_there_though_the_clear_failed_halfway(life):
    await life.pump()
    await life.say(life.message("alert", alert_type="hardware_error", message="dry"))
    assert set(life.stops) == {"ESP_A.5"}
    await life.ledger.note_cleared(life.stops["ESP_A.5"], "ada", "filled")
    await life.ledger.align()
    assert set(life.stops) == set()
    life.wait(5)
    await life.look()
    assert (await life.emergencies())[-1:] == ["clear_emergency"]


@pytest.mark.parametrize(
    ("since", "is_cleared"),
    [
        ("nothing", True),
        ("a press", False),
        ("a press that was unread", False),
        ("a press that waits at the broker", False),
        ("a lock that only the table has", False),
        ("two minutes", False),
    ],
)
async def test_a_device_whose_clear_was_not_sent_because_actuator_was_killed_is_sent_it_after_the_start(
    life, monkeypatch, since, is_cleared
):
    """It had raised the lock, and a person cleared it; nothing is sent while messages of devices are unread,
    nor before the device was heard: while ingest is away, they wait at the broker."""
    await life.pump()
    await life.say(life.message("alert", alert_type="hardware_error", message="dry"))
    monkeypatch.setattr(life.stops, "free", lambda _stop: None)
    life.wait(10)
    await life.clear_at_once("ESP_A", 5)
    await life.mirrored()
    life.wait(120 if since == "two minutes" else 2)
    if since == "a press":
        await life.say(life.message("alert", 5, alert_type="hardware_error", message="a hand"))
        life.wait(1)
    again = Life(life.pool, life.bus, await bucket_of(life), life.mirror, began_at=life.now)
    again.heard_up_to = life.now - timedelta(seconds=1)
    await again.sweep.once()
    if since == "a press that was unread":
        await again.say(again.message("alert", 5, alert_type="hardware_error", message="a hand"))
    again.heard_up_to = None
    for _ in range(2):
        await again.sweep.once()
        again.wait(3)
        await again.clears.once()
    assert await again.emergencies() == []
    if since == "a press that waits at the broker":
        await again.say(again.message("alert", 5, alert_type="hardware_error", message="a hand"))
    if since == "a lock that only the table has":
        async with life.pool.connection() as connection:
            await emergencies.add(connection, pressed(again, "e1", gpio=9))
        monkeypatch.setattr(again.ledger, "align", refuses)
    await again.say(again.status(False))
    await again.sweep.once()
    await again.clears.once()
    assert await again.emergencies() == [], "an alert may come just behind"
    for _ in range(2):
        again.wait(3)
        await again.sweep.once()
        await again.clears.once()
    assert ("clear_emergency" in await again.emergencies()) is is_cleared


async def refuses(*_) -> None:
    raise BusUnavailable("NATS does not answer")


async def nothing(*_) -> None:
    return None


async def test_one_request_clears_the_stops_of_all_devices_that_did_not_confirm(life):
    unconfirmed = ClearEmergency(all=True, unconfirmed=True)
    assert await refusal(life.emergency.clear(unconfirmed, ADA)) == (404, 5415)
    for esp_id in ("ESP_A", "ESP_B"):
        await life.pump(esp_id=esp_id)
        await life.emergency.stop(EmergencyStop(esp_id=esp_id, reason="leak"), ADA)
        await life.emergency.clear(ClearEmergency(esp_id=esp_id), ADA)
    for seconds in (5, 15, 2):  # after 2 s each is sent its stop once more
        life.wait(seconds)
        await life.look()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_C", reason="smoke"), ADA)
    listed = await life.emergency.list_stops(EmergenciesQuery(limit=1), ADA)
    assert (len(listed.items), listed.total, listed.unconfirmed) == (1, 3, 2)
    stops = {stop.esp_id: stop for stop in (await life.emergency.list_stops(EmergenciesQuery(), ADA)).items}
    assert [stops[each].not_cleared is None for each in ("ESP_A", "ESP_B", "ESP_C")] == [False, False, True]

    not_seen = ClearEmergency(all=True, unconfirmed=True, ids=[stops["ESP_C"].emergency_id])
    assert await refusal(life.emergency.clear(not_seen, ADA)) == (409, 5414)
    assert not await life.is_clearing()
    seen = ClearEmergency(all=True, unconfirmed=True, ids=[stops["ESP_A"].emergency_id])
    assert (await life.emergency.clear(seen, ADA)).unconfirmed == 1
    assert {key for key, stop in life.stops.items() if stop.clearing} == {"ESP_A"}, "no other than what was seen"
    await life.emergency.clear(unconfirmed, ADA)
    assert {key for key, stop in life.stops.items() if stop.clearing} == {"ESP_A", "ESP_B"}
    life.wait(5)
    await life.look()
    assert [(await life.emergencies(each))[-1] for each in ("ESP_A", "ESP_B")] == ["clear_emergency"] * 2
    life.wait(1)
    await life.say(*(life.answer("response", each, status="emergency_cleared") for each in ("ESP_A", "ESP_B")))
    assert set(life.stops) == {"ESP_C"}, "one that nobody tried to clear stays"

    await life.emergency.stop(EmergencyStop(reason="fire"), ADA)
    assert await refusal(life.emergency.clear(unconfirmed, ADA)) == (409, 5414)


async def test_a_stop_whose_clear_was_given_up_is_sent_once_more_after_two_seconds(life):
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    await life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA)
    for seconds in (5, 15):
        life.wait(seconds)
        await life.look()
    before = await life.emergencies()
    assert before[-1] == "emergency_stop"
    life.wait(1.9)
    await life.look()
    assert await life.emergencies() == before
    life.wait(0.1)
    await life.look()
    assert await life.emergencies() == [*before, "emergency_stop"]
    life.wait(5)
    await life.look()
    assert await life.emergencies() == [*before, "emergency_stop"], "twice in all"


async def test_a_clear_whose_confirmation_came_in_time_and_is_unread_is_not_given_up(life):
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    await life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA)
    life.wait(5)
    await life.look()
    confirmation = life.answer("response", status="emergency_cleared")
    life.heard_up_to = life.now
    life.wait(15)
    await life.look()
    assert await life.is_clearing(), "the messages of the fleet wait to be read"
    await life.say(confirmation)
    assert list(life.stops) == []
    assert set((await life.emergencies())[1:]) == {"clear_emergency"}, "it was not stopped again"


async def test_a_clear_names_the_stop_that_it_saw(life):
    first = (await life.emergency.stop(EmergencyStop(esp_id="ESP_A", gpio=5, reason="leak"), ADA)).items[0]
    second = (await life.emergency.stop(EmergencyStop(esp_id="ESP_A", gpio=5, reason="hand in pump"), ADA)).items[0]
    assert second.number > first.number
    assert second.emergency_id != first.emergency_id
    old = ClearEmergency(esp_id="ESP_A", gpio=5, ids=[first.emergency_id])
    with pytest.raises(RpcError, match=r"ada raised another stop since .*: hand in pump") as refused:
        await life.emergency.clear(old, ADA)
    assert refused.value.problem.status == 409
    seen = ClearEmergency(esp_id="ESP_A", gpio=5, ids=[second.emergency_id])
    assert (await life.emergency.clear(seen, ADA)).items == []


@pytest.fixture
def read_only(database):
    """`read_only(on=True)` makes the database read-only until the test ends."""

    yield partial(set_read_only, database)
    set_read_only(database, on=False)


async def test_a_clear_is_503_while_the_database_only_reads_and_the_stop_stays(life, read_only):
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    before = len(await life.outbox())
    read_only(on=True)
    methods = {
        "clear_emergency": Method(ClearEmergency, life.emergency.clear),
        "emergencies": Method(EmergenciesQuery, life.emergency.list_stops),
    }
    async with serve(life.bus, "actuator", methods, unavailable=UNREACHABLE):
        request = ClearEmergency(esp_id="ESP_A", reason="dry")

        async def is_refused() -> bool:  # 5304 once where the pool hands out a connection that was just ended
            found = await refusal(call(life.bus, "actuator", "clear_emergency", request, Emergencies, caller=ADA))
            assert found in [(503, 5304), (503, 5402)]
            return found == (503, 5402)

        await eventually(is_refused, "a clear is refused")
        in_force = await call(life.bus, "actuator", "emergencies", EmergenciesQuery(), Emergencies, caller=ADA)
    assert [(stop.esp_id, stop.clearing) for stop in in_force.items] == [("ESP_A", None)]
    assert len(await life.outbox()) == before


@pytest.mark.parametrize("body", [{}, {"espid": "ESP_A"}, {"esp_id": "ESP_A", "all": True}, {"all": False}])
def test_everything_is_cleared_only_by_asking_for_it(body):
    with pytest.raises(ValidationError):
        ClearEmergency.model_validate(body)


async def test_a_confirmation_of_an_earlier_clear_leaves_the_clear_as_the_last_that_the_device_hears(life):
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    await life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA)
    life.wait(5)
    await life.look()
    await life.stops.send_again("ESP_A", "online")
    life.wait(6)
    await life.say(life.answer("response", status="emergency_cleared"))
    assert (await life.emergency.list_stops(EmergenciesQuery(), ADA)).items == []
    assert (await life.emergencies())[-2:] == ["emergency_stop", "clear_emergency"]
    heard = len(await life.emergencies())
    await life.say(life.answer("error", error="clear_failed", message="Safety verification failed"))
    life.wait(4)
    await life.look()
    assert len(await life.emergencies()) == heard, "the device would refuse it again"
    life.wait(1)
    await life.look()
    assert (await life.emergencies())[heard:] == ["clear_emergency"]


async def test_a_device_that_refuses_a_clear_is_not_taken_for_one_that_refuses_a_stop(life):
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    await life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA)
    life.wait(5)
    await life.look()
    before = await life.outbox()
    await life.say(life.answer("error", error="clear_failed", message="Safety verification failed"))
    assert await life.outbox() == before
    assert all(event["event"] != "emergency_refused" for event in await life.events("system_event"))
    life.wait(5)
    await life.look()
    assert (await life.emergencies())[-2:] == ["clear_emergency", "clear_emergency"]
    assert await refusal(life.send("ON")) == (423, 5411)


@pytest.mark.parametrize("record", [None, device("ESP_A", state="pending"), device("ESP_A", state="rejected")])
async def test_the_stop_of_a_device_that_cannot_confirm_ends_with_its_clear_which_is_sent_all_the_same(life, record):
    """ingest rejects its answers, so otherwise the stop of a deleted device, or of a mistyped id, would never end."""
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    life.devices.pop("ESP_A")
    if record is not None:
        life.devices["ESP_A"] = record
    assert (await life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA)).items == []
    life.wait(5)
    await life.look()
    assert (await life.emergencies())[-1] == "clear_emergency"
    assert await refusal(life.send("ON")) == ((404, 5001) if record is None else (409, 5001))


@pytest.mark.parametrize("record", [None, device("ESP_A", state="pending")])
async def test_a_clear_of_everything_waits_for_no_device_that_cannot_confirm_and_is_sent_to_it(life, record):
    await life.pump()
    await life.pump(esp_id="ESP_B")
    await life.emergency.stop(EmergencyStop(reason="fire"), ADA)
    life.devices.pop("ESP_A")
    if record is not None:
        life.devices["ESP_A"] = record
    await life.emergency.clear(ClearEmergency(all=True), ADA)
    life.wait(6)
    for _ in range(3):
        await life.look()
    assert sorted(life.stops) == ["ESP_B"]
    assert (await life.emergencies())[-1] == "clear_emergency"


async def test_confirmations_of_a_fleet_are_taken_sixteen_at_once_and_an_error_waits_for_the_others(monkeypatch):
    clears, taken, most = Clears(None, None, None, {}, lambda: 0, None), [], 0
    open_now: set[str] = set()

    async def confirmed(esp_id: str, sequence: int, received_at: int) -> None:
        nonlocal most
        open_now.add(esp_id)
        most = max(most, len(open_now))
        for _ in range(1 + sequence % 3):
            await asyncio.sleep(0)
        open_now.discard(esp_id)
        if sequence == 20:
            raise PoolTimeout("no connection")
        taken.append(esp_id)

    monkeypatch.setattr(clears, "confirmed", confirmed)
    await clears.all_confirmed({f"ESP_{number}": (number, 0) for number in range(20)})
    assert (len(taken), most, open_now) == (20, 16, set())
    taken.clear()
    with pytest.raises(PoolTimeout):
        await clears.all_confirmed({f"ESP_{number}": (number, 0) for number in range(18, 60)})
    assert sorted(taken) == [f"ESP_{number}" for number in range(18, 34) if number != 20]
