"""Computes the physical value of a reading; if a library fails, its reading is marked and no other is affected."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from kaiser_sensor.domain.plausible import judge
from kaiser_sensor.domain.reading import SensorReading
from kaiser_sensor.domain.rows import DataSource, ProcessedReading
from kaiser_sensor.libraries import Calibration, Context, Library, Outcome, Raw

LONGEST_S = 0.05
"""A library that takes longer holds up every other sensor's readings, so its result is not trusted. It is found out
when the library returns: Python code cannot be stopped half way, so one that never returns stops the service."""


Process = Callable[[SensorReading], ProcessedReading]
"""Processes a reading by its sensor library; pure but for the configurations in force."""


@dataclass(frozen=True, slots=True)
class SensorSetup:
    """The part of a sensor's configuration that processing needs."""

    calibration: Calibration = field(default_factory=Calibration)
    context: Context = field(default_factory=Context)


@dataclass(frozen=True, slots=True)
class Processor:
    """Processes readings with the libraries found at start. `on_failure` receives the sensor type and the reason."""

    libraries: Mapping[str, Library]
    on_failure: Callable[[str, str], None]

    def process(
        self, reading: SensorReading, setup: SensorSetup | None, source: DataSource = "PRODUCTION"
    ) -> ProcessedReading:
        """The processed reading. raw_mode false keeps the device's value; an unknown or unconfigured sensor passes.

        A figure that is no measurement is in error or bad in any mode (`plausible`).
        """
        library = self.libraries.get(reading.sensor_type.lower())
        sensor_type = library.sensor_type if library else reading.sensor_type
        if not reading.raw_mode or library is None or setup is None:
            value = reading.value if reading.value is not None else reading.raw_value
            judged = judge(reading, library, value, reading.quality)
            mode: Literal["raw", "device"] = "raw" if reading.raw_mode else "device"
            return ProcessedReading(reading, sensor_type, judged.value, reading.unit, judged.quality, mode, source)
        outcome = self._run(library, reading, setup)
        judged = judge(reading, library, outcome.value, outcome.quality)
        return ProcessedReading(reading, sensor_type, judged.value, outcome.unit, judged.quality, "library", source)

    def _run(self, library: Library, reading: SensorReading, setup: SensorSetup) -> Outcome:
        raw = Raw(count=reading.raw, physical=reading.raw_value)
        started = time.perf_counter()
        # The border to code of anybody: whatever it raises concerns this one reading.
        try:
            outcome = library.process(raw, setup.calibration, setup.context)
        except Exception as error:  # noqa: BLE001
            return self._failed(library, f"{type(error).__name__}: {error}")
        taken_s = time.perf_counter() - started
        if taken_s > LONGEST_S:
            return self._failed(library, f"took {taken_s * 1000:.0f} ms")
        return outcome

    def _failed(self, library: Library, reason: str) -> Outcome:
        self.on_failure(library.sensor_type, reason)
        return Outcome(None, library.unit, "error", reason)
