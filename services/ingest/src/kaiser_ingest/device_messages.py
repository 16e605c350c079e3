"""The parser of each kind of device message; a new kind is one line here and one function beside its like."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from kaiser_common.schemas import DeviceMessage
from kaiser_common.topics import Kind, Topic

from kaiser_ingest.actuator_messages import actuator_alert, actuator_response, actuator_status
from kaiser_ingest.fields import Fields
from kaiser_ingest.sensor_messages import reading, sensor_response
from kaiser_ingest.system_messages import (
    config_response,
    device_error,
    diagnostics,
    discovery,
    heartbeat,
    system_response,
    will,
    zone_ack,
)

PARSERS: Mapping[Kind, Callable[[Topic, Fields, int], DeviceMessage]] = MappingProxyType(
    {
        Kind.SENSOR_DATA: reading,
        Kind.SENSOR_RESPONSE: sensor_response,
        Kind.ACTUATOR_STATUS: actuator_status,
        Kind.ACTUATOR_RESPONSE: actuator_response,
        Kind.ACTUATOR_ALERT: actuator_alert,
        Kind.HEARTBEAT: heartbeat,
        Kind.WILL: will,
        Kind.SYSTEM_ERROR: device_error,
        Kind.DIAGNOSTICS: diagnostics,
        Kind.SYSTEM_RESPONSE: system_response,
        Kind.CONFIG_RESPONSE: config_response,
        Kind.ZONE_ACK: zone_ack,
        Kind.DISCOVERY: discovery,
    }
)
"""By kind; a batch is the one kind that gives several messages (`readings`)."""
