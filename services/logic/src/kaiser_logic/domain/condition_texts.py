"""Why a condition is true, false or not known, in words; pure."""

from kaiser_common.contract.schemas.api.rules import AlarmCondition, Hysteresis, OfSensor, SensorThreshold, Stale
from kaiser_common.contract.times import time_of

from kaiser_logic.domain.readings import Newest
from kaiser_logic.domain.view import View


def sensor_text(
    condition: OfSensor, newest: Newest | None, value: float | None, view: View, limits: str
) -> tuple[str, int | None]:
    """A condition in words, and until when (ms) its value was known, where that ended with its device going offline."""
    more = _ambiguity(condition, view)
    until = None if newest is None or newest.value is None else view.away_since(condition, newest)
    if newest is None or newest.value is None or until is None:
        return _sensor_detail(condition, newest, value, limits) + more, None
    text = f"last known {newest.value:g}, not known since {time_of(until):%Y-%m-%d %H:%M:%S} UTC"
    return f"{_name(condition)}: {text}, when its device went offline, wants {limits}{more}", until


def stale_text(condition: Stale, silent_ms: int) -> str:
    """A condition on a silent sensor in words, with how long the sensor has been silent."""
    silent_s = silent_ms / 1000
    return f"{_name(condition)}: {silent_s:g} s without a usable reading, stale after {condition.after_s:g} s"


def alarm_text(condition: AlarmCondition, result: bool | None) -> str:
    """A condition on an alarm in words. result: None if its alarms are not known yet."""
    of = f" of {condition.source}" if condition.source is not None else ""
    on = f" on {condition.esp_id}" if condition.esp_id is not None else ""
    worse = f", {condition.severity} or worse," if condition.severity is not None else ""
    found = {None: "its alarms are not known yet", True: "there is one", False: "there is none"}[result]
    return f"an alarm {condition.kind}{of}{on}{worse} {condition.state}: {found}"


def threshold_limits(condition: SensorThreshold) -> str:
    """The limits of a threshold in words."""
    if condition.operator == "between":
        return f"{condition.min:g} to {condition.max:g}"
    return f"{condition.operator} {condition.value:g}"


def hysteresis_limits(condition: Hysteresis, *, on: bool) -> str:
    """The limits of a hysteresis in words, and how it is now."""
    if condition.activate_above is not None:
        limits = f"> {condition.activate_above:g} until < {condition.deactivate_below:g}"
    else:
        limits = f"< {condition.activate_below:g} until > {condition.deactivate_above:g}"
    return f"{limits}, now {'on' if on else 'off'}"


def _name(condition: OfSensor) -> str:
    address = f" address {condition.address}" if condition.address else ""
    return f"{condition.sensor_type or 'sensor'} of {condition.esp_id} gpio {condition.gpio}{address}"


def _ambiguity(condition: OfSensor, view: View) -> str:
    """The note in a report if a condition without an address matches several sensors."""
    if condition.address is not None:
        return ""
    count = view.readings.count((condition.esp_id, condition.gpio), condition.sensor_type)
    return f"; the newest of {count} sensors there: give an address to name one" if count > 1 else ""


def _sensor_detail(condition: OfSensor, newest: Newest | None, value: float | None, limits: str) -> str:
    if newest is None:
        return f"{_name(condition)}: no reading yet, wants {limits}"
    if not newest.known:
        return f"{_name(condition)}: its newest reading is not usable, wants {limits}"
    if value is None:
        return f"{_name(condition)}: its newest reading is too old, wants {limits}"
    return f"{_name(condition)} is {value:g}, wants {limits}"
