"""Messages about actuators: status, responses, alerts, and what is sent to them."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from kaiser_common.contract.bounds import (
    MAX_COMMAND,
    MAX_RUNTIME_MS,
    MAX_TYPE_NAME,
    CorrelationId,
    Count,
    Message,
    Pin,
    PinOrDevice,
    Word,
)
from kaiser_common.contract.schemas import FROZEN, DeviceMessage

Command = Literal["ON", "OFF", "PWM", "TOGGLE"]
EmergencyState = Literal["normal", "active", "clearing", "resuming"]
AlertType = Literal[
    "emergency_stop",
    "runtime_protection",
    "safety_violation",
    "verification_failed",
    "hardware_error",
    "config_invalid",
    "offline_rule_hold",
    "safety_forced_off",
    "other",
]


class ActuatorStatus(DeviceMessage):
    """The state of an actuator as the device reports it. value 0…1 (a pwm of 0…255 is value * 255). emergency: None if
    the device says nothing of it, which neither begins nor ends a stop."""

    gpio: Pin
    actuator_type: Annotated[str, Field(max_length=MAX_TYPE_NAME)]
    state: bool
    value: float
    last_command: Word | None = None
    runtime_ms: Annotated[int, Field(ge=0, le=MAX_RUNTIME_MS)] | None = None
    error: Message | None = None
    emergency: EmergencyState | None = None


class ActuatorResponse(DeviceMessage):
    """A device's answer to an actuator command. duration as the device sent it (ms or s).

    command: as the device repeats it, in upper case; a word that is no Command is kept.
    """

    gpio: Pin
    command: Annotated[str, Field(max_length=MAX_COMMAND)]
    success: bool
    value: float | None = None
    duration: float | None = None
    message: Message | None = None
    correlation_id: CorrelationId | None = None
    issued_by: Word | None = None


class ActuatorAlert(DeviceMessage):
    """An alert of an actuator, or of the whole device (gpio 255). An unknown type is `other`, its name in message."""

    gpio: PinOrDevice
    alert_type: AlertType
    message: Message | None = None


class EmergencyAnswer(DeviceMessage):
    """A device's answer to a stop or a clear. answer: which of the four topics it was published on.

    The end of a stop is status `emergency_cleared`, or answer `recovery`; error is the device's reason for refusing.
    """

    answer: Literal["response", "error", "ack", "recovery"]
    status: Word | None = None
    error: Word | None = None
    outcome: Word | None = None
    state: Word | None = None
    command: Word | None = None
    message: Message | None = None
    correlation_id: CorrelationId | None = None
    gpio_count: Count | None = None


class ActuatorCommand(BaseModel):
    """Payload to a device: drive an actuator. duration in s, 0 until further notice; timestamp in s."""

    model_config = FROZEN

    command: Command
    value: float = Field(default=1.0, ge=0.0, le=1.0)
    duration: int = Field(default=0, ge=0)
    timestamp: int
    correlation_id: str
    issued_by: str | None = None


class EmergencyCommand(BaseModel):
    """Payload to one device: stop all its actuators, or end that stop. The firmware reads no other form.

    auth_token: the device's own, by default its esp_id; a device refuses another one.
    """

    model_config = FROZEN

    command: Literal["emergency_stop", "clear_emergency"]
    auth_token: str = ""
    reason: str = ""
    correlation_id: str | None = None


class BroadcastEmergency(BaseModel):
    """Payload to all devices: stop. Firmware A stops at any message on this topic, so nothing else is sent on it."""

    model_config = FROZEN

    command: Literal["emergency_stop"] = "emergency_stop"
    reason: str
    issued_by: str
