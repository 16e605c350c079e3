"""The table of contents of the simulator: which RPC method goes to which function."""

from typing import Any

from kaiser_common.bus.rpc import Method
from kaiser_common.contract.schemas.api.mock import (
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
        "list": Method(MocksQuery, api.list_mocks, least="operator"),
        "read": Method(MockId, api.read, least="operator"),
        "create": Method(CreateMock, api.create, least="operator"),
        "create_many": Method(CreateMocks, api.create_many, least="operator"),
        "delete": Method(MockId, api.delete, least="operator"),
        "start": Method(MockId, api.start, least="operator"),
        "stop": Method(MockId, api.stop, least="operator"),
        "heartbeat": Method(MockId, api.heartbeat, least="operator"),
        "state": Method(SetState, api.state, least="operator"),
        "faults": Method(SetFaults, api.faults, least="operator"),
        "emergency": Method(SetEmergency, api.emergency, least="operator"),
        "messages": Method(MockMessagesQuery, api.messages, least="operator"),
        "add_sensor": Method(AddSensor, parts.add_sensor, least="operator"),
        "remove_sensor": Method(MockPin, parts.remove_sensor, least="operator"),
        "set_values": Method(SetValues, parts.set_values, least="operator"),
        "clear_value": Method(MockPin, parts.clear_value, least="operator"),
        "add_actuator": Method(AddActuator, parts.add_actuator, least="operator"),
        "remove_actuator": Method(MockPin, parts.remove_actuator, least="operator"),
        "actuators": Method(MockId, parts.actuators, least="operator"),
    }
