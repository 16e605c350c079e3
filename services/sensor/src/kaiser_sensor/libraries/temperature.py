"""Temperature of the DS18B20 and the SHT31, in °C."""

from kaiser_common.contract.schemas.sensor import SENSOR_ALIASES, Quality

from kaiser_sensor.libraries import Calibration, Context, Library, Outcome, Range, Raw, linear, nothing, rail

_UNIT = "°C"
_DS18B20 = Range(possible=(-55.0, 125.0), usual=(-10.0, 85.0))
_SHT31 = Range(possible=(-40.0, 125.0), usual=(-10.0, 60.0))
_POWER_ON_C = 85.0
_DISCONNECTED_C = -127.0


def process_ds18b20(raw: Raw, calibration: Calibration, context: Context) -> Outcome:
    """The register counts sixteenths of a degree. Source: DS18B20 data sheet, table 1; 85 °C is the power-on value, and
    −127 °C is what the usual driver reports for a sensor that does not answer."""
    measured = raw.physical if raw.physical is not None else None if raw.count is None else raw.count / 16.0
    if measured is None:
        return nothing(_UNIT)
    if measured == _DISCONNECTED_C:
        return Outcome(None, _UNIT, "error", "the sensor does not answer")
    if measured == _POWER_ON_C:
        return Outcome(_POWER_ON_C, _UNIT, "bad", "85 °C is the value after power-on, before a conversion")
    return _DS18B20.judge(linear(measured, calibration), _UNIT, 2)


def fault_ds18b20(raw: Raw) -> Quality | None:
    """−127 °C: the sensor does not answer; 85 °C: the value after power-on, before a conversion."""
    figures = (raw.physical, None if raw.count is None else raw.count / 16.0)
    if _DISCONNECTED_C in figures:
        return "error"
    return "bad" if _POWER_ON_C in figures else None


def process_sht31(raw: Raw, calibration: Calibration, context: Context) -> Outcome:
    """T = −45 + 175 · S / (2¹⁶ − 1). Source: SHT31 data sheet §4.13."""
    if raw.physical is not None:
        return _SHT31.judge(linear(raw.physical, calibration), _UNIT, 2)
    if raw.count is None:
        return nothing(_UNIT)
    if not 0 <= raw.count <= 65_535:
        return Outcome(None, _UNIT, "bad", f"{raw.count:g} is not a 16-bit count")
    return _SHT31.judge(linear(-45.0 + 175.0 * raw.count / 65_535.0, calibration), _UNIT, 2)


DS18B20 = Library("ds18b20", _UNIT, process_ds18b20, aliases=SENSOR_ALIASES["ds18b20"], fault=fault_ds18b20)
SHT31 = Library("sht31_temp", _UNIT, process_sht31, aliases=SENSOR_ALIASES["sht31_temp"], fault=rail(0, 65_535))
