"""Carbon dioxide of the MH-Z19 and the SCD30, in ppm; both sensors give ppm themselves."""

from collections.abc import Callable

from kaiser_common.contract.schemas.sensor import SENSOR_ALIASES

from kaiser_sensor.libraries import Calibration, Context, Library, Outcome, Range, Raw, linear, nothing

_UNIT = "ppm"


def _ppm(limits: Range) -> Callable[[Raw, Calibration, Context], Outcome]:
    def process(raw: Raw, calibration: Calibration, context: Context) -> Outcome:
        measured = raw.physical if raw.physical is not None else raw.count
        return nothing(_UNIT) if measured is None else limits.judge(linear(measured, calibration), _UNIT, 0)

    return process


# Source: MH-Z19B data sheet: 0…5000 ppm. Below 350 ppm no open air is found: the zero point is off.
MHZ19 = Library("mhz19_co2", _UNIT, _ppm(Range((0.0, 5000.0), (350.0, 5000.0))), aliases=SENSOR_ALIASES["mhz19_co2"])
# Source: SCD30 data sheet §1.1: 0…40,000 ppm, specified from 400 to 10,000.
SCD30 = Library(
    "scd30_co2", _UNIT, _ppm(Range((0.0, 40_000.0), (350.0, 10_000.0))), aliases=SENSOR_ALIASES["scd30_co2"]
)
