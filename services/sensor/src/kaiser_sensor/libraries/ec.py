"""Electrical conductivity of a solution behind a 12-bit converter at 3.3 V, in µS/cm at 25 °C.

Source: linear temperature compensation of 2 %/°C to 25 °C as in ISO 7888:1985; two reference solutions (such as 1413
and 12880 µS/cm) give the scale, without them 0…3.3 V is 0…20,000 µS/cm.
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

_RANGE = Range(possible=(0.0, 20_000.0), usual=(50.0, 10_000.0))
_UNIT = "µS/cm"
_PER_DEGREE = 0.02
_REFERENCE_C = 25.0


def process(raw: Raw, calibration: Calibration, context: Context) -> Outcome:
    """Conductivity at 25 °C; points are (count, µS/cm)."""
    if raw.count is None:
        if raw.physical is None:
            return nothing(_UNIT)
        return _RANGE.judge(linear(raw.physical, calibration), _UNIT, 1)
    if not 0 <= raw.count <= 4095:
        return Outcome(None, _UNIT, "bad", adc_fault(raw.count))
    value = linear(raw.count, calibration) if calibration.points else raw.count * 20_000.0 / 4095.0
    if context.temperature_c is not None:
        factor = 1.0 + _PER_DEGREE * (context.temperature_c - _REFERENCE_C)
        if factor <= 0:
            return Outcome(None, _UNIT, "bad", f"{context.temperature_c:g} °C cannot be compensated")
        value /= factor
    outcome = _RANGE.judge(value, _UNIT, 1)
    if not calibration.points and outcome.quality == "good":
        return Outcome(outcome.value, _UNIT, "fair", "not calibrated")
    return outcome


LIBRARY = Library("ec", _UNIT, process, aliases=SENSOR_ALIASES["ec"], fault=ADC_RAIL)
