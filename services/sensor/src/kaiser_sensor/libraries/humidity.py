"""Relative humidity of the SHT31, in %. Source: SHT31 data sheet §4.13: RH = 100 · S / (2¹⁶ − 1)."""

from kaiser_common.contract.schemas.sensor import SENSOR_ALIASES

from kaiser_sensor.libraries import Calibration, Context, Library, Outcome, Range, Raw, linear, nothing, rail

_UNIT = "%RH"
_RANGE = Range(possible=(0.0, 100.0), usual=(5.0, 98.0))


def process(raw: Raw, calibration: Calibration, context: Context) -> Outcome:
    """Relative humidity from the 16-bit count, or from what the device computed."""
    if raw.physical is not None:
        return _RANGE.judge(linear(raw.physical, calibration), _UNIT, 1)
    if raw.count is None:
        return nothing(_UNIT)
    if not 0 <= raw.count <= 65_535:
        return Outcome(None, _UNIT, "bad", f"{raw.count:g} is not a 16-bit count")
    return _RANGE.judge(linear(100.0 * raw.count / 65_535.0, calibration), _UNIT, 1)


LIBRARY = Library("sht31_humidity", _UNIT, process, aliases=SENSOR_ALIASES["sht31_humidity"], fault=rail(0, 65_535))
