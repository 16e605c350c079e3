"""Each sensor library against its data sheet, and what all of them promise."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_sensor.domain.process import Processor, SensorSetup
from kaiser_sensor.domain.reading import SensorReading
from kaiser_sensor.libraries import Calibration, Context, Library, Outcome, Raw, by_name, discover

LIBRARIES = discover()
TYPES = sorted({library.sensor_type for library in LIBRARIES.values()})
POSSIBLE = {
    "ph": (0, 14),
    "ec": (0, 20_000),
    "ds18b20": (-55, 125),
    "sht31_temp": (-40, 125),
    "sht31_humidity": (0, 100),
    "bme280_pressure": (300, 1100),
    "soil_moisture": (0, 100),
    "mhz19_co2": (0, 5000),
    "scd30_co2": (0, 40_000),
    "bh1750_light": (0, 121_557),
    "tsl2561_light": (0, 40_000),
    "flow": (0, 60),
}

BUFFERS = Calibration(points=((2048.0, 7.0), (2620.0, 4.0)))
SOIL = Calibration(parameters={"dry_raw": 3000.0, "wet_raw": 1000.0})


@pytest.mark.parametrize(
    ("sensor_type", "raw", "calibration", "context", "value", "unit", "quality"),
    [
        ("ph", Raw(2048, None), BUFFERS, Context(), 7.0, "pH", "good"),
        ("ph", Raw(2620, None), BUFFERS, Context(), 4.0, "pH", "good"),
        ("ph", Raw(2048, None), BUFFERS, Context(temperature_c=40.0), 7.0, "pH", "good"),
        ("ph", Raw(2620, None), BUFFERS, Context(temperature_c=40.0), 4.14, "pH", "good"),
        ("ph", Raw(2048, None), Calibration(), Context(), 7.0, "pH", "fair"),
        ("ph", Raw(0, None), BUFFERS, Context(), None, "pH", "bad"),
        ("ph", Raw(4095, None), BUFFERS, Context(), None, "pH", "bad"),
        ("ph", Raw(9999, None), BUFFERS, Context(), None, "pH", "bad"),
        ("ph", Raw(None, 20.48), Calibration(), Context(), 14.0, "pH", "bad"),
        ("ph", Raw(None, None), Calibration(), Context(), None, "pH", "error"),
        ("ec", Raw(None, 1413.0), Calibration(), Context(), 1413.0, "µS/cm", "good"),
        ("ec", Raw(1000, None), Calibration(points=((0, 0), (2000, 2000))), Context(35.0), 833.3, "µS/cm", "good"),
        ("ec", Raw(1000, None), Calibration(points=((0, 0), (2000, 2000))), Context(-40.0), None, "µS/cm", "bad"),
        ("ds18b20", Raw(0x07D0, None), Calibration(), Context(), 125.0, "°C", "poor"),
        ("ds18b20", Raw(0x0191, None), Calibration(), Context(), 25.06, "°C", "good"),
        ("ds18b20", Raw(-162, None), Calibration(), Context(), -10.12, "°C", "poor"),
        ("ds18b20", Raw(2250, 22.5), Calibration(offset=-0.5), Context(), 22.0, "°C", "good"),
        ("ds18b20", Raw(1360, None), Calibration(), Context(), 85.0, "°C", "bad"),
        ("ds18b20", Raw(None, -127.0), Calibration(), Context(), None, "°C", "error"),
        ("sht31_temp", Raw(0, None), Calibration(), Context(), -45 + 5, "°C", "bad"),
        ("sht31_temp", Raw(26_214, None), Calibration(), Context(), 25.0, "°C", "good"),
        ("sht31_humidity", Raw(32_768, None), Calibration(), Context(), 50.0, "%RH", "good"),
        ("sht31_humidity", Raw(70_000, None), Calibration(), Context(), None, "%RH", "bad"),
        ("bme280_pressure", Raw(24_674_867, None), Calibration(), Context(), 963.86, "hPa", "good"),
        (
            "bme280_pressure",
            Raw(None, 954.61),
            Calibration(parameters={"altitude_m": 500.0}),
            Context(),
            1013.24,
            "hPa",
            "good",
        ),
        ("soil_moisture", Raw(2000, None), SOIL, Context(), 50.0, "%", "good"),
        ("soil_moisture", Raw(3100, None), SOIL, Context(), 0.0, "%", "good"),
        ("soil_moisture", Raw(3900, None), SOIL, Context(), 0.0, "%", "poor"),
        ("soil_moisture", Raw(2300, None), Calibration(), Context(), 50.0, "%", "fair"),
        ("mhz19_co2", Raw(800, None), Calibration(), Context(), 800, "ppm", "good"),
        ("mhz19_co2", Raw(100, None), Calibration(), Context(), 100, "ppm", "poor"),
        ("scd30_co2", Raw(None, 41_000.0), Calibration(), Context(), 40_000, "ppm", "bad"),
        ("bh1750_light", Raw(1200, None), Calibration(), Context(), 1000.0, "lx", "good"),
        ("bh1750_light", Raw(65_535, None), Calibration(), Context(), 121_557, "lx", "poor"),
        ("tsl2561_light", Raw(None, 350.5), Calibration(), Context(), 350.5, "lx", "good"),
        ("flow", Raw(450, None), Calibration(), Context(interval_s=60.0), 1.0, "l/min", "good"),
        ("flow", Raw(225, None), Calibration(), Context(interval_s=10.0), 3.0, "l/min", "good"),
        ("flow", Raw(450, None), Calibration(), Context(), None, "l/min", "error"),
    ],
)
def test_a_point_of_the_data_sheet(sensor_type, raw, calibration, context, value, unit, quality):
    outcome = LIBRARIES[sensor_type].process(raw, calibration, context)
    assert (outcome.unit, outcome.quality) == (unit, quality), outcome.detail
    assert outcome.value == (value if value is None else pytest.approx(value, abs=0.011))


_NUMBER = st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32) | st.integers(-10, 70_000)


@pytest.mark.parametrize("sensor_type", TYPES)
@given(
    count=_NUMBER,
    physical=_NUMBER,
    offset=st.floats(-100, 100),
    scale=st.floats(-10, 10),
    temperature_c=st.none() | st.floats(-55, 125),
)
def test_a_value_is_within_the_physical_range_or_flagged(sensor_type, count, physical, offset, scale, temperature_c):
    outcome = LIBRARIES[sensor_type].process(
        Raw(count, physical), Calibration(offset=offset, scale=scale), Context(temperature_c, 30.0)
    )
    low, high = POSSIBLE[sensor_type]
    if outcome.value is None:
        assert outcome.quality in ("bad", "error")
        assert outcome.detail
    else:
        assert math.isfinite(outcome.value)
        assert low <= outcome.value <= high


@pytest.mark.parametrize(
    ("alias", "sensor_type"),
    [("pH_sensor", "ph"), ("PH", "ph"), ("DS18B20", "ds18b20"), ("co2", "mhz19_co2"), ("yfs201", "flow")],
)
def test_aliases_lead_to_one_library_in_any_case(alias, sensor_type):
    assert LIBRARIES[alias.lower()].sensor_type == sensor_type


def test_every_family_of_the_contract_is_installed():
    assert set(TYPES) == set(POSSIBLE)


def test_two_libraries_may_not_claim_one_name():
    first = Library("a", "x", lambda *_: Outcome(1.0, "x", "good"))
    with pytest.raises(ValueError, match="register 'A'"):
        by_name([first, Library("b", "x", first.process, aliases=("A",))])


def reading(**changes) -> SensorReading:
    fields = {"kaiser_id": "god", "esp_id": "ESP_A", "gpio": 4, "sensor_type": "ph_sensor", "ts": 1, "received_at": 2}
    return SensorReading(**{**fields, "raw": 2048, "raw_mode": True, "quality": "stale", **changes})


def processor(*libraries: Library) -> tuple[Processor, list[tuple[str, str]]]:
    failures: list[tuple[str, str]] = []
    found = by_name(libraries) if libraries else LIBRARIES
    return Processor(found, lambda kind, why: failures.append((kind, why))), failures


def test_a_configured_raw_reading_is_processed_under_its_canonical_type():
    processed = processor()[0].process(reading(), SensorSetup(calibration=BUFFERS))
    assert (processed.sensor_type, processed.value, processed.unit, processed.mode) == ("ph", 7.0, "pH", "library")


def test_a_reading_that_is_not_raw_keeps_the_value_of_the_device():
    processed = processor()[0].process(reading(raw_mode=False, value=6.5, unit="x"), SensorSetup())
    assert (processed.value, processed.unit, processed.quality, processed.mode) == (6.5, "x", "stale", "device")


@pytest.mark.parametrize(("sensor_type", "setup"), [("ph", None), ("no_such", SensorSetup())])
def test_what_is_not_configured_or_not_known_passes_as_raw(sensor_type, setup):
    processed = processor()[0].process(reading(sensor_type=sensor_type), setup)
    assert (processed.value, processed.mode, processed.reading.raw) == (None, "raw", 2048)


def test_a_library_that_raises_marks_the_reading_and_keeps_raw():
    def broken(*_):
        raise ZeroDivisionError("a third party's bug")

    one, failures = processor(Library("ph_sensor", "pH", broken))
    processed = one.process(reading(), SensorSetup())
    assert (processed.value, processed.quality, processed.reading.raw) == (None, "error", 2048)
    assert failures == [("ph_sensor", "ZeroDivisionError: a third party's bug")]


def test_a_library_that_is_too_slow_marks_the_reading(monkeypatch):
    clock = iter([0.0, 0.051])
    monkeypatch.setattr("kaiser_sensor.domain.process.time.perf_counter", lambda: next(clock))
    one, failures = processor(Library("ph_sensor", "pH", lambda *_: Outcome(1.0, "pH", "good")))
    assert one.process(reading(), SensorSetup()).quality == "error"
    assert failures == [("ph_sensor", "took 51 ms")]
