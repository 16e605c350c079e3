"""Reads the values of sensors and actuators when the service starts or a rule names a new one."""

from collections.abc import Sequence

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, RpcError, all_pages, call
from kaiser_common.contract.schemas.api.actuators import ActuatorsPage, ActuatorsQuery
from kaiser_common.contract.schemas.api.sensors import LatestQuery, ReadingsPage

from kaiser_logic.domain.readings import ACTUATOR, RuleInput

log = structlog.get_logger()

LOGIC = Caller(user="logic", role="viewer")
"""The caller of logic's own requests, which only read. A command's caller is the rule that fired."""

_WITHIN_S = 3.0
_ONE_BY_ONE = 20
_MOST_PAGES = 50


async def latest(bus: Bus, devices: Sequence[str]) -> list[RuleInput]:
    """The newest stored readings of devices, and the states of their actuators; what does not answer within 3 s is
    left out: then a rule waits for the next reading."""
    if not devices:
        return []
    asked: Sequence[str | None] = devices if len(devices) <= _ONE_BY_ONE else [None]
    found: list[RuleInput] = []
    try:
        for esp_id in asked:
            found += await _sensors(bus, esp_id)
    except RpcError as error:
        log.warning("latest_readings_unknown", reason=error.problem.detail)
    try:
        for esp_id in asked:
            found += await _actuators(bus, esp_id)
    except RpcError as error:
        log.warning("actuator_states_unknown", reason=error.problem.detail)
    return found


async def _sensors(bus: Bus, esp_id: str | None) -> list[RuleInput]:
    async def ask(cursor: str | None) -> ReadingsPage:
        query = LatestQuery(esp_id=esp_id, cursor=cursor)
        return await call(bus, "sensor", "latest", query, ReadingsPage, caller=LOGIC, timeout_s=_WITHIN_S)

    return [
        RuleInput(
            item.esp_id,
            item.gpio,
            item.sensor_type,
            item.ts,
            item.value,
            item.quality,
            address=item.address,
            received_at=item.received_at,
            device_ts=item.device_ts,
            silent=item.state == "silent",
        )
        for item in await all_pages(ask, _MOST_PAGES)
    ]


async def _actuators(bus: Bus, esp_id: str | None) -> list[RuleInput]:
    async def ask(cursor: str | None) -> ActuatorsPage:
        query = ActuatorsQuery(esp_id=esp_id, limit=1000, cursor=cursor)
        return await call(bus, "actuator", "list", query, ActuatorsPage, caller=LOGIC, timeout_s=_WITHIN_S)

    return [
        RuleInput(item.esp_id, item.gpio, ACTUATOR, item.reported_at, item.value if item.state else 0.0, "good")
        for item in await all_pages(ask, _MOST_PAGES)
        if item.reported_at is not None and item.state is not None  # None: it was stopped, or its device was away
    ]
