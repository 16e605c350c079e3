"""The table of parsers, by kind of device message: a parser of its own, or `plain`, which reads it by its model."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from kaiser_common.contract.catalogue import UPLINKS
from kaiser_common.contract.schemas import DeviceMessage
from kaiser_common.contract.topics import Kind, Topic

from kaiser_ingest.domain.actuator_messages import actuator_alert, actuator_response, actuator_status, emergency_answer
from kaiser_ingest.domain.answers import config_response, system_response, zone_ack
from kaiser_ingest.domain.fields import Fields, Odd
from kaiser_ingest.domain.plain import plain
from kaiser_ingest.domain.sensor_messages import reading, sensor_response
from kaiser_ingest.domain.system_messages import (
    device_error,
    heartbeat,
    intent,
    scan_result,
    session,
    will,
)

Parser = Callable[[Topic, Fields, int, Odd], DeviceMessage]
"""From a topic, the payload's fields and the receive time in ms; what it leaves out it names in `odd`."""

_OWN: Mapping[Kind, Parser] = MappingProxyType(
    {
        Kind.SENSOR_DATA: reading,
        Kind.SENSOR_RESPONSE: sensor_response,
        Kind.ACTUATOR_STATUS: actuator_status,
        Kind.ACTUATOR_RESPONSE: actuator_response,
        Kind.ACTUATOR_ALERT: actuator_alert,
        Kind.EMERGENCY_RESPONSE: emergency_answer,
        Kind.EMERGENCY_ERROR: emergency_answer,
        Kind.EMERGENCY_ACK: emergency_answer,
        Kind.RECOVERY_CONFIRM: emergency_answer,
        Kind.HEARTBEAT: heartbeat,
        Kind.HEARTBEAT_METRICS: heartbeat,
        Kind.WILL: will,
        Kind.SESSION: session,
        Kind.INTENT: intent,
        Kind.LIFECYCLE: intent,
        Kind.SCAN: scan_result,
        Kind.SYSTEM_ERROR: device_error,
        Kind.SYSTEM_RESPONSE: system_response,
        Kind.CONFIG_RESPONSE: config_response,
        Kind.ZONE_ACK: zone_ack,
        Kind.SUBZONE_ACK: zone_ack,
    }
)
"""Parsers for messages that need more than reading their fields by the model."""

PARSERS: Mapping[Kind, Parser] = MappingProxyType(
    {row.kind: _OWN.get(row.kind) or partial(plain, row) for row in UPLINKS if row.becomes == "a message"}
)
"""By kind; a batch is the one kind that gives several messages (`readings`), and queue pressure is only counted."""
