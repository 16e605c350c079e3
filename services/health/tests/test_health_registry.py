"""The registry as a real process on real servers: the table, the bucket, the answers."""

import asyncio
import json
import time

import nats
import pytest
from kaiser_common.bus.connection import connect
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.devices import (
    Device,
    DeviceId,
    DevicePatch,
    DevicesPage,
    DevicesQuery,
    PatchDevice,
    RegisterDevice,
)

ADA = Caller(user="ada", role="operator")


@pytest.fixture
async def bus(bus_settings):
    async with connect(bus_settings, "test") as bus:
        yield bus


async def ask(bus, method, request, answer=Device):
    """Ask, waiting for the service to come up."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return await call(bus, "health", method, request, answer, caller=ADA)
        except RpcError as error:
            if error.problem.status != 504 or time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


async def record(bus, esp_id):
    kv = await bus.jetstream.key_value("devices")
    try:
        return json.loads((await kv.get(esp_id)).value)
    except nats.js.errors.KeyNotFoundError:
        return None


async def test_a_registered_device_is_in_the_table_and_in_the_bucket(start, bus):
    start()
    device = await ask(bus, "register", RegisterDevice(esp_id="ESP_A", name="Pump house"))
    assert (device.esp_id, device.state, device.hardware_type, device.kaiser_id) == (
        "ESP_A",
        "approved",
        "ESP32_WROOM",
        "god",
    )
    assert (await record(bus, "ESP_A"))["state"] == "approved"
    assert await ask(bus, "read", DeviceId(esp_id="ESP_A")) == device


async def test_a_device_can_be_registered_once(start, bus):
    start()
    await ask(bus, "register", RegisterDevice(esp_id="ESP_A"))
    with pytest.raises(RpcError) as caught:
        await ask(bus, "register", RegisterDevice(esp_id="ESP_A"))
    assert (caught.value.problem.status, caught.value.problem.code) == (409, 5208)


async def test_a_deleted_device_is_known_to_nobody(start, bus):
    start()
    await ask(bus, "register", RegisterDevice(esp_id="ESP_A"))
    await ask(bus, "delete", DeviceId(esp_id="ESP_A"), Nothing)
    assert await record(bus, "ESP_A") is None
    with pytest.raises(RpcError) as caught:
        await ask(bus, "read", DeviceId(esp_id="ESP_A"))
    assert (caught.value.problem.status, caught.value.problem.code) == (404, 5001)


async def test_devices_are_listed_by_page_and_filter(start, bus):
    start()
    for number in range(5):
        await ask(bus, "register", RegisterDevice(esp_id=f"ESP_{number}", kaiser_id="a" if number % 2 else "b"))
    await ask(bus, "reject", DeviceId(esp_id="ESP_4"))
    first = await ask(bus, "list", DevicesQuery(limit=3), DevicesPage)
    rest = await ask(bus, "list", DevicesQuery(limit=3, cursor=first.next_cursor), DevicesPage)
    assert [device.esp_id for device in first.items + rest.items] == [f"ESP_{number}" for number in range(5)]
    assert rest.next_cursor is None
    rejected = await ask(bus, "list", DevicesQuery(state="rejected"), DevicesPage)
    assert [device.esp_id for device in rejected.items] == ["ESP_4"]
    of_a = await ask(bus, "list", DevicesQuery(kaiser_id="a", text="esp_3"), DevicesPage)
    assert [device.esp_id for device in of_a.items] == ["ESP_3"]


async def test_a_patch_changes_what_it_names(start, bus):
    start()
    await ask(bus, "register", RegisterDevice(esp_id="ESP_A", name="old", metadata={"row": 1}))
    device = await ask(bus, "patch", PatchDevice(esp_id="ESP_A", patch=DevicePatch(name="new")))
    assert (device.name, device.metadata) == ("new", {"row": 1})
    assert (await record(bus, "ESP_A"))["name"] == "new"


async def test_a_patch_is_merged_and_null_resets(start, bus):
    start()
    await ask(bus, "register", RegisterDevice(esp_id="ESP_A", name="old", metadata={"row": 1, "bed": {"a": 1}}))
    patch = {"name": None, "metadata": {"row": None, "bed": {"b": 2}}, "heartbeat_timeout_s": 60}
    device = await ask(bus, "patch", PatchDevice(esp_id="ESP_A", patch=DevicePatch.model_validate(patch)))
    assert (device.name, device.metadata, device.heartbeat_timeout_s) == (None, {"bed": {"a": 1, "b": 2}}, 60)
    patch = {"heartbeat_timeout_s": None}
    device = await ask(bus, "patch", PatchDevice(esp_id="ESP_A", patch=DevicePatch.model_validate(patch)))
    assert (device.heartbeat_timeout_s, device.metadata) == (None, {"bed": {"a": 1, "b": 2}})
    too_much = DevicePatch(metadata={"more": "x" * 8180})
    with pytest.raises(RpcError) as refused:
        await ask(bus, "patch", PatchDevice(esp_id="ESP_A", patch=too_much))
    assert (refused.value.problem.status, refused.value.problem.field) == (422, "metadata")


async def test_the_bucket_is_rebuilt_from_the_table_at_start(start, bus):
    process = start()
    await ask(bus, "register", RegisterDevice(esp_id="ESP_A"))
    await ask(bus, "register", RegisterDevice(esp_id="ESP_B"))
    process.kill()
    process.wait(timeout=60)
    kv = await bus.jetstream.key_value("devices")
    await kv.purge("ESP_A")
    await kv.put("ESP_GHOST", b"{}")
    start()
    await ask(bus, "read", DeviceId(esp_id="ESP_A"))
    assert (await record(bus, "ESP_A"))["state"] == "approved"
    assert await record(bus, "ESP_GHOST") is None
    assert (await record(bus, "ESP_B"))["state"] == "approved"


async def test_the_simulator_registers_and_removes_mock_devices_alone(start, bus):
    start()
    registered = await ask(bus, "register_mock", RegisterDevice(esp_id="MOCK_A"))
    assert (registered.esp_id, registered.state) == ("MOCK_A", "approved")
    await ask(bus, "register", RegisterDevice(esp_id="ESP_A"))
    for method, request in (
        ("register_mock", RegisterDevice(esp_id="ESP_B")),
        ("delete_mock", DeviceId(esp_id="ESP_A")),
    ):
        with pytest.raises(RpcError) as refused:
            await ask(bus, method, request)
        assert (refused.value.problem.status, refused.value.problem.code) == (403, 5405)
    await ask(bus, "delete_mock", DeviceId(esp_id="MOCK_A"), Nothing)
    page = await ask(bus, "list", DevicesQuery(), DevicesPage)
    assert [device.esp_id for device in page.items] == ["ESP_A"]
