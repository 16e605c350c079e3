"""Air pressure of the BME280, in hPa, reduced to sea level where the altitude is given.

Source: BME280 data sheet §1.2 (300…1100 hPa); the compensated register counts 1/256 Pa (§4.2.3); reduction by the
international barometric formula (ISO 2533:1975): p0 = p / (1 − h / 44330)^5.255.
"""

from kaiser_common.contract.schemas.sensor import SENSOR_ALIASES

from kaiser_sensor.libraries import Calibration, Context, Library, Outcome, Range, Raw, linear, nothing

_UNIT = "hPa"
_RANGE = Range(possible=(300.0, 1100.0), usual=(870.0, 1085.0))


def process(raw: Raw, calibration: Calibration, context: Context) -> Outcome:
    """Pressure at the sensor, or at sea level with the parameter altitude_m."""
    measured = raw.physical if raw.physical is not None else None if raw.count is None else raw.count / 25_600.0
    if measured is None:
        return nothing(_UNIT)
    value = linear(measured, calibration)
    altitude_m = calibration.parameters.get("altitude_m")
    at_sensor = _RANGE.judge(value, _UNIT, 2)
    if altitude_m is None or at_sensor.quality == "bad":
        return at_sensor
    if not -500.0 <= altitude_m <= 9000.0:
        return Outcome(at_sensor.value, _UNIT, "poor", f"altitude_m {altitude_m:g} is outside the possible range")
    return _RANGE.judge(value / (1.0 - altitude_m / 44_330.0) ** 5.255, _UNIT, 2)


LIBRARY = Library("bme280_pressure", _UNIT, process, aliases=SENSOR_ALIASES["bme280_pressure"])
