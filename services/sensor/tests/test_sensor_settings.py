"""The settings of a sensor before and after a change, as tables."""

import json

import pytest
from kaiser_common.contract.schemas.api.sensors import PatchSensor, SensorConfig, SensorPatch, ThresholdsModel
from kaiser_sensor.domain.settings import RecentReadings, changed, unconfigured

KEY = ("TEST_A", 4, "ph", "")


@pytest.mark.parametrize(
    ("times_s", "mode", "interval_s", "raw_mode"),
    [
        ([], None, 30, True),
        ([0.0, 5.0], "raw", 30, True),
        ([0.0, 5.0, 10.0, 15.0], "device", 5, False),
        ([15.1, 10.0, 4.9, 0.0, 600.0], "library", 5, True),
        ([0.0, 0.5, 1.0, 1.5, 2.0], "raw", 1, True),
        ([0.0, 2e5, 4e5, 6e5], "raw", 86_400, True),
    ],
)
def test_a_sensor_that_is_not_configured_goes_on_as_it_does(times_s, mode, interval_s, raw_mode):
    config = unconfigured(KEY, RecentReadings(times_s, mode))
    assert (config.interval_s, config.raw_mode, config.active, config.name) == (interval_s, raw_mode, True, None)


def test_a_patch_is_written_and_read_with_what_was_given_alone():
    patch = PatchSensor(esp_id="TEST_A", gpio=4, sensor_type="ph", patch=SensorPatch(name=None, active=False))
    assert json.loads(patch.model_dump_json())["patch"] == {"name": None, "active": False}
    read = PatchSensor.model_validate_json(patch.model_dump_json())
    config = SensorConfig(esp_id="TEST_A", gpio=4, sensor_type="ph", name="Tank 1", interval_s=7)
    after = changed(config, read.patch)
    assert (after.name, after.active, after.interval_s) == (None, False, 7)
    assert after.thresholds == ThresholdsModel()
