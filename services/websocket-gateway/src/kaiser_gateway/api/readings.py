"""Readings: the newest, the history, and how complete a day is, answered by sensor."""

import re
from datetime import date
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Response
from fastapi.exceptions import RequestValidationError
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, call, call_for_json, not_understood
from kaiser_common.contract.bounds import MAX_GPIO
from kaiser_common.contract.schemas.api.devices import ESP_ID
from kaiser_common.contract.schemas.api.sensors import (
    Address,
    BucketsPage,
    BucketsQuery,
    CompletenessPage,
    CompletenessQuery,
    LatestQuery,
    ReadingItem,
    ReadingsPage,
    ReadingsQuery,
    SensorsShown,
    TimeBucket,
)
from kaiser_common.contract.schemas.api.times import Milliseconds
from pydantic import BaseModel

from kaiser_gateway.api.csv_answers import csv_answer
from kaiser_gateway.api.paths import Cursor, ShortText
from kaiser_gateway.http.auth import Guard
from kaiser_gateway.http.problems import CSV_TOO

OfAddress = Annotated[Address | None, Query(description="of one probe: ROM code or I2C address")]

_BUCKET = re.compile(r"([1-9][0-9]{0,4})(s|m|h|d)\Z")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class _Page(msgspec.Struct):
    items: list[dict[str, Any]]


_pages = msgspec.json.Decoder(_Page)


def router(bus: Bus, guard: Guard) -> APIRouter:
    """/api/v1/sensors, as far as it reads what they sent."""
    routes = APIRouter(prefix="/api/v1/sensors", tags=["sensors"])
    viewer = guard.needs("viewer")

    @routes.get("/latest", response_model=ReadingsPage)
    async def list_latest_readings(
        esp_id: Annotated[str | None, Query(pattern=ESP_ID)] = None,
        address: OfAddress = None,
        sensor_type: ShortText = None,
        zone_id: ShortText = None,
        state: Annotated[SensorsShown | None, Query(description="bad: known, of quality bad or error")] = None,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
        cursor: Cursor = None,
        caller: Caller = viewer,
    ) -> Response:
        """The newest reading of each sensor, of one device or of all, in pages. With a zone or a state a page may have
        fewer items than the limit and a cursor still."""
        query = LatestQuery(
            esp_id=esp_id,
            address=address,
            sensor_type=sensor_type,
            zone_id=zone_id,
            state=state,
            limit=limit,
            cursor=cursor,
        )
        return _json(await call_for_json(bus, "sensor", "latest", query, caller=caller, timeout_s=20.0))

    @routes.get("/completeness")
    async def read_completeness(
        esp_id: Annotated[str, Query(pattern=ESP_ID)],
        day: Annotated[date | None, Query(description="UTC, such as 2026-01-31; today by default")] = None,
        caller: Caller = viewer,
    ) -> CompletenessPage:
        """For each configured sensor of a device, the share of the day's expected readings that arrived."""
        query = CompletenessQuery(esp_id=esp_id, day=day)
        return await call(bus, "sensor", "completeness", query, CompletenessPage, caller=caller, timeout_s=20.0)

    @routes.get("/data", response_model=ReadingsPage | BucketsPage, responses=CSV_TOO)
    async def list_readings(
        esp_id: Annotated[str, Query(pattern=ESP_ID)],
        gpio: Annotated[int | None, Query(ge=0, le=MAX_GPIO)] = None,
        sensor_type: ShortText = None,
        address: OfAddress = None,
        from_: Annotated[Milliseconds | None, Query(alias="from", description="ms since 1970")] = None,
        to: Annotated[Milliseconds | None, Query(description="ms since 1970, not included")] = None,
        bucket: Annotated[str, Query(max_length=8, description="raw, or a width such as 1m, 15m, 1h, 1d")] = "raw",
        limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
        cursor: Cursor = None,
        tz: Annotated[Literal["UTC"], Query(description="days begin at midnight in UTC")] = "UTC",
        response_format: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
        caller: Caller = viewer,
    ) -> Response:
        """Readings of a device, oldest first, or one sensor's by bucket with gaps; by default of the last day."""
        if bucket == "raw":
            query = ReadingsQuery(
                esp_id=esp_id,
                gpio=gpio,
                sensor_type=sensor_type,
                address=address,
                from_ms=from_,
                to_ms=to,
                limit=limit,
                cursor=cursor,
            )
            readings = await call_for_json(bus, "sensor", "data", query, caller=caller, timeout_s=20.0)
            return _json(readings) if response_format == "json" else await _csv("data", readings, ReadingItem)
        if gpio is None:
            raise RequestValidationError([{"type": "missing", "loc": ("query", "gpio"), "msg": "needed with a bucket"}])
        in_buckets = BucketsQuery(
            esp_id=esp_id,
            gpio=gpio,
            sensor_type=sensor_type,
            address=address,
            from_ms=from_,
            to_ms=to,
            bucket_s=bucket_seconds(bucket),
        )
        found = await call_for_json(bus, "sensor", "buckets", in_buckets, caller=caller, timeout_s=20.0)
        return _json(found) if response_format == "json" else await _csv("buckets", found, TimeBucket)

    return routes


def bucket_seconds(bucket: str) -> int:
    """The width of a bucket in s. RequestValidationError if the text is not one."""
    found = _BUCKET.match(bucket)
    if found is None:
        message = "raw, or a number with s, m, h or d, such as 15m"
        raise RequestValidationError([{"type": "value_error", "loc": ("query", "bucket"), "msg": message}])
    return min(int(found[1]) * _UNIT_S[found[2]], 31_536_000)


def _json(page: bytes) -> Response:
    return Response(page, media_type="application/json")


async def _csv(method: str, page: bytes, item: type[BaseModel]) -> Response:
    """The items of a page that a method of sensor answered, as its JSON has them, below the names of their fields.
    RpcError (502, 5407) for an answer that is no page, as of another version of sensor."""
    try:
        found = _pages.decode(page).items
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise not_understood("sensor", method, error) from error
    if not found:
        return Response("", media_type="text/csv")
    names = list(item.model_fields)
    return await csv_answer(names, ([row.get(name) for name in names] for row in found))
