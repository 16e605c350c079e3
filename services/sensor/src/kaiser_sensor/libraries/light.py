"""Illuminance of the BH1750 and the TSL2561, in lx."""

from kaiser_common.contract.schemas.sensor import SENSOR_ALIASES

from kaiser_sensor.libraries import Calibration, Context, Library, Outcome, Range, Raw, linear, nothing

_UNIT = "lx"
_BH1750 = Range(possible=(0.0, 121_557.0), usual=(0.0, 100_000.0))
_TSL2561 = Range(possible=(0.0, 40_000.0), usual=(0.0, 40_000.0))
_COUNTS_PER_LUX = 1.2


def process_bh1750(raw: Raw, calibration: Calibration, context: Context) -> Outcome:
    """1.2 counts a lux in high resolution mode. Source: BH1750FVI data sheet, measurement accuracy, typical."""
    measured = raw.physical if raw.physical is not None else None if raw.count is None else raw.count / _COUNTS_PER_LUX
    if measured is None:
        return nothing(_UNIT)
    if raw.physical is None and raw.count is not None and raw.count >= 65_535:
        return Outcome(_BH1750.possible[1], _UNIT, "poor", "the sensor is saturated")
    return _BH1750.judge(linear(measured, calibration), _UNIT, 1)


def process_tsl2561(raw: Raw, calibration: Calibration, context: Context) -> Outcome:
    """The lux needs both channels, so the device computes it. Source: TSL2561 data sheet: 0.1…40,000 lx."""
    measured = raw.physical if raw.physical is not None else raw.count
    return nothing(_UNIT) if measured is None else _TSL2561.judge(linear(measured, calibration), _UNIT, 1)


BH1750 = Library("bh1750_light", _UNIT, process_bh1750, aliases=SENSOR_ALIASES["bh1750_light"])
TSL2561 = Library("tsl2561_light", _UNIT, process_tsl2561, aliases=SENSOR_ALIASES["tsl2561_light"])
