"""Figures that are no measurement, whoever scaled them; pure."""

import math

import pytest
from kaiser_sensor.domain.process import Processor, SensorSetup
from kaiser_sensor.domain.reading import SensorReading
from kaiser_sensor.libraries import discover

LIBRARIES = discover()
COMMON = {"kaiser_id": "god", "esp_id": "ESP_1", "gpio": 4, "ts": 1, "received_at": 2}


def processed(configured=False, **fields):
    failures = []
    processor = Processor(LIBRARIES, lambda *failure: failures.append(failure))
    reading = SensorReading(**{**COMMON, "quality": "good", "raw_mode": False, **fields})
    found = processor.process(reading, SensorSetup() if configured else None)
    assert not failures
    return found.value, found.quality


@pytest.mark.parametrize("raw_mode", [False, True])
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"sensor_type": "DS18B20", "raw": 100, "value": -127, "raw_value": -127.0}, (None, "error")),
        ({"sensor_type": "ds18b20", "raw": 100, "value": -127}, (None, "error")),
        ({"sensor_type": "ds18b20", "raw": -2032, "value": -126.9}, (None, "error")),
        ({"sensor_type": "ds18b20", "raw": 1360, "value": 85, "raw_value": 85.0}, (85, "bad")),
        ({"sensor_type": "ds18b20", "raw": 100, "value": 85.0}, (85.0, "bad")),
        ({"sensor_type": "ds18b20", "raw": 343, "value": 21.5}, (21.5, "good")),
        ({"sensor_type": "ds18b20", "raw": -168, "value": -10.5}, (-10.5, "good")),
        ({"sensor_type": "ds18b20", "raw": 100, "value": 85.0, "quality": "error"}, (85.0, "error")),
        ({"sensor_type": "ph", "raw": 4095, "value": 14.0}, (14.0, "bad")),
        ({"sensor_type": "ph_sensor", "raw": 0, "value": 0.0, "quality": "suspect"}, (0.0, "bad")),
        ({"sensor_type": "soil_moisture", "raw": 4095, "value": 0.0}, (0.0, "bad")),
        ({"sensor_type": "ec", "raw": 0, "value": 0.0}, (0.0, "bad")),
        ({"sensor_type": "ph", "raw": 2048, "value": 7.0, "quality": "suspect"}, (7.0, "suspect")),
        ({"sensor_type": "sht31_temp", "raw": 65_535, "value": 130.0}, (130.0, "bad")),
        ({"sensor_type": "humidity", "raw": 0, "value": 0.0}, (0.0, "bad")),
        ({"sensor_type": "unknown_thing", "raw": 4095, "value": 4095}, (4095, "good")),
        ({"sensor_type": "unknown_thing", "value": 1e15}, (1e15, "good")),
        ({"sensor_type": "unknown_thing", "value": 1.1e15}, (None, "error")),
        ({"sensor_type": "unknown_thing", "value": -1e200}, (None, "error")),
        ({"sensor_type": "unknown_thing", "value": 1.7e308}, (None, "error")),
        ({"sensor_type": "unknown_thing", "value": math.inf}, (None, "error")),
        ({"sensor_type": "unknown_thing", "value": math.nan}, (None, "error")),
        ({"sensor_type": "unknown_thing", "value": 1.0, "raw": 10**15 + 1}, (None, "error")),
        ({"sensor_type": "unknown_thing", "value": 1.0, "raw_value": 1e300}, (None, "error")),
    ],
)
def test_figures_that_are_no_measurement_are_told_whoever_scaled_them(fields, expected, raw_mode):
    assert processed(**fields, raw_mode=raw_mode) == expected


def test_a_device_that_scales_itself_and_gives_no_value_is_in_error():
    assert processed(sensor_type="dht22", raw=7) == (None, "error")
    assert processed(sensor_type="dht22", raw=7, quality="stale") == (None, "stale")
    assert processed(sensor_type="dht22", raw=7, raw_mode=True) == (None, "good")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"sensor_type": "ds18b20", "raw": -2032, "raw_value": -127.0}, (None, "error")),
        ({"sensor_type": "ds18b20", "raw": 1360, "raw_value": 85.0}, (85.0, "bad")),
        ({"sensor_type": "ds18b20", "raw": 344}, (21.5, "good")),
        ({"sensor_type": "ph", "raw": 4095}, (None, "bad")),
        ({"sensor_type": "ph", "raw": 1e16}, (None, "error")),
    ],
)
def test_a_library_says_the_same(fields, expected):
    assert processed(configured=True, raw_mode=True, **fields) == expected


@pytest.mark.parametrize("name", sorted({library.sensor_type for library in LIBRARIES.values()}))
def test_a_fault_never_raises(name):
    fault = LIBRARIES[name].fault
    for raw in (None, 0, -1, 4095, 2**31):
        for physical in (None, 0.0, -127.0, 85.0):
            fields = {"sensor_type": name, "raw": raw, "raw_value": physical, "value": physical}
            value, quality = processed(**fields)
            assert fault is None or quality in ("good", "bad", "error")
            assert value is None or math.isfinite(value)
