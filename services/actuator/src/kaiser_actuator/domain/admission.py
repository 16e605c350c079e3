"""The checks that a command must pass before it is sent; the first one that fails is reported; pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from kaiser_common.bus.rpc import Caller, RpcError, is_late
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.api.actuators import CommandRequest, Emergency
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.contract.times import ms_of, time_of

from kaiser_actuator.domain.emergencies import covering
from kaiser_actuator.domain.unit import Unit, on_let_in

LOCKED = 423


def is_approved(device: DeviceRecord) -> bool:
    """Whether a device was let in."""
    return device.state == "approved"


def let_in(unit: Unit, device: DeviceRecord | None) -> Unit:
    """The actuator without the commands that waited for an earlier device of the same id."""
    at = device.approved_at if device is not None else None
    return unit if at is None else on_let_in(unit, time_of(at))


def check_device(device: DeviceRecord | None, esp_id: str) -> DeviceRecord:
    """The device of a command. RpcError 404 (5001) for one that is not in the registry, 409 for one not let in."""
    if device is None:
        raise RpcError(404, Code.ESP_DEVICE_NOT_FOUND, f"{esp_id} is not registered", "esp_id")
    if not is_approved(device):
        raise RpcError(409, Code.ESP_DEVICE_NOT_FOUND, f"{esp_id} is {device.state}, approve it first", "esp_id")
    return device


def check_command(
    unit: Unit | None,
    siblings: Sequence[Unit],
    request: CommandRequest,
    stops: Mapping[str, Emergency],
    recent: int,
    per_minute: int,
) -> Unit:
    """The actuator of a command that may be sent. RpcError says which check it failed.

    OFF passes all but the first: whatever reports can be switched off. `recent`: its commands of the last minute.
    """
    if unit is None:
        raise RpcError(404, Code.INVALID_GPIO, "this actuator is not registered", "gpio")
    if request.command == "OFF":
        return unit
    if not unit.registered:
        raise RpcError(
            404, Code.INVALID_GPIO, "this actuator is not registered and accepts only OFF: register it first", "gpio"
        )
    if not unit.settings.active:
        raise RpcError(
            409, Code.ACTUATOR_INACTIVE, "this actuator is inactive and accepts only OFF: activate it first", "gpio"
        )
    stop = covering(stops, unit.esp_id, unit.gpio)
    if stop is not None:
        raise RpcError(LOCKED, Code.EMERGENCY_STOPPED, f"stopped by {stop.raised_by}: {stop.reason}; clear it first")
    _check_range(unit, request)
    blocking = [
        each.gpio
        for each in siblings
        if each.may_be_on and (each.gpio in unit.settings.interlocks or unit.gpio in each.settings.interlocks)
    ]
    if blocking:
        which = ", ".join(str(gpio) for gpio in sorted(blocking))
        raise RpcError(409, Code.INTERLOCKED, f"interlock: gpio {which} must be reported off first", "gpio")
    if recent >= per_minute:
        raise RpcError(
            429, Code.RATE_LIMIT_EXCEEDED, f"more than {per_minute} commands a minute for one actuator, try again later"
        )
    return unit


def check_reachable(device: DeviceRecord, request: CommandRequest) -> None:
    """RpcError 409 (5007) for a device that is offline, unless the command may wait for it. OFF is sent all the same:
    the device may listen although the registry has it as offline."""
    if not device.online and not request.queue and request.command != "OFF":
        raise RpcError(
            409,
            Code.ESP_OFFLINE,
            f"{device.esp_id} is offline; a command that is queued waits for it",
            "esp_id",
        )


def value_of(unit: Unit, request: CommandRequest) -> float:
    """The value that goes to the device: 0 for OFF, as asked for PWM, as far as allowed for ON and TOGGLE."""
    if request.command == "OFF":
        return 0.0
    return unit.settings.max_value if request.value is None else request.value


def duration_of(unit: Unit, request: CommandRequest) -> int:
    """The duration in s that goes to the device: never without end where the actuator has a longest runtime."""
    return 0 if request.command == "OFF" else request.duration_s or unit.settings.max_runtime_s


def check_in_time(request: CommandRequest, caller: Caller, now: datetime) -> None:
    """RpcError 504 (5403) once the caller has stopped waiting: for the caller the command has failed. OFF is never too
    late."""
    if request.command != "OFF" and is_late(caller, ms_of(now)):
        raise RpcError(
            504,
            Code.OPERATION_TIMEOUT,
            "the command became ready after its caller had stopped waiting and was not sent",
        )


def expiry_of(request: CommandRequest, now: datetime, timeout: timedelta, deadline_ms: int | None = None) -> datetime:
    """Until when the command may be sent. One that does not wait for its device: until its caller stops waiting at the
    latest, so that a caller without an answer sees no late effect. OFF keeps its full time."""
    if request.queue:
        return now + timedelta(seconds=request.expires_s)
    if deadline_ms is None or request.command == "OFF":
        return now + timeout
    return min(now + timeout, time_of(deadline_ms))


def _check_range(unit: Unit, request: CommandRequest) -> None:
    low, high = unit.settings.min_value, unit.settings.max_value
    value = value_of(unit, request)
    if not low <= value <= high and value != 0.0:
        raise RpcError(422, Code.VALUE_OUT_OF_RANGE, f"value {value:g} is outside {low:g}…{high:g}", "value")
    longest = unit.settings.max_runtime_s
    if longest and request.duration_s > longest:
        raise RpcError(
            422, Code.VALUE_OUT_OF_RANGE, f"duration_s {request.duration_s} is above {longest} s", "duration_s"
        )
