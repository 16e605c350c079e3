"""Zones as a real process on real servers: their settings, and the devices that are put into them."""

import json
import time

import psycopg
import pytest
from kaiser_common.bus.connection import connect
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.devices import (
    AuditPage,
    AuditQuery,
    Device,
    DeviceId,
    PushAnswer,
    PushZone,
    RegisterDevice,
    ZoneRequest,
)
from kaiser_common.contract.schemas.api.zones import CreateZone, PatchZone, Zone, ZoneKey, ZonePatch, ZonesPage
from kaiser_common.contract.schemas.device import ZoneAck
from kaiser_common.contract.subjects import device_subject
from waiting import until

ADA = Caller(user="ada", role="operator")


@pytest.fixture
async def ask(bus_settings):
    """`ask(method, request, answer)`, which waits for the service to come up."""
    async with connect(bus_settings, "test") as bus:

        async def ask(method, request, answer):
            found = []

            async def answers():
                try:
                    found[:] = [await call(bus, "health", method, request, answer, caller=ADA)]
                except RpcError as error:
                    if error.problem.status != 504:
                        raise
                return bool(found)

            await until(answers)
            return found[0]

        ask.bus = bus
        yield ask


async def refused(ask, method, request, answer=Zone):
    with pytest.raises(RpcError) as error:
        await ask(method, request, answer)
    return error.value.problem.status, error.value.problem.code


async def test_a_zone_is_added_renamed_and_removed_and_the_audit_has_each_change(start, ask):
    start()
    zone = await ask("create_zone", CreateZone(zone_id="east", name="Greenhouse, east"), Zone)
    assert (zone.name, zone.description, zone.position, zone.version, zone.devices) == (
        "Greenhouse, east",
        None,
        0,
        1,
        0,
    )
    assert await refused(ask, "create_zone", CreateZone(zone_id="east", name="again")) == (409, 5208)
    patch = ZonePatch(description="by the river", position=-1)
    zone = await ask("patch_zone", PatchZone(zone_id="east", expected=1, patch=patch), Zone)
    assert (zone.name, zone.description, zone.position, zone.version) == ("Greenhouse, east", "by the river", -1, 2)
    stale = PatchZone(zone_id="east", expected=1, patch=ZonePatch(name="West"))
    with pytest.raises(RpcError, match="was changed meanwhile: its version is 2, not 1"):
        await ask("patch_zone", stale, Zone)
    assert await refused(ask, "patch_zone", stale) == (412, 5414)
    zone = await ask("patch_zone", PatchZone(zone_id="east", patch=ZonePatch(name="Haus", description=None)), Zone)
    assert (zone.name, zone.description, zone.position) == ("Haus", None, -1)
    await ask("create_zone", CreateZone(zone_id="a", name="A"), Zone)
    listed = await ask("zones", Nothing(), ZonesPage)
    assert [one.zone_id for one in listed.items] == ["east", "a"]
    await ask("delete_zone", ZoneKey(zone_id="east"), Nothing)
    assert await refused(ask, "read_zone", ZoneKey(zone_id="east")) == (404, 5415)
    log = (await ask("audit", AuditQuery(target="east"), AuditPage)).items
    assert [entry.action for entry in log] == ["delete_zone", "patch_zone", "patch_zone", "create_zone"]
    assert (log[1].before["description"], log[1].after["name"]) == ("by the river", "Haus")


async def test_a_zone_that_a_device_is_put_into_exists_and_stays_until_the_device_has_left(start, ask):
    start()
    await ask("register", RegisterDevice(esp_id="ESP_A", zone_id="north"), Device)
    zone = await ask("read_zone", ZoneKey(zone_id="north"), Zone)
    assert (zone.name, zone.devices) == ("north", 1)
    assert await refused(ask, "delete_zone", ZoneKey(zone_id="north"), Nothing) == (409, 5414)
    await ask("create_zone", CreateZone(zone_id="east", name="Greenhouse, east"), Zone)
    answer = await ask("push_zone", PushZone(esp_id="ESP_A", zone=ZoneRequest(zone_id="east")), PushAnswer)
    [outgoing] = [each async for each in sent(ask.bus, "zone/assign")]
    assert (outgoing["zone_id"], outgoing["zone_name"]) == ("east", "Greenhouse, east")
    now = int(time.time() * 1000)
    ack = ZoneAck(
        kaiser_id="god",
        esp_id="ESP_A",
        ts=now,
        clock="device",
        received_at=now,
        status="zone_assigned",
        zone_id="east",
        correlation_id=answer.push_id,
    )
    await ask.bus.publish(device_subject("zone.ack", "god", "ESP_A"), ack.model_dump_json().encode(), "ack-1")

    async def moved():
        return (await ask("read", DeviceId(esp_id="ESP_A"), Device)).zone_id == "east"

    await until(moved)
    assert {one.zone_id: one.devices for one in (await ask("zones", Nothing(), ZonesPage)).items} == {
        "north": 0,
        "east": 1,
    }
    await ask("delete_zone", ZoneKey(zone_id="north"), Nothing)


async def sent(bus, ending):
    """The payloads that wait on OUTBOX for topics with this ending."""
    state = (await bus.jetstream.stream_info("OUTBOX")).state
    for sequence in range(max(1, state.first_seq), state.last_seq + 1):
        body = json.loads((await bus.jetstream.get_msg("OUTBOX", sequence)).data)
        if body["topic"].endswith(ending):
            yield json.loads(body["payload"])


async def test_zones_that_an_older_health_began_are_there_after_a_start(start, ask, database):
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO health.devices (esp_id, kaiser_id, hardware_type, state, zone_id)"
            " VALUES ('ESP_OLD', 'god', 'ESP32_WROOM', 'approved', 'south')"
        )
    start()

    async def zones():
        return (await ask("zones", Nothing(), ZonesPage)).items

    [zone] = await until(zones)
    assert (zone.zone_id, zone.name, zone.devices) == ("south", "south", 1)
