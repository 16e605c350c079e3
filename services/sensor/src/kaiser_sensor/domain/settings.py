"""The settings of a sensor before and after a change, pure."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_low

from kaiser_common.contract.schemas.api.sensors import SensorConfig, SensorPatch, ThresholdsModel

LEAST_GAPS = 3
_LONGEST_S = 86_400


@dataclass(frozen=True, slots=True)
class RecentReadings:
    """A sensor's recent behaviour: times of its newest readings (s since 1970), and how the last one was processed."""

    times_s: Sequence[float]
    processing_mode: str | None


def unconfigured(key: tuple[str, int, str, str], seen: RecentReadings) -> SensorConfig:
    """The configuration that leaves a sensor as it is: it goes on sending as often, raw or processed. A sensor that has
    sent too little gets the defaults."""
    esp_id, gpio, sensor_type, address = key
    config = SensorConfig(esp_id=esp_id, gpio=gpio, sensor_type=sensor_type, address=address)
    ordered = sorted(seen.times_s)
    gaps = [later - earlier for earlier, later in itertools.pairwise(ordered)]
    does: dict[str, object] = {}
    if len(gaps) >= LEAST_GAPS:
        does["interval_s"] = min(_LONGEST_S, max(1, round(median_low(gaps))))
    if seen.processing_mode is not None:
        does["raw_mode"] = seen.processing_mode != "device"
    return config.model_copy(update=does)


def changed(config: SensorConfig, patch: SensorPatch) -> SensorConfig:
    """The configuration with the settings of the patch that were given. Thresholds are kept by the service alarm."""
    given = {name: getattr(patch, name) for name in patch.model_fields_set}
    return config.model_copy(update={**given, "thresholds": ThresholdsModel()})
