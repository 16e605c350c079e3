"""Alarms."""

from kaiser_common.contract.schemas.api.alarms import (
    AcknowledgeBody,
    Alarm,
    AlarmsPage,
    AlarmsShown,
    AlarmWithSteps,
    ShelveBody,
)
from kaiser_common.contract.schemas.event import AlarmSeverity, AlarmState

from kaiser_client.call import Call


def list_alarms(
    *,
    shown: AlarmsShown | None = None,
    severity: AlarmSeverity | None = None,
    state: AlarmState | None = None,
    kind: str | None = None,
    esp_id: str | None = None,
    shelved: bool | None = None,
    from_ms: int | None = None,
    to_ms: int | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[AlarmsPage]:
    """Alarms, the newest raised first; by default the open ones."""
    query = {
        "shown": shown,
        "severity": severity,
        "state": state,
        "kind": kind,
        "esp_id": esp_id,
        "shelved": shelved,
        "from": from_ms,
        "to": to_ms,
        "limit": limit,
        "cursor": cursor,
    }
    return Call("GET", "/api/v1/alarms", AlarmsPage, query=query)


def read_alarm(alarm_id: str) -> Call[AlarmWithSteps]:
    """An alarm with its steps."""
    return Call("GET", "/api/v1/alarms/{alarm_id}", AlarmWithSteps, {"alarm_id": alarm_id})


def acknowledge_alarm(alarm_id: str, body: AcknowledgeBody) -> Call[Alarm]:
    """Say that somebody sees to it."""
    return Call("POST", "/api/v1/alarms/{alarm_id}/acknowledge", Alarm, {"alarm_id": alarm_id}, body=body)


def shelve_alarm(alarm_id: str, body: ShelveBody) -> Call[Alarm]:
    """Keep an alarm silent for some time; it is unshelved automatically."""
    return Call("POST", "/api/v1/alarms/{alarm_id}/shelve", Alarm, {"alarm_id": alarm_id}, body=body)


def unshelve_alarm(alarm_id: str) -> Call[Alarm]:
    """End the silence."""
    return Call("POST", "/api/v1/alarms/{alarm_id}/unshelve", Alarm, {"alarm_id": alarm_id})
