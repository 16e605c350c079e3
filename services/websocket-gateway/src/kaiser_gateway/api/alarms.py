"""Alarms, answered by alarm."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, call
from kaiser_common.contract.schemas.api.alarms import (
    ALARM_ID,
    KIND,
    AcknowledgeAlarm,
    AcknowledgeBody,
    Alarm,
    AlarmFigure,
    AlarmFigures,
    AlarmFiguresQuery,
    AlarmKey,
    AlarmsPage,
    AlarmSpans,
    AlarmSpansQuery,
    AlarmsQuery,
    AlarmsShown,
    AlarmStatistics,
    AlarmWithSteps,
    FiguresBy,
    ShelveAlarm,
    ShelveBody,
    StatisticsQuery,
)
from kaiser_common.contract.schemas.api.devices import ESP_ID
from kaiser_common.contract.schemas.api.times import Milliseconds
from kaiser_common.contract.schemas.event import AlarmSeverity, AlarmState

from kaiser_gateway.api.csv_answers import csv_answer
from kaiser_gateway.api.paths import ShortText
from kaiser_gateway.http.auth import Guard
from kaiser_gateway.http.problems import CSV_TOO

_LONG_S = 20.0

AlarmIdPath = Annotated[str, Path(pattern=ALARM_ID, examples=["4f1c9a7e2b3d5a60"])]


def router(bus: Bus, guard: Guard) -> APIRouter:
    """/api/v1/alarms."""
    routes = APIRouter(prefix="/api/v1/alarms", tags=["alarms"])
    viewer, operator = guard.needs("viewer"), guard.needs("operator")

    @routes.get("")
    async def list_alarms(
        shown: Annotated[AlarmsShown, Query(description="open: not closed; closed: the history")] = "open",
        severity: AlarmSeverity | None = None,
        state: AlarmState | None = None,
        kind: Annotated[str | None, Query(pattern=KIND)] = None,
        source: Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")] = None,
        esp_id: Annotated[str | None, Query(pattern=ESP_ID)] = None,
        zone_id: ShortText = None,
        shelved: bool | None = None,
        from_: Annotated[Milliseconds | None, Query(alias="from", description="raised at or after, ms")] = None,
        to: Annotated[Milliseconds | None, Query(description="raised before, ms since 1970")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: Annotated[str | None, Query(max_length=200)] = None,
        caller: Caller = viewer,
    ) -> AlarmsPage:
        """Alarms, the newest raised first."""
        query = AlarmsQuery(
            shown=shown,
            severity=severity,
            state=state,
            kind=kind,
            source=source,
            esp_id=esp_id,
            zone_id=zone_id,
            shelved=shelved,
            from_ms=from_,
            to_ms=to,
            limit=limit,
            cursor=cursor,
        )
        return await call(bus, "alarm", "list", query, AlarmsPage, caller=caller)

    @routes.get("/statistics")
    async def read_alarm_statistics(
        days: Annotated[int, Query(ge=1, le=365)] = 7, caller: Caller = viewer
    ) -> AlarmStatistics:
        """Open alarms by severity, and the kinds of the last days."""
        return await call(bus, "alarm", "statistics", StatisticsQuery(days=days), AlarmStatistics, caller=caller)

    @routes.get("/spans")
    async def list_alarm_spans(
        from_: Annotated[Milliseconds, Query(alias="from", description="ms since 1970")],
        to: Annotated[Milliseconds, Query(description="ms since 1970, not included")],
        esp_id: Annotated[str | None, Query(pattern=ESP_ID)] = None,
        of_site: Annotated[bool, Query(description="of no device")] = False,
        severity: AlarmSeverity | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 200,
        caller: Caller = viewer,
    ) -> AlarmSpans:
        """The times in which conditions held that touch a span, also those that began before it or are not over."""
        query = AlarmSpansQuery(from_ms=from_, to_ms=to, esp_id=esp_id, of_site=of_site, severity=severity, limit=limit)
        return await call(bus, "alarm", "spans", query, AlarmSpans, caller=caller, timeout_s=_LONG_S)

    @routes.get("/figures", response_model=AlarmFigures, responses=CSV_TOO)
    async def read_alarm_figures(
        by: FiguresBy = "kind",
        from_: Annotated[Milliseconds | None, Query(alias="from", description="ms since 1970")] = None,
        to: Annotated[Milliseconds | None, Query(description="ms since 1970, not included")] = None,
        response_format: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
        caller: Caller = viewer,
    ) -> AlarmFigures | Response:
        """How often conditions began in a span, for how long they held in it and how soon they were acknowledged, by
        kind, source or zone; by default of the last seven days."""
        query = AlarmFiguresQuery(by=by, from_ms=from_, to_ms=to)
        found = await call(bus, "alarm", "figures", query, AlarmFigures, caller=caller, timeout_s=_LONG_S)
        if response_format == "json":
            return found
        rows = (item.model_dump().values() for item in found.items)
        return await csv_answer(list(AlarmFigure.model_fields), rows)

    @routes.get("/{alarm_id}")
    async def read_alarm(alarm_id: AlarmIdPath, caller: Caller = viewer) -> AlarmWithSteps:
        """An alarm with its steps: what, when, by whom."""
        return await call(bus, "alarm", "read", AlarmKey(alarm_id=alarm_id), AlarmWithSteps, caller=caller)

    @routes.post("/{alarm_id}/acknowledge")
    async def acknowledge_alarm(
        alarm_id: AlarmIdPath, body: AcknowledgeBody | None = None, caller: Caller = operator
    ) -> Alarm:
        """Acknowledge an alarm. This closes an alarm that is cleared, or whose end nothing reports."""
        request = AcknowledgeAlarm(alarm_id=alarm_id, note=body.note if body else "")
        return await call(bus, "alarm", "acknowledge", request, Alarm, caller=caller)

    @routes.post("/{alarm_id}/shelve")
    async def shelve_alarm(alarm_id: AlarmIdPath, body: ShelveBody, caller: Caller = operator) -> Alarm:
        """Shelve an alarm for 60 s to 30 days; it is unshelved automatically."""
        request = ShelveAlarm(alarm_id=alarm_id, for_s=body.for_s, note=body.note)
        return await call(bus, "alarm", "shelve", request, Alarm, caller=caller)

    @routes.post("/{alarm_id}/unshelve")
    async def unshelve_alarm(alarm_id: AlarmIdPath, caller: Caller = operator) -> Alarm:
        """Unshelve an alarm."""
        return await call(bus, "alarm", "unshelve", AlarmKey(alarm_id=alarm_id), Alarm, caller=caller)

    return routes
