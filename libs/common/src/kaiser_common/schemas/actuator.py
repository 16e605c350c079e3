"""Messages about actuators: status, responses, alerts, and what is sent to them."""

from typing import Literal

from pydantic import BaseModel, Field

from kaiser_common.schemas import FROZEN, DeviceMessage

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
    """The state of an actuator as the device reports it. value 0…1 (a pwm of 0…255 is value * 255)."""

    gpio: int
    actuator_type: str
    state: bool
    value: float
    last_command: str | None = None
    runtime_ms: int | None = None
    error: str | None = None
    emergency: EmergencyState = "normal"


class ActuatorResponse(DeviceMessage):
    """A device's answer to an actuator command. duration as the device sent it (ms or s)."""

    gpio: int
    command: Command
    success: bool
    value: float | None = None
    duration: float | None = None
    message: str | None = None
    correlation_id: str | None = None


class ActuatorAlert(DeviceMessage):
    """An alert of an actuator, or of the whole device (gpio 255). An unknown type is `other`, its name in message."""

    gpio: int
    alert_type: AlertType
    message: str | None = None


class EmergencyAnswer(DeviceMessage):
    """What a device says to an emergency: stopped (ack), cleared (response, recovery), or refused (error)."""

    answer: Literal["response", "error", "ack", "recovery"]
    status: str | None = None
    error: str | None = None
    outcome: str | None = None
    state: str | None = None
    command: str | None = None
    message: str | None = None
    correlation_id: str | None = None
    gpio_count: int | None = None


class ActuatorCommand(BaseModel):
    """Payload to a device: drive an actuator. duration in s, 0 until further notice; timestamp in s."""

    model_config = FROZEN

    command: Command
    value: float = Field(default=1.0, ge=0.0, le=1.0)
    duration: int = Field(default=0, ge=0)
    timestamp: int
    correlation_id: str
    issued_by: str | None = None


class Emergency(BaseModel):
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
