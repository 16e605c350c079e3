"""Sensor configurations, read from the KV bucket `sensor_configs` and kept current in every replica."""

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.mirror import Mirror
from kaiser_common.contract.schemas.api.sensors import SensorConfig
from kaiser_common.contract.subjects import SENSOR_CONFIGS_BUCKET

from kaiser_sensor.domain.process import SensorSetup
from kaiser_sensor.domain.reading import SensorReading
from kaiser_sensor.libraries import Calibration, Context, Library

Key = tuple[str, int, str, str]
"""esp_id, gpio, sensor_type, address."""


def config_key(bucket_key_: str) -> Key:
    """The sensor of a key of the bucket."""
    esp_id, gpio, sensor_type, *address = bucket_key_.split(".", 3)
    return esp_id, int(gpio), sensor_type, address[0] if address else ""


def read_config(body: bytes) -> SensorConfig:
    """A configuration from the bucket; fields of a newer version are skipped. ValidationError if it is invalid."""
    return SensorConfig.model_validate_json(body, extra="ignore")


def to_setup(config: SensorConfig) -> SensorSetup:
    """The part of a configuration that processing needs."""
    given = config.calibration
    points = tuple((point[0], point[1]) for point in given.points)
    return SensorSetup(
        Calibration(given.offset, given.scale, points, dict(given.parameters)),
        Context(config.temperature_c, float(config.interval_s)),
    )


class Configs:
    """The configurations by sensor; run `keep` as a task. A change is in force as soon as the bucket has it.

    A configuration without an address counts for each sensor at its place that has none of its own.
    """

    def __init__(self, bus: Bus, libraries: dict[str, Library]) -> None:
        self._libraries = libraries
        self._setups: dict[Key, SensorSetup] = {}
        self._answering: set[Key] = set()
        self._mirror: Mirror[SensorConfig] = Mirror(bus, SENSOR_CONFIGS_BUCKET, read_config)
        self._mirror.on_change(self._changed)

    async def keep(self) -> None:
        """Follow the bucket, until cancelled."""
        await self._mirror.keep()

    async def ready(self, timeout_s: float) -> None:
        """Wait until it was read once. TimeoutError."""
        await self._mirror.ready(timeout_s)

    def setup_of(self, reading: SensorReading) -> SensorSetup | None:
        """The settings for the sensor of a reading; None if it is not configured."""
        key = self.key_of(reading)
        return self._setups.get(key) or (self._setups.get((*key[:3], "")) if key[3] else None)

    def wants_answer(self, reading: SensorReading) -> bool:
        """Whether the processed value goes back to the device."""
        if not self._answering:
            return False
        key = self.key_of(reading)
        return (key if key in self._setups else (*key[:3], "")) in self._answering

    def key_of(self, reading: SensorReading) -> Key:
        """The sensor of a reading, under its canonical type."""
        return (reading.esp_id, reading.gpio, self.canonical(reading.sensor_type), reading.address)

    def canonical(self, sensor_type: str) -> str:
        """The canonical name of a sensor type; of an unknown one itself."""
        library = self._libraries.get(sensor_type.lower())
        return library.sensor_type if library else sensor_type

    def _changed(self, bucket_key_: str, config: SensorConfig | None) -> None:
        key = config_key(bucket_key_)
        self._answering.discard(key)
        if config is None or not config.active:
            self._setups.pop(key, None)
        else:
            self._setups[key] = to_setup(config)
            if config.publish_processed:
                self._answering.add(key)
