"""An actuator as the API shows it, which ones a list shows, and how many are in each state; pure."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from kaiser_common.contract.schemas.api.actuators import Actuator, ActuatorsQuery, ActuatorsShown, Emergency
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.contract.times import ms_of

from kaiser_actuator.domain.unit import Unit


class ActuatorNow(NamedTuple):
    """An actuator, with facts that its tables lack. device: None if it is not in the registry; stop: the one that
    covers the actuator, None if there is none."""

    unit: Unit
    device: DeviceRecord | None
    stop: Emergency | None

    @property
    def is_online(self) -> bool:
        """Whether its device is online."""
        return self.device is not None and self.device.online

    @property
    def zone_id(self) -> str | None:
        """The zone of its device."""
        return None if self.device is None else self.device.zone_id or None

    @property
    def state(self) -> bool | None:
        """Whether it is on; None while that is not known. If its device is offline it is not known, even before the
        sweep has stored that."""
        return self.unit.state if self.is_online else None

    @property
    def known_until(self) -> int | None:
        """The time (ms) until which the state of an offline device's actuator was known: the device's last message or
        the report of the state, whichever is later. None: it is known now, or never was."""
        if self.is_online or self.unit.reported_at is None:
            return None
        offline_since = None if self.device is None else self.device.offline_since
        return max(ms_of(self.unit.reported_at), offline_since or 0)


def is_shown(query: ActuatorsQuery, now: ActuatorNow) -> bool:
    """Whether an actuator is of the type and the zone, and in the state, that are asked for."""
    return (
        query.actuator_type in (None, now.unit.settings.actuator_type)
        and query.zone_id in (None, now.zone_id)
        and (query.state is None or is_in(query.state, now))
    )


def is_in(state: ActuatorsShown, now: ActuatorNow) -> bool:
    """Whether an actuator is in a state now."""
    match state:
        case "on":
            return now.state is True
        case "off":
            return now.state is False
        case "unknown":
            return now.state is None
        case "failed":
            return now.state is not None and bool(now.unit.last_error)
        case "stopped":
            return now.stop is not None


def by_state(stored: Iterable[tuple[str, bool | None, int]], devices: Mapping[str, DeviceRecord]) -> dict[str, int]:
    """How many actuators are `on`, `off` and `unknown`, of groups of a device, a stored state and a number."""
    found = {"on": 0, "off": 0, "unknown": 0}
    for esp_id, state, number in stored:
        device = devices.get(esp_id)
        is_known = device is not None and device.online and state is not None
        found[("on" if state else "off") if is_known else "unknown"] += number
    return found


def to_actuator(now: ActuatorNow) -> Actuator:
    """The actuator of the API."""
    unit, stop, state = now.unit, now.stop, now.state
    return Actuator(
        **unit.settings.model_dump(),
        esp_id=unit.esp_id,
        gpio=unit.gpio,
        zone_id=now.zone_id,
        registered=unit.registered,
        state=state,
        last_state=unit.last_state,
        on_since=ms_of(unit.on_since) if state and unit.on_since else None,
        value=unit.value,
        reported_at=ms_of(unit.reported_at) if unit.reported_at else None,
        last_error=unit.last_error,
        emergency="normal" if stop is None else "active",
        emergency_reason=stop.reason if stop else None,
        emergency_at=stop.raised_at if stop else None,
        known=state is not None,
        known_until=now.known_until,
    )
