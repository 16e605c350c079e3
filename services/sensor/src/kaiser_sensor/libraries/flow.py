"""Flow of the YF-S201, in l/min, from the pulses counted since the last reading.

Source: YF-S201 data sheet: f [Hz] = 7.5 · Q [l/min], so 450 pulses a litre; 1…30 l/min.
"""

from kaiser_common.contract.schemas.sensor import SENSOR_ALIASES

from kaiser_sensor.libraries import Calibration, Context, Library, Outcome, Range, Raw, linear, nothing

_UNIT = "l/min"
_RANGE = Range(possible=(0.0, 60.0), usual=(0.0, 30.0))
_PULSES_PER_LITRE = 450.0


def process(raw: Raw, calibration: Calibration, context: Context) -> Outcome:
    """Mean flow over the interval; without an interval the pulses cannot become a flow."""
    if raw.physical is not None:
        return _RANGE.judge(linear(raw.physical, calibration), _UNIT, 3)
    if raw.count is None:
        return nothing(_UNIT)
    interval_s = calibration.parameters.get("interval_s", context.interval_s or 0.0)
    per_litre = calibration.parameters.get("pulses_per_litre", _PULSES_PER_LITRE)
    if interval_s <= 0 or per_litre <= 0:
        return Outcome(None, _UNIT, "error", "pulses need the sensor's interval and pulses_per_litre above 0")
    if raw.count < 0:
        return Outcome(None, _UNIT, "bad", f"{raw.count:g} pulses")
    return _RANGE.judge(linear(raw.count / per_litre * 60.0 / interval_s, calibration), _UNIT, 3)


LIBRARY = Library("flow", _UNIT, process, aliases=SENSOR_ALIASES["flow"])
