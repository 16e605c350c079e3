"""Prepares a mock's sensor for measuring, and applies the device's faults to its readings; pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from kaiser_common.contract.schemas.api.mock import MockSensor
from kaiser_common.contract.topics import Kind, build
from pydantic_core import to_json

from kaiser_simulator.domain.device import (
    MockDevice,
    Publication,
    SensorLife,
    interval_ms,
    seed_of,
    sensor_key,
    step_at,
)
from kaiser_simulator.domain.firmware import qos_of
from kaiser_simulator.domain.payloads import device_ms, reading_body
from kaiser_simulator.patterns import Pattern, PatternFactory, compile_pattern, fraction

_GARBAGE_SEED = 0x6B61
_TWICE_SEED = 0x7A77
_UNMEASURABLE = 9_000_000


@dataclass(frozen=True, slots=True)
class Meter:
    """A sensor with its compiled pattern."""

    sensor: MockSensor
    key: str
    interval_ms: int
    seed: int
    topic: str
    pattern: Pattern

    def value(self, life: SensorLife, step: int, at_ms: int) -> float:
        """The measured value: the override if there is one."""
        return self.pattern(step, at_ms) if life.override is None else life.override

    def reading(self, device: MockDevice, life: SensorLife, value: float, at_ms: int) -> Publication:
        """A reading as a healthy device sends it, with the time of the device's clock."""
        quality = life.override_quality or self.sensor.quality
        body = reading_body(device, self.sensor, value, quality, device_ms(device, at_ms))
        qos = qos_of(device.setup.firmware, Kind.SENSOR_DATA)
        return Publication(self.topic, to_json(body).decode(), transient=True, qos=qos)

    def reading_now(self, device: MockDevice, now_ms: int) -> Publication:
        """A reading out of turn."""
        life = device.sensor_life(self.sensor)
        value = self.value(life, step_at(life, self.sensor.interval_s, now_ms), now_ms)
        return self.reading(device, life, value, now_ms)


def make_meter(factories: Mapping[str, PatternFactory], device: MockDevice, sensor: MockSensor) -> Meter:
    """The meter of a sensor. ValueError where its pattern cannot be made."""
    seed = seed_of(device.esp_id, sensor.gpio, sensor.sensor_type)
    return Meter(
        sensor=sensor,
        key=sensor_key(sensor.gpio, sensor.sensor_type),
        interval_ms=interval_ms(sensor.interval_s),
        seed=seed,
        topic=build(Kind.SENSOR_DATA, device.setup.kaiser_id, device.esp_id, sensor.gpio),
        pattern=compile_pattern(factories, sensor, seed),
    )


def with_faults(meter: Meter, device: MockDevice, step: int, reading: Publication) -> list[Publication]:
    """A reading after the faults: omitted, unchanged, broken, or duplicated."""
    faults = device.life.faults
    if meter.sensor.gpio in faults.silent:
        return []
    if faults.garbage and fraction(meter.seed ^ _GARBAGE_SEED, step) < faults.garbage:
        reading = replace(reading, payload=garbage(reading.payload, step))
    twice = faults.duplicate and fraction(meter.seed ^ _TWICE_SEED, step) < faults.duplicate
    return [reading, reading] if twice else [reading]


def garbage(payload: str, step: int) -> str:
    """A broken payload, of four kinds in turn: cut short (5209), a field missing (5205), of a wrong type (5206),
    another pin than the topic's (5211)."""
    match step % 4:
        case 0:
            return payload[: len(payload) // 2]
        case 1:
            return payload.replace('"raw_mode"', '"raw_mood"', 1)
        case 2:
            return payload.replace('"raw_mode":', '"raw_mode":"perhaps","was":', 1)
        case _:
            return payload.replace('"gpio":', f'"gpio":{_UNMEASURABLE},"was":', 1)
