"""Sensors: their configurations, and measurements on request, answered by sensor."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, call
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.devices import ESP_ID
from kaiser_common.contract.schemas.api.sensors import (
    Address,
    ConfigsPage,
    ConfigsQuery,
    Measurement,
    MeasurementId,
    MeasureSensor,
    PatchSensor,
    SensorConfig,
    SensorKey,
    SensorPatch,
    SensorSettingsModel,
    ThresholdsModel,
)

from kaiser_gateway.api.paths import Cursor, EspId, Gpio, SensorType
from kaiser_gateway.api.thresholds import put_thresholds, with_thresholds
from kaiser_gateway.http.auth import Guard

AddressOf = Annotated[Address, Query(description="where several probes share the gpio")]


def router(bus: Bus, guard: Guard) -> APIRouter:
    """/api/v1/sensors."""
    routes = APIRouter(prefix="/api/v1/sensors", tags=["sensors"])
    viewer, operator = guard.needs("viewer"), guard.needs("operator")

    async def configure(config: SensorConfig, caller: Caller) -> SensorConfig:
        without = config.model_copy(update={"thresholds": ThresholdsModel()})
        stored = await call(bus, "sensor", "put_config", without, SensorConfig, caller=caller)
        return await put_thresholds(bus, caller, stored, config.thresholds)

    @routes.get("")
    async def list_sensors(
        esp_id: Annotated[str | None, Query(pattern=ESP_ID)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: Cursor = None,
        caller: Caller = viewer,
    ) -> ConfigsPage:
        """Configured sensors. Thresholds are their alarm limits; null where the service alarm does not answer."""
        query = ConfigsQuery(esp_id=esp_id, limit=limit, cursor=cursor)
        page = await call(bus, "sensor", "configs", query, ConfigsPage, caller=caller)
        return page.model_copy(update={"items": await with_thresholds(bus, caller, page.items)})

    @routes.post("", status_code=201)
    async def add_sensor(body: SensorConfig, caller: Caller = operator) -> SensorConfig:
        """Configure a sensor; in force immediately, also for readings that use another name of the same type."""
        return await configure(body, caller)

    @routes.post("/{esp_id}/{gpio}/measure", status_code=202)
    async def measure_sensor(
        esp_id: EspId, gpio: Gpio, address: AddressOf = "", caller: Caller = operator
    ) -> Measurement:
        """Ask a device to measure now; its answer appears under measurements/{request_id}."""
        request = MeasureSensor(esp_id=esp_id, gpio=gpio, address=address)
        return await call(bus, "sensor", "measure", request, Measurement, caller=caller)

    @routes.get("/measurements/{request_id}")
    async def read_measurement(
        request_id: Annotated[str, Path(max_length=64, examples=["m1"])], caller: Caller = viewer
    ) -> Measurement:
        """The state of a requested measurement."""
        found = MeasurementId(request_id=request_id)
        return await call(bus, "sensor", "read_measurement", found, Measurement, caller=caller)

    @routes.put("/{esp_id}/{gpio}/{sensor_type}")
    async def configure_sensor(
        esp_id: EspId,
        gpio: Gpio,
        sensor_type: SensorType,
        body: SensorSettingsModel,
        address: AddressOf = "",
        caller: Caller = operator,
    ) -> SensorConfig:
        """Configure a sensor: calibration, interval, compensation. Thresholds are its alarm limits; null, or left out,
        they are left unchanged."""
        config = SensorConfig(esp_id=esp_id, gpio=gpio, sensor_type=sensor_type, address=address, **body.model_dump())
        return await configure(config, caller)

    @routes.patch("/{esp_id}/{gpio}/{sensor_type}")
    async def change_sensor(
        esp_id: EspId,
        gpio: Gpio,
        sensor_type: SensorType,
        body: SensorPatch,
        address: AddressOf = "",
        caller: Caller = operator,
    ) -> SensorConfig:
        """Change some settings of a sensor; the others stay as they are. A sensor that is not configured keeps the
        interval in which it sends."""
        own = {name: getattr(body, name) for name in body.model_fields_set - {"thresholds"}}
        patch = PatchSensor(
            esp_id=esp_id, gpio=gpio, sensor_type=sensor_type, address=address, patch=SensorPatch(**own)
        )
        stored = await call(bus, "sensor", "patch_config", patch, SensorConfig, caller=caller)
        return await put_thresholds(bus, caller, stored, body.thresholds)

    @routes.delete("/{esp_id}/{gpio}/{sensor_type}", status_code=204)
    async def delete_sensor(
        esp_id: EspId, gpio: Gpio, sensor_type: SensorType, address: AddressOf = "", caller: Caller = operator
    ) -> None:
        """Remove a sensor's configuration: its raw readings are no longer processed."""
        key = SensorKey(esp_id=esp_id, gpio=gpio, sensor_type=sensor_type, address=address)
        await call(bus, "sensor", "delete_config", key, Nothing, caller=caller)

    return routes
