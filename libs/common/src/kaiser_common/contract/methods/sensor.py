"""Requests to sensor: readings, configurations, measurements."""

from functools import partial

from kaiser_common.contract.rpc import GATEWAY, Audited, Nothing, RpcMethod
from kaiser_common.contract.schemas.api.devices import DeviceId
from kaiser_common.contract.schemas.api.sensors import (
    BucketsPage,
    BucketsQuery,
    CompletenessPage,
    CompletenessQuery,
    ConfigsPage,
    ConfigsQuery,
    LatestQuery,
    Measurement,
    MeasurementId,
    MeasureSensor,
    PatchSensor,
    ReadingsPage,
    ReadingsQuery,
    SensorConfig,
    SensorKey,
    SensorsOverview,
)
from kaiser_common.contract.schemas.device import DeviceConfig

_method = partial(RpcMethod, "sensor")

METHODS: tuple[RpcMethod, ...] = (
    _method("latest", LatestQuery, ReadingsPage, callers=("alarm", "logic", GATEWAY)),
    _method("data", ReadingsQuery, ReadingsPage),
    _method("buckets", BucketsQuery, BucketsPage),
    _method("completeness", CompletenessQuery, CompletenessPage),
    _method("overview", Nothing, SensorsOverview),
    _method("configs", ConfigsQuery, ConfigsPage, callers=("alarm", GATEWAY)),
    _method(
        "put_config",
        SensorConfig,
        SensorConfig,
        least="operator",
        audited=Audited("set_sensor", ("esp_id", "gpio", "sensor_type", "address"), before="configs", of="items"),
    ),
    _method(
        "patch_config",
        PatchSensor,
        SensorConfig,
        least="operator",
        audited=Audited("change_sensor", ("esp_id", "gpio", "sensor_type", "address"), before="configs", of="items"),
    ),
    _method(
        "delete_config",
        SensorKey,
        Nothing,
        least="operator",
        audited=Audited("delete_sensor", ("esp_id", "gpio", "sensor_type", "address"), before="configs", of="items"),
    ),
    _method("config_items", DeviceId, DeviceConfig, callers=("health",)),
    _method(
        "measure",
        MeasureSensor,
        Measurement,
        least="operator",
        audited=Audited("measure", ("esp_id", "gpio", "address")),
    ),
    _method("read_measurement", MeasurementId, Measurement),
)
