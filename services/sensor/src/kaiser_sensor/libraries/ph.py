"""pH of an analog probe behind a 12-bit converter at 3.3 V.

Source: Nernst's equation, slope 59.16 mV/pH at 25 °C, proportional to the absolute temperature (IUPAC Recommendations
2002, Measurement of pH); module transfer 0…3.3 V over pH 0…14 with pH 7 at mid scale, replaced by two buffers (4/7/10)
as soon as they are measured.
"""

from kaiser_common.contract.schemas.sensor import SENSOR_ALIASES

from kaiser_sensor.libraries import (
    ADC_RAIL,
    Calibration,
    Context,
    Library,
    Outcome,
    Range,
    Raw,
    adc_fault,
    linear,
    nothing,
)

_RANGE = Range(possible=(0.0, 14.0), usual=(2.0, 12.0))
_UNIT = "pH"
_NEUTRAL = 7.0
_KELVIN = 273.15
_CALIBRATED_AT_C = 25.0


def process(raw: Raw, calibration: Calibration, context: Context) -> Outcome:
    """pH, by two buffers if there are two points (count, pH), corrected for the temperature of the medium."""
    if raw.count is None:
        if raw.physical is None:
            return nothing(_UNIT)
        return _RANGE.judge(linear(raw.physical, calibration), _UNIT, 2)
    fault = adc_fault(raw.count)
    if fault is not None:
        return Outcome(None, _UNIT, "bad", fault)
    value = linear(raw.count, calibration) if calibration.points else raw.count * 14.0 / 4095.0
    value = _compensate(value, context.temperature_c, calibration)
    outcome = _RANGE.judge(value, _UNIT, 2)
    if not calibration.points and outcome.quality == "good":
        return Outcome(outcome.value, _UNIT, "fair", "not calibrated")
    return outcome


def _compensate(value: float, temperature_c: float | None, calibration: Calibration) -> float:
    """The electrode's slope grows with the absolute temperature; pH 7 is where the temperature does not matter."""
    if temperature_c is None:
        return value
    calibrated_at = calibration.parameters.get("calibrated_at_c", _CALIBRATED_AT_C)
    return _NEUTRAL + (value - _NEUTRAL) * (calibrated_at + _KELVIN) / (temperature_c + _KELVIN)


LIBRARY = Library("ph", _UNIT, process, aliases=SENSOR_ALIASES["ph"], fault=ADC_RAIL)
