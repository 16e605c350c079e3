"""The table of contents of the simulator: which RPC method goes to which function."""

from typing import Any

from kaiser_common.rpc import Method
from kaiser_common.schemas.api.mock import (
    AddActuator,
    AddSensor,
    CreateMock,
    CreateMocks,
    MockId,
    MockMessagesQuery,
    MockPin,
    MocksQuery,
    SetEmergency,
    SetFaults,
    SetState,
    SetValues,
)

from kaiser_simulator.api.mocks import MockApi
from kaiser_simulator.api.parts import PartsApi
from kaiser_simulator.jobs.registrar import Registrar
from kaiser_simulator.settings import SimulatorSettings
from kaiser_simulator.store.changes import Clock, Mocks


def methods(
    mocks: Mocks, registrar: Registrar, settings: SimulatorSettings, clock: Clock
) -> dict[str, Method[Any, Any]]:
    """By the name of the method."""
    api = MockApi(mocks, registrar, clock, settings.simulator_mocks_max)
    parts = PartsApi(mocks, clock)
    return {
        "list": Method(MocksQuery, api.list_mocks),
        "read": Method(MockId, api.read),
        "create": Method(CreateMock, api.create),
        "create_many": Method(CreateMocks, api.create_many),
        "delete": Method(MockId, api.delete),
        "start": Method(MockId, api.start),
        "stop": Method(MockId, api.stop),
        "heartbeat": Method(MockId, api.heartbeat),
        "state": Method(SetState, api.state),
        "faults": Method(SetFaults, api.faults),
        "emergency": Method(SetEmergency, api.emergency),
        "messages": Method(MockMessagesQuery, api.messages),
        "add_sensor": Method(AddSensor, parts.add_sensor),
        "remove_sensor": Method(MockPin, parts.remove_sensor),
        "set_values": Method(SetValues, parts.set_values),
        "clear_value": Method(MockPin, parts.clear_value),
        "add_actuator": Method(AddActuator, parts.add_actuator),
        "remove_actuator": Method(MockPin, parts.remove_actuator),
        "actuators": Method(MockId, parts.actuators),
    }
