"""Which actuators a list shows, pure."""

from typing import NamedTuple

from kaiser_common.contract.schemas.api.actuators import ActuatorsQuery, ActuatorsShown


class Facts(NamedTuple):
    """Properties of an actuator that a list may be narrowed by. state: None while it is not known; last_error: of its
    last report."""

    actuator_type: str
    zone_id: str | None
    state: bool | None
    last_error: str | None
    is_stopped: bool


def is_shown(query: ActuatorsQuery, facts: Facts) -> bool:
    """Whether an actuator is of the type and the zone, and in the state, that are asked for."""
    return (
        query.actuator_type in (None, facts.actuator_type)
        and query.zone_id in (None, facts.zone_id)
        and (query.state is None or is_in(query.state, facts))
    )


def is_in(state: ActuatorsShown, facts: Facts) -> bool:
    """Whether an actuator is in a state now."""
    match state:
        case "on":
            return facts.state is True
        case "off":
            return facts.state is False
        case "unknown":
            return facts.state is None
        case "failed":
            return facts.state is not None and bool(facts.last_error)
        case "stopped":
            return facts.is_stopped
