"""Climate and brightness of a TXT are readings of a device, with health and sensor as they are."""

from collections.abc import Callable
from typing import Any

from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.schemas.api.devices import Device, DeviceId
from kaiser_common.contract.schemas.api.sensors import LatestQuery, ReadingsPage

CALLER = Caller(user="someone", role="operator")
CLIMATE = {"ts": "2026-02-02T04:00:00.000Z", "t": 23.4, "h": 41.5, "p": 1001.2, "iaq": 52, "aq": 3}


async def test_a_txt_becomes_a_device_with_readings_and_a_rejected_one_stays_rejected(
    plant: Any, process: Callable[[str], Any], until: Callable[..., Any]
) -> None:
    process("kaiser-health")
    process("kaiser-sensor")

    async def values() -> dict[str, float | None]:
        plant.publish("/j1/txt/1/i/bme680", CLIMATE)
        plant.publish("/j1/txt/1/i/ldr", {"ts": "2026-02-02T04:00:00.000Z", "br": 61.5})
        try:
            page = await call(
                plant.bus, "sensor", "latest", LatestQuery(esp_id="ESP_TXT_1"), ReadingsPage, caller=CALLER
            )
        except RpcError:
            return {}
        return {each.sensor_type: each.value for each in page.items}

    async def complete() -> bool:
        return len(await values()) == 5

    await until(complete)
    assert await values() == {
        "bme680_temp": 23.4,
        "bme680_humidity": 41.5,
        "bme680_pressure": 1001.2,
        "bme680_iaq": 52.0,
        "ldr_brightness": 61.5,
    }
    device = await call(plant.bus, "health", "read", DeviceId(esp_id="ESP_TXT_1"), Device, caller=CALLER)
    assert (device.state, device.name, device.hardware_type) == ("approved", "TXT 1", "TXT")

    # What an operator rejected is not registered once more by the next process.
    await call(plant.bus, "health", "reject", DeviceId(esp_id="ESP_TXT_1"), Device, caller=CALLER)
    plant.factory.kill()
    plant.factory.start()
    plant.publish("/j1/txt/2/i/bme680", CLIMATE)

    async def second_is_there() -> bool:
        try:
            await call(plant.bus, "health", "read", DeviceId(esp_id="ESP_TXT_2"), Device, caller=CALLER)
        except RpcError:
            return False
        return True

    await until(second_is_there)  # it comes behind the first one
    device = await call(plant.bus, "health", "read", DeviceId(esp_id="ESP_TXT_1"), Device, caller=CALLER)
    assert device.state == "rejected"
