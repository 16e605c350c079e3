"""Routes of sensors with their readings and statistics, and of actuators, in AutomationOne's form."""

import time
from typing import Annotated

from fastapi import APIRouter, Query

from kaiser_gateway.api.compat.asking import OldId, Own, PageNumber, PageSize
from kaiser_gateway.api.compat.own import refused
from kaiser_gateway.domain.compat import measured
from kaiser_gateway.domain.compat.common import Json, milliseconds, paged

_DAY_MS = 86_400_000
_MOST_READINGS = 10_000


def router() -> APIRouter:
    """/compat/v1/sensors and /compat/v1/actuators."""
    routes = APIRouter(prefix="/compat/v1")
    _add_sensors(routes)
    _add_actuators(routes)
    return routes


def _add_sensors(routes: APIRouter) -> None:
    @routes.get("/sensors")
    @routes.get("/sensors/")
    async def list_sensors(
        own: Own,
        esp_id: str | None = None,
        sensor_type: str | None = None,
        enabled: bool | None = None,
        page: PageNumber = 1,
        page_size: PageSize = 100,
    ) -> Json:
        found = [
            one
            for one in await _sensors(own, esp_id)
            if sensor_type in (None, one["sensor_type"]) and enabled in (None, one["enabled"])
        ]
        return paged(found, page, page_size)

    @routes.get("/sensors/data")
    async def list_readings(
        own: Own,
        esp_id: str,
        gpio: int | None = None,
        sensor_type: str | None = None,
        start_time: str | None = None,
        end_time: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Json:
        asked = {"esp_id": esp_id, "gpio": gpio, "sensor_type": sensor_type}
        span = _span(start_time, end_time)
        found = (await own.ask("GET", "/sensors/data", query={**asked, **span, "limit": _MOST_READINGS}))["items"]
        return measured.readings(found[-limit:], asked)

    @routes.get("/sensors/{esp_id}/{gpio}")
    async def read_sensor(esp_id: OldId, gpio: int, own: Own, sensor_type: str | None = None) -> Json:
        for one in await _sensors(own, esp_id):
            if one["gpio"] == gpio and sensor_type in (None, one["sensor_type"]):
                return one
        raise refused(404, f"{esp_id} has no configured sensor on gpio {gpio}")

    @routes.get("/sensors/{esp_id}/{gpio}/stats")
    async def read_figures(
        esp_id: OldId,
        gpio: int,
        own: Own,
        sensor_type: str | None = None,
        start_time: str | None = None,
        end_time: str | None = None,
    ) -> Json:
        asked = {"esp_id": esp_id, "gpio": gpio, "sensor_type": sensor_type}
        span = _span(start_time, end_time)
        found = (await own.ask("GET", "/sensors/data", query={**asked, **span, "limit": _MOST_READINGS}))["items"]
        return measured.figures(found, asked, span["from"], span["to"])


async def _sensors(own: Own, esp_id: str | None) -> list[Json]:
    configs = await own.every("/sensors", {"esp_id": esp_id})
    newest = {_identity(one): one for one in await own.every("/sensors/latest", {"esp_id": esp_id})}
    return [measured.sensor(one, newest.get(_identity(one))) for one in configs]


def _identity(one: Json) -> tuple[str, int, str, str]:
    return one["esp_id"], one["gpio"], one["sensor_type"], one["address"]


def _span(start: str | None, end: str | None) -> dict[str, int]:
    try:
        to = milliseconds(end) if end else int(time.time() * 1000)
        return {"from": milliseconds(start) if start else to - _DAY_MS, "to": to}
    except ValueError as error:
        raise refused(422, f"start_time and end_time are ISO 8601 times: {error}") from error


def _add_actuators(routes: APIRouter) -> None:
    @routes.get("/actuators")
    @routes.get("/actuators/")
    async def list_actuators(
        own: Own,
        esp_id: str | None = None,
        actuator_type: str | None = None,
        enabled: bool | None = None,
        page: PageNumber = 1,
        page_size: PageSize = 100,
    ) -> Json:
        found = [
            measured.actuator(one)
            for one in await own.every("/actuators", {"esp_id": esp_id})
            if actuator_type in (None, one["actuator_type"]) and enabled in (None, one["active"])
        ]
        return paged(found, page, page_size)

    @routes.get("/actuators/{esp_id}/{gpio}")
    async def read_actuator(esp_id: OldId, gpio: int, own: Own) -> Json:
        return measured.actuator(await own.ask("GET", f"/actuators/{esp_id}/{gpio}"))
