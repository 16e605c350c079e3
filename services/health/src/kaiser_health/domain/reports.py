"""Device reports that change no table of health: each becomes a system_event."""

from datetime import datetime

from kaiser_common.bus.connection import Outgoing
from kaiser_common.contract.schemas import DeviceMessage
from kaiser_common.contract.schemas.device import Intent

from kaiser_health.domain.events import intent_event


def report_event(message: DeviceMessage, now: datetime) -> Outgoing | None:
    """The event of a report, or None if the message is only a sign of life."""
    match message:
        case Intent():
            return intent_event(message, now)
        case _:
            return None
