"""Actuators, commands and emergency stops."""

from kaiser_common.contract.schemas.api.actuators import (
    Actuator,
    ActuatorBody,
    ActuatorsPage,
    ClearEmergency,
    CommandRequest,
    CommandStatus,
    Emergencies,
    EmergencyStop,
    HistoryPage,
)

from kaiser_client.call import Call

_ALL = "/api/v1/actuators"
_ONE = f"{_ALL}/{{esp_id}}/{{gpio}}"


def list_actuators(
    *, esp_id: str | None = None, limit: int | None = None, cursor: str | None = None
) -> Call[ActuatorsPage]:
    """Actuators by device and gpio, each with its last known state."""
    return Call("GET", _ALL, ActuatorsPage, query={"esp_id": esp_id, "limit": limit, "cursor": cursor})


def read_actuator(esp_id: str, gpio: int) -> Call[Actuator]:
    """One actuator."""
    return Call("GET", _ONE, Actuator, {"esp_id": esp_id, "gpio": gpio})


def configure_actuator(esp_id: str, gpio: int, settings: ActuatorBody) -> Call[Actuator]:
    """Register an actuator, or change it."""
    return Call("PUT", _ONE, Actuator, {"esp_id": esp_id, "gpio": gpio}, body=settings)


def delete_actuator(esp_id: str, gpio: int) -> Call[None]:
    """Forget an actuator's settings; its history stays."""
    return Call("DELETE", _ONE, type(None), {"esp_id": esp_id, "gpio": gpio})


def list_actuator_history(
    esp_id: str,
    gpio: int,
    *,
    from_ms: int | None = None,
    to_ms: int | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[HistoryPage]:
    """States, commands, responses, alerts and stops, newest first."""
    query = {"from": from_ms, "to": to_ms, "limit": limit, "cursor": cursor}
    return Call("GET", f"{_ONE}/history", HistoryPage, {"esp_id": esp_id, "gpio": gpio}, query)


def send_command(
    esp_id: str, gpio: int, command: CommandRequest, *, idempotency_key: str | None = None
) -> Call[CommandStatus]:
    """Send a command. A repeated call with the same key moves nothing twice. 409 (5007): offline; 423: stopped."""
    headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
    parameters = {"esp_id": esp_id, "gpio": gpio}
    return Call("POST", f"{_ONE}/command", CommandStatus, parameters, body=command, headers=headers)


def read_command(command_id: str) -> Call[CommandStatus]:
    """A command and its state."""
    return Call("GET", "/api/v1/commands/{command_id}", CommandStatus, {"command_id": command_id})


def list_emergency_stops(
    *, esp_id: str | None = None, limit: int | None = None, cursor: str | None = None
) -> Call[Emergencies]:
    """The emergency stops in force, of all devices or of one."""
    query = {"esp_id": esp_id, "limit": limit, "cursor": cursor}
    return Call("GET", f"{_ALL}/emergencies", Emergencies, query=query)


def raise_emergency_stop(stop: EmergencyStop) -> Call[Emergencies]:
    """Stop one actuator, one device, or (no esp_id) everything, now."""
    return Call("POST", f"{_ALL}/emergency_stop", Emergencies, body=stop)


def clear_emergency_stop(clear: ClearEmergency) -> Call[Emergencies]:
    """Allow commands again; the answer waits for the device. 409: another stop was raised since; 504: no answer."""
    return Call("POST", f"{_ALL}/clear_emergency", Emergencies, body=clear, within_s=35.0)
