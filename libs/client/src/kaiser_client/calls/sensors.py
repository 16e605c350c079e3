"""Sensors: configurations, newest readings, history, and measurements on request."""

from kaiser_common.contract.schemas.api.sensors import (
    BucketsPage,
    ConfigsPage,
    Measurement,
    ReadingsPage,
    SensorConfig,
    SensorSettingsModel,
)

from kaiser_client.call import Call

_ALL = "/api/v1/sensors"
_ONE = f"{_ALL}/{{esp_id}}/{{gpio}}/{{sensor_type}}"


def list_sensors(
    *, esp_id: str | None = None, limit: int | None = None, cursor: str | None = None
) -> Call[ConfigsPage]:
    """Configured sensors."""
    return Call("GET", _ALL, ConfigsPage, query={"esp_id": esp_id, "limit": limit, "cursor": cursor})


def list_latest_readings(
    *, esp_id: str | None = None, address: str | None = None, limit: int | None = None, cursor: str | None = None
) -> Call[ReadingsPage]:
    """The newest reading of each sensor."""
    query = {"esp_id": esp_id, "address": address, "limit": limit, "cursor": cursor}
    return Call("GET", f"{_ALL}/latest", ReadingsPage, query=query)


def list_readings(
    esp_id: str,
    *,
    gpio: int | None = None,
    sensor_type: str | None = None,
    address: str | None = None,
    from_ms: int | None = None,
    to_ms: int | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[ReadingsPage]:
    """Readings of a device in [from_ms, to_ms), oldest first; by default of the last day."""
    query = {
        "esp_id": esp_id,
        "gpio": gpio,
        "sensor_type": sensor_type,
        "address": address,
        "from": from_ms,
        "to": to_ms,
        "limit": limit,
        "cursor": cursor,
    }
    return Call("GET", f"{_ALL}/data", ReadingsPage, query=query)


def list_buckets(
    esp_id: str,
    gpio: int,
    bucket: str,
    *,
    sensor_type: str | None = None,
    address: str | None = None,
    from_ms: int | None = None,
    to_ms: int | None = None,
) -> Call[BucketsPage]:
    """One sensor's readings in buckets of a width such as 1m, 15m, 1h or 1d (the operation list_readings)."""
    query = {
        "esp_id": esp_id,
        "gpio": gpio,
        "bucket": bucket,
        "sensor_type": sensor_type,
        "address": address,
        "from": from_ms,
        "to": to_ms,
    }
    return Call("GET", f"{_ALL}/data", BucketsPage, query=query)


def measure_sensor(esp_id: str, gpio: int, *, address: str | None = None) -> Call[Measurement]:
    """Have a device measure now; its reading comes as any other."""
    parameters = {"esp_id": esp_id, "gpio": gpio}
    return Call("POST", f"{_ALL}/{{esp_id}}/{{gpio}}/measure", Measurement, parameters, {"address": address})


def read_measurement(request_id: str) -> Call[Measurement]:
    """The state of a requested measurement."""
    return Call("GET", f"{_ALL}/measurements/{{request_id}}", Measurement, {"request_id": request_id})


def configure_sensor(
    esp_id: str, gpio: int, sensor_type: str, settings: SensorSettingsModel, *, address: str | None = None
) -> Call[SensorConfig]:
    """Configure a sensor: calibration, interval, compensation."""
    parameters = {"esp_id": esp_id, "gpio": gpio, "sensor_type": sensor_type}
    return Call("PUT", _ONE, SensorConfig, parameters, {"address": address}, body=settings)


def delete_sensor(esp_id: str, gpio: int, sensor_type: str, *, address: str | None = None) -> Call[None]:
    """Forget a sensor's configuration; its readings stay."""
    parameters = {"esp_id": esp_id, "gpio": gpio, "sensor_type": sensor_type}
    return Call("DELETE", _ONE, type(None), parameters, {"address": address})
