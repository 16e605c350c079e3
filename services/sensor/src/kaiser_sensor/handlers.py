"""The table of contents of sensor: which RPC method goes to which function."""

from typing import Any

from kaiser_common.bus.rpc import Method, Nothing
from kaiser_common.contract.schemas.api.devices import DeviceId
from kaiser_common.contract.schemas.api.sensors import (
    BucketsQuery,
    CompletenessQuery,
    ConfigsQuery,
    LatestQuery,
    MeasurementId,
    MeasureSensor,
    ReadingsQuery,
    SensorConfig,
    SensorKey,
)

from kaiser_sensor.api.configs import ConfigApi
from kaiser_sensor.api.measurements import MeasureApi
from kaiser_sensor.api.overview import Overview
from kaiser_sensor.api.readings import SensorApi


def methods(
    readings: SensorApi, overview: Overview, configs: ConfigApi, measurements: MeasureApi
) -> dict[str, Method[Any, Any]]:
    """By the name of the method."""
    return {
        "latest": Method(LatestQuery, readings.latest),
        "data": Method(ReadingsQuery, readings.data),
        "buckets": Method(BucketsQuery, readings.buckets),
        "completeness": Method(CompletenessQuery, readings.completeness),
        "overview": Method(Nothing, overview.overview),
        "configs": Method(ConfigsQuery, configs.page),
        "put_config": Method(SensorConfig, configs.put, least="operator"),
        "delete_config": Method(SensorKey, configs.delete, least="operator"),
        "config_items": Method(DeviceId, configs.items),
        "measure": Method(MeasureSensor, measurements.measure, least="operator"),
        "read_measurement": Method(MeasurementId, measurements.read),
    }
