"""Which actuators a list shows, pure."""

from kaiser_common.contract.schemas.api.actuators import Actuator, ActuatorsQuery, ActuatorsShown


def is_shown(query: ActuatorsQuery, actuator: Actuator) -> bool:
    """Whether an actuator is of the type and the zone, and in the state, that are asked for."""
    return (
        query.actuator_type in (None, actuator.actuator_type)
        and query.zone_id in (None, actuator.zone_id)
        and (query.state is None or is_in(query.state, actuator))
    )


def is_in(state: ActuatorsShown, actuator: Actuator) -> bool:
    """Whether an actuator is in a state now."""
    match state:
        case "on":
            return actuator.state is True
        case "off":
            return actuator.state is False
        case "unknown":
            return not actuator.known
        case "failed":
            return actuator.known and bool(actuator.last_error)
        case "stopped":
            return actuator.emergency == "active"
