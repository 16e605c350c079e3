"""Soil moisture of a capacitive probe behind a 12-bit converter, in % between dry and wet.

Source: two measurements that the operator makes with the probe: the count in dry air (0 %) and in water (100 %);
without them 3200 and 1400, which are typical of capacitive probes v1.2 at 3.3 V.
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

_UNIT = "%"
_RANGE = Range(possible=(0.0, 100.0), usual=(0.0, 100.0))
_DRY_COUNT, _WET_COUNT = 3200.0, 1400.0
_BEYOND = 10.0


def process(raw: Raw, calibration: Calibration, context: Context) -> Outcome:
    """Moisture; a count a little beyond dry or wet is 0 or 100, far beyond it says that the calibration is off."""
    if raw.count is None:
        return nothing(_UNIT) if raw.physical is None else _RANGE.judge(linear(raw.physical, calibration), _UNIT, 1)
    fault = adc_fault(raw.count)
    if fault is not None:
        return Outcome(None, _UNIT, "bad", fault)
    dry = calibration.parameters.get("dry_raw", _DRY_COUNT)
    wet = calibration.parameters.get("wet_raw", _WET_COUNT)
    if dry == wet:
        return Outcome(None, _UNIT, "error", "dry_raw and wet_raw are the same")
    percent = 100.0 * (dry - raw.count) / (dry - wet)
    value = round(min(max(percent, 0.0), 100.0), 1)
    if not -_BEYOND <= percent <= 100.0 + _BEYOND:
        return Outcome(value, _UNIT, "poor", "far beyond dry or wet: calibrate the sensor again")
    if "dry_raw" not in calibration.parameters or "wet_raw" not in calibration.parameters:
        return Outcome(value, _UNIT, "fair", "not calibrated")
    return Outcome(value, _UNIT, "good")


LIBRARY = Library("soil_moisture", _UNIT, process, aliases=SENSOR_ALIASES["soil_moisture"], fault=ADC_RAIL)
