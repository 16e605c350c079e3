"""Requests about measurements on demand."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.api.sensors import Measurement, MeasurementId, MeasureSensor
from kaiser_common.contract.schemas.event import OutboxMessage
from kaiser_common.contract.schemas.sensor import SensorCommand
from kaiser_common.contract.subjects import outbox_subject
from kaiser_common.contract.times import ms_of
from kaiser_common.contract.topics import Kind, build
from kaiser_common.runtime.database import DatabasePool

from kaiser_sensor.store import measurements as measure_store
from kaiser_sensor.store.devices import Devices


class MeasureApi:
    """The handlers. A request is kept first and sent then; killed between, it shows as not answered."""

    def __init__(
        self, bus: Bus, pool: DatabasePool, devices: Devices, timeout: timedelta, now: Callable[[], datetime]
    ) -> None:
        self._bus = bus
        self._pool = pool
        self._devices = devices
        self._timeout = timeout
        self._now = now

    async def measure(self, request: MeasureSensor, caller: Caller) -> Measurement:
        """Send a device the command to measure. 404 unknown device, 409 (5007) while it is offline, 422 (5204) for
        one of the older firmware, which has no such command."""
        device = self._devices.get(request.esp_id)
        if device is None or device.state != "approved":
            raise RpcError(404, Code.ESP_DEVICE_NOT_FOUND, f"{request.esp_id} is not registered", "esp_id")
        if not device.online:
            raise RpcError(409, Code.ESP_OFFLINE, f"{request.esp_id} is offline", "esp_id")
        if device.generation == "A":
            text = f"the firmware of {request.esp_id} knows no sensor commands"
            raise RpcError(422, Code.INVALID_ACTUATOR_TYPE, text, "esp_id")
        now, request_id = self._now(), self._bus.message_id()
        async with self._pool.connection() as connection:
            await measure_store.ask(
                connection, request_id, request.esp_id, request.gpio, caller.user, now, request.address
            )
        timeout_ms = max(1, self._timeout // timedelta(milliseconds=1))
        message = OutboxMessage(
            topic=build(Kind.SENSOR_COMMAND, device.kaiser_id, request.esp_id, request.gpio),
            payload=SensorCommand(request_id=request_id, timeout_ms=timeout_ms).model_dump_json(),
            expires_at=ms_of(now + self._timeout),
        )
        subject = outbox_subject(device.kaiser_id, request.esp_id, "sensor")
        await self._bus.publish(subject, message.model_dump_json().encode(), request_id)
        asked = (request_id, request.esp_id, request.gpio, now, None, None, None, request.address)
        return to_measurement(asked, now, self._timeout)

    async def read(self, request: MeasurementId, caller: Caller) -> Measurement:
        """The state of a request. 404 if there is none with this id."""
        async with self._pool.connection() as connection:
            asked = await measure_store.read(connection, request.request_id)
        if asked is None:
            raise RpcError(404, Code.NOT_FOUND, "no measurement was requested with this id", "request_id")
        return to_measurement(asked, self._now(), self._timeout)


def to_measurement(asked: measure_store.Asked, now: datetime, timeout: timedelta) -> Measurement:
    """A request as the API gives it. An answer that came after the timeout is still the answer."""
    request_id, esp_id, gpio, requested_at, answered_at, success, message, address = asked
    state: Any = "done" if success else "failed"
    if answered_at is None:
        state = "pending" if now - requested_at <= timeout else "timeout"
    return Measurement(
        request_id=request_id,
        esp_id=esp_id,
        gpio=gpio,
        address=address,
        state=state,
        requested_at=ms_of(requested_at),
        answered_at=None if answered_at is None else ms_of(answered_at),
        message=message,
    )
