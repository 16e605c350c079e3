"""From events of the bus to readings and ends of commands, pure."""

import structlog
from kaiser_common.pull import Delivery
from kaiser_common.schemas.event import ActuatorResponseEvent, ActuatorStatusEvent, SensorDataEvent
from pydantic import ValidationError

from kaiser_logic.readings import ACTUATOR, Reading

log = structlog.get_logger()

FILTERS = ("event.sensor_data.>", "event.actuator_status.>", "event.actuator_response.>")


def decode(delivery: Delivery) -> Reading | ActuatorResponseEvent | None:
    """What an event says; None for one that cannot be read (it was made by a service of ours: a fault, logged)."""
    kind = delivery.subject.split(".", 2)[1]
    seq = delivery.stream_sequence
    try:
        match kind:
            case "sensor_data":
                data = SensorDataEvent.model_validate_json(delivery.body)
                return Reading(
                    data.esp_id,
                    data.gpio,
                    data.sensor_type,
                    data.ts,
                    data.value,
                    data.quality,
                    seq,
                    data.address,
                    data.received_at,
                    data.device_ts,
                )
            case "actuator_status":
                status = ActuatorStatusEvent.model_validate_json(delivery.body)
                value = status.value if status.state else 0.0
                received_at = delivery.timestamp_ns // 1_000_000
                return Reading(
                    status.esp_id, status.gpio, ACTUATOR, status.ts, value, "good", seq, received_at=received_at
                )
            case _:
                return ActuatorResponseEvent.model_validate_json(delivery.body)
    except ValidationError as error:
        log.error("event_unreadable", subject=delivery.subject, error=str(error.errors(include_url=False)[0]["msg"]))
        return None
