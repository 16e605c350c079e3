"""The thresholds of a sensor's configuration, which are its alarm limits by other names."""

from collections.abc import Sequence

from fastapi.exceptions import RequestValidationError
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.alarms import (
    LimitsBody,
    LimitsKey,
    LimitsOfSensors,
    LimitsPage,
    PutLimits,
    SensorLimits,
)
from kaiser_common.contract.schemas.api.sensors import SensorConfig, ThresholdsModel
from kaiser_common.contract.schemas.sensor import type_of
from pydantic import ValidationError

_AWAY = (502, 503, 504)
_NONE = 404


async def with_thresholds(bus: Bus, caller: Caller, configs: Sequence[SensorConfig]) -> list[SensorConfig]:
    """Configurations with the limits of their sensors as thresholds; None where alarm does not answer."""
    request = LimitsOfSensors(sensors=[key_of(config) for config in configs])
    try:
        found = (await call(bus, "alarm", "limits_of", request, LimitsPage, caller=caller)).items if configs else []
    except RpcError as error:
        if error.problem.status not in _AWAY:
            raise
        return [config.model_copy(update={"thresholds": None}) for config in configs]
    limits = {each.sensor: to_thresholds(each.limits) for each in found}
    return [
        config.model_copy(update={"thresholds": limits.get(key_of(config), ThresholdsModel())}) for config in configs
    ]


async def put_thresholds(
    bus: Bus, caller: Caller, config: SensorConfig, thresholds: ThresholdsModel | None
) -> SensorConfig:
    """Set thresholds as the limits of a sensor that is configured; hysteresis and delay stay as they are. None: nothing
    is changed. No threshold at all: the limits are removed. The configuration as it is now."""
    key = key_of(config)
    if thresholds is not None and not thresholds.model_dump(exclude_none=True):
        try:
            await call(bus, "alarm", "delete_limits", key, Nothing, caller=caller)
        except RpcError as error:
            if error.problem.status != _NONE:
                raise
    elif thresholds is not None:
        before = (
            await call(bus, "alarm", "limits_of", LimitsOfSensors(sensors=[key]), LimitsPage, caller=caller)
        ).items
        request = PutLimits(sensor=key, limits=to_limits(thresholds, before[0].limits if before else LimitsBody()))
        await call(bus, "alarm", "put_limits", request, SensorLimits, caller=caller)
    [now] = await with_thresholds(bus, caller, [config])
    return now


def key_of(config: SensorConfig) -> LimitsKey:
    """The sensor that a configuration is of, as limits name it."""
    return LimitsKey(
        esp_id=config.esp_id, gpio=config.gpio, sensor_type=type_of(config.sensor_type), address=config.address
    )


def to_limits(thresholds: ThresholdsModel, before: LimitsBody) -> LimitsBody:
    """The limits that thresholds mean. RequestValidationError: one is out of the bounds of limits."""
    try:
        return LimitsBody(
            hi_hi=thresholds.critical_high,
            hi=thresholds.warning_high,
            lo=thresholds.warning_low,
            lo_lo=thresholds.critical_low,
            hysteresis=before.hysteresis,
            delay_s=before.delay_s,
        )
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error


def to_thresholds(limits: LimitsBody) -> ThresholdsModel:
    """Limits by the names of thresholds."""
    return ThresholdsModel(
        critical_low=limits.lo_lo, warning_low=limits.lo, warning_high=limits.hi, critical_high=limits.hi_hi
    )
