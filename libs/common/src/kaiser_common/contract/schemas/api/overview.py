"""The overview: what is wrong now, and every device, sensor and actuator with its newest value."""

from pydantic import BaseModel

from kaiser_common.contract.schemas import FROZEN
from kaiser_common.contract.schemas.api.actuators import Actuator, Emergency
from kaiser_common.contract.schemas.api.alarms import Alarm
from kaiser_common.contract.schemas.api.devices import Device
from kaiser_common.contract.schemas.api.sensors import OverviewSensor
from kaiser_common.contract.schemas.api.zones import Zone


class Wrong(BaseModel):
    """How many are not as they should be; a sensor of an offline device counts with its device only.

    commands_failed: actuators whose last command failed. alarms: active ones of kinds that no other figure counts.
    """

    model_config = FROZEN

    devices_offline: int = 0
    devices_pending: int = 0
    sensors_silent: int = 0
    sensors_bad: int = 0
    actuators_failed: int = 0
    stops: int = 0
    commands_failed: int = 0
    alarms: int = 0


class Overview(BaseModel):
    """All that a landing page needs in one answer. hours_from: start (ms) of the first hour of the sensors' figures.

    alarms: the worst 200 active ones that are not shelved; alarm_kinds: how many there are of each kind.
    missing: the services that did not answer; what they know is left out. complete: False where there are more devices,
    sensors or actuators than fit.
    """

    model_config = FROZEN

    at: int
    wrong: Wrong
    devices: list[Device]
    sensors: list[OverviewSensor]
    actuators: list[Actuator]
    stops: list[Emergency]
    zones: list[Zone] = []
    alarms: list[Alarm] = []
    alarm_kinds: dict[str, int] = {}
    hours_from: int
    missing: list[str] = []
    complete: bool = True
