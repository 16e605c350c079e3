"""How the consumers process a reading: with the libraries found at start and the configurations in force."""

import structlog

from kaiser_sensor import metrics
from kaiser_sensor.domain.process import Process, Processor
from kaiser_sensor.domain.reading import SensorReading
from kaiser_sensor.domain.rows import ProcessedReading
from kaiser_sensor.libraries import Library
from kaiser_sensor.store.config_mirror import Configs
from kaiser_sensor.store.devices import Devices

log = structlog.get_logger()


def process_with(libraries: dict[str, Library], configs: Configs, devices: Devices) -> Process:
    """A function that processes one reading. A library that fails is counted and logged, and marks its reading."""
    processor = Processor(libraries, _note_failure)

    def process(reading: SensorReading) -> ProcessedReading:
        setup = configs.setup_of(reading) if reading.raw_mode else None  # else the device's value is taken
        return processor.process(reading, setup, devices.source_of(reading.esp_id))

    return process


def _note_failure(sensor_type: str, reason: str) -> None:
    metrics.LIBRARY_FAILURES.labels(sensor_type).inc()
    log.error("sensor_library_failed", sensor_type=sensor_type, reason=reason)
