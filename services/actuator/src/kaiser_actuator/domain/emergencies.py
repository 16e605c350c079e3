"""Which emergency stop covers which actuator, pure."""

from collections.abc import Iterable, Mapping

from kaiser_common.contract.bounds import WHOLE_DEVICE_GPIO
from kaiser_common.contract.schemas.actuator import AlertType
from kaiser_common.contract.schemas.api.actuators import Emergency

EVERYTHING = "all"
"""Key of the stop of all devices."""

CLEAR_REFUSED = "clear_failed"
"""The error of a device that refuses a clear: it verifies for 5 s that clearing is safe."""
BY_DEVICE = "device "
"""raised_by of a stop that a device raised: this and its esp_id."""
IN_STOP_STATE = "in emergency stop state"
"""The text of an alert with which firmware repeats a stop in force: the alert is no stop of its own."""

CRITICAL: frozenset[AlertType] = frozenset({"emergency_stop", "safety_violation", "hardware_error"})
"""Alerts of a device that stop what they are about."""


def key_of(esp_id: str | None, gpio: int | None) -> str:
    """The key of a stop in the bucket: `all`, `ESP_A` or `ESP_A.4`."""
    if esp_id is None:
        return EVERYTHING
    return esp_id if gpio is None else f"{esp_id}.{gpio}"


def covering(stops: Mapping[str, Emergency], esp_id: str, gpio: int) -> Emergency | None:
    """The widest stop in force for an actuator, None if it may be switched on."""
    return stops.get(EVERYTHING) or stops.get(esp_id) or stops.get(key_of(esp_id, gpio))


def locking(stops: Mapping[str, Emergency], esp_id: str, gpio: int) -> Emergency | None:
    """As `covering`, but a stop that is being cleared is taken only where no narrower one stays in force."""
    found = [stop for key in (EVERYTHING, esp_id, key_of(esp_id, gpio)) if (stop := stops.get(key)) is not None]
    return next((stop for stop in found if stop.clearing is None), found[0] if found else None)


def covers(stop: Emergency, esp_id: str, gpio: int) -> bool:
    """Whether a stop is about an actuator."""
    return stop.esp_id is None or (stop.esp_id == esp_id and stop.gpio in (None, gpio))


def cancels(stop: Emergency) -> str:
    """Why a command is cancelled under a stop: its `state_reason`."""
    return f"emergency stop: {stop.reason}"


def is_held_by_device(stop: Emergency) -> bool:
    """Whether a device has to be sent a clear for a stop to end there: one of the whole device, or one that it raised,
    whose actuator the firmware holds too."""
    return stop.esp_id is not None and (stop.gpio is None or stop.raised_by == f"{BY_DEVICE}{stop.esp_id}")


def of_device(stops: Iterable[Emergency], esp_id: str) -> list[Emergency]:
    """The stops that a device has to know, the widest first."""
    concerned = [stop for stop in stops if stop.esp_id in (None, esp_id)]
    return sorted(concerned, key=lambda stop: (stop.esp_id is not None, stop.gpio is not None, stop.gpio or 0))


def target_of_alert(esp_id: str, gpio: int) -> tuple[str, int | None]:
    """The target of a device's critical alert: one actuator, or the whole device for gpio 255."""
    return esp_id, None if gpio == WHOLE_DEVICE_GPIO else gpio
