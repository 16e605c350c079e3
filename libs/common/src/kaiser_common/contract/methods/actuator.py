"""Requests to actuator: actuators, commands, emergency stops."""

from functools import partial

from kaiser_common.contract.rpc import GATEWAY, Audited, Nothing, RpcMethod
from kaiser_common.contract.schemas.api.actuators import (
    Actuator,
    ActuatorKey,
    ActuatorsPage,
    ActuatorsQuery,
    ClearEmergency,
    CommandId,
    CommandStatus,
    Emergencies,
    EmergenciesQuery,
    EmergencyStop,
    FailedCommands,
    HistoryPage,
    HistoryQuery,
    PatchActuator,
    PutActuator,
    SendCommand,
)
from kaiser_common.contract.schemas.api.devices import DeviceId
from kaiser_common.contract.schemas.device import DeviceConfig

_method = partial(RpcMethod, "actuator")

METHODS: tuple[RpcMethod, ...] = (
    _method(
        "emergency_stop",
        EmergencyStop,
        Emergencies,
        least="operator",
        audited=Audited("stop", ("esp_id", "gpio"), urgent=True),
    ),
    _method(
        "clear_emergency",
        ClearEmergency,
        Emergencies,
        least="operator",
        audited=Audited("clear_stop", ("esp_id", "gpio"), before="emergencies"),
    ),
    _method("emergencies", EmergenciesQuery, Emergencies, callers=("alarm", GATEWAY)),
    _method(
        "command",
        SendCommand,
        CommandStatus,
        least="operator",
        callers=("logic", GATEWAY),
        audited=Audited("command", ("esp_id", "gpio"), before="read"),
    ),
    _method("read_command", CommandId, CommandStatus, callers=("logic", GATEWAY)),
    _method("failed_commands", Nothing, FailedCommands, callers=("alarm",)),
    _method("list", ActuatorsQuery, ActuatorsPage, callers=("logic", GATEWAY)),
    _method("read", ActuatorKey, Actuator),
    _method(
        "put",
        PutActuator,
        Actuator,
        least="operator",
        audited=Audited("set_actuator", ("esp_id", "gpio"), before="read"),
    ),
    _method(
        "patch",
        PatchActuator,
        Actuator,
        least="operator",
        audited=Audited("change_actuator", ("esp_id", "gpio"), before="read"),
    ),
    _method(
        "delete",
        ActuatorKey,
        Nothing,
        least="operator",
        audited=Audited("delete_actuator", ("esp_id", "gpio"), before="read"),
    ),
    _method("history", HistoryQuery, HistoryPage),
    _method("config_items", DeviceId, DeviceConfig, callers=("health",)),
)
