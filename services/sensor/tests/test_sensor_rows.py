"""Rows, events and array literals; pure."""

import json

import pytest
from kaiser_common.contract.schemas.event import SensorDataEvent
from kaiser_common.contract.topics import Kind, build
from kaiser_sensor.domain.reading import SensorReading
from kaiser_sensor.domain.rows import ProcessedReading, data_source, to_event
from kaiser_sensor.store.arrays import literal


def reading(**changes) -> SensorReading:
    fields = {
        "kaiser_id": "god",
        "esp_id": "ESP_1",
        "gpio": 4,
        "sensor_type": "ph",
        "raw_mode": True,
        "ts": 1,
        "received_at": 2,
    }
    return SensorReading(**{**fields, **changes})


@pytest.mark.parametrize(
    "processed",
    [
        ProcessedReading(reading(), "ph", None, None, "unknown", "raw"),
        ProcessedReading(
            reading(raw=2048, raw_value=7.25, sensor_name='tänk "1"', clock="server"),
            "ph",
            7.0,
            "pH",
            "good",
            "library",
            "MOCK",
        ),
    ],
)
def test_the_event_is_what_its_model_would_write(processed):
    body = to_event(processed)
    event = SensorDataEvent.model_validate_json(body)
    assert event.model_dump(exclude_none=True) == json.loads(body)
    of_reading = (event.kaiser_id, event.esp_id, event.gpio, event.ts, event.raw, event.raw_value, event.received_at)
    source = processed.reading
    assert of_reading == (source.kaiser_id, "ESP_1", 4, 1, source.raw, source.raw_value, 2)
    assert event.topic == build(Kind.SENSOR_DATA, "god", "ESP_1", 4)
    assert (event.value, event.quality, event.data_source) == (processed.value, processed.quality, processed.source)
    assert (event.sensor_name, event.clock) == (source.sensor_name, source.clock)


@pytest.mark.parametrize(
    ("esp_id", "hardware_type", "source"),
    [
        ("ESP_1", None, "PRODUCTION"),
        ("ESP_1", "ESP32_WROOM", "PRODUCTION"),
        ("ESP_1", "MOCK_ESP32", "MOCK"),
        ("ESP_1", "simulated", "SIMULATION"),
        ("MOCK_1", "ESP32_WROOM", "MOCK"),
        ("SIM_1", None, "SIMULATION"),
        ("TEST_1", "MOCK_ESP32", "TEST"),
    ],
)
def test_the_source_of_data_follows_from_the_id_else_the_hardware(esp_id, hardware_type, source):
    assert data_source(esp_id, hardware_type) == source


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([], "{}"),
        (["a", "b"], '{"a","b"}'),
        ([1, None, 2.5], '{"1",NULL,"2.5"}'),
        (['say "x"', "\\"], '{"say \\"x\\"","\\\\"}'),
        (['","', "b"], '{"\\",\\"","b"}'),
        ([None, 'q"'], '{NULL,"q\\""}'),
        (["NULL", ""], '{"NULL",""}'),
    ],
)
def test_a_column_is_the_text_of_an_array(values, text):
    assert literal(values) == text
