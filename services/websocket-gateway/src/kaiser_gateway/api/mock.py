"""Mock devices, answered by the simulator."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, call
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.mock import (
    MOCK_ID,
    AddActuator,
    AddSensor,
    CreateMock,
    CreateMocks,
    Faults,
    FaultsBody,
    Mock,
    MockActuatorBody,
    MockActuators,
    MockEmergency,
    MockId,
    MockMessages,
    MockMessagesQuery,
    MockPin,
    MocksCreated,
    MockSensorBody,
    MocksPage,
    MocksQuery,
    SensorValue,
    SetEmergency,
    SetFaults,
    SetState,
    SetValues,
    StateRequest,
    ValueRequest,
    ValuesRequest,
)
from kaiser_common.contract.schemas.api.sensors import SENSOR_TYPE

from kaiser_gateway.api.paths import Gpio
from kaiser_gateway.http.auth import Guard

EspId = Annotated[str, Path(pattern=MOCK_ID, examples=["MOCK_001"])]
SensorType = Annotated[str | None, Query(pattern=SENSOR_TYPE, description="picks one of several sensors at the gpio")]

_MANY_S = 30.0


def router(bus: Bus, guard: Guard) -> APIRouter:
    """/api/v1/debug/mock-esp."""
    routes = APIRouter(prefix="/api/v1/debug/mock-esp", tags=["mock devices"])
    operator = guard.needs("operator")
    _add_devices(routes, bus, operator)
    _add_power(routes, bus, operator)
    _add_sensors(routes, bus, operator)
    _add_actuators(routes, bus, operator)
    return routes


def _add_devices(routes: APIRouter, bus: Bus, operator: Caller) -> None:
    @routes.get("")
    async def list_mocks(query: Annotated[MocksQuery, Query()], caller: Caller = operator) -> MocksPage:
        """Mock devices, by id."""
        return await call(bus, "simulator", "list", query, MocksPage, caller=caller)

    @routes.post("", status_code=201)
    async def create_mock(body: CreateMock, caller: Caller = operator) -> Mock:
        """Create a mock device and register it; it boots immediately."""
        return await call(bus, "simulator", "create", body, Mock, caller=caller, timeout_s=10.0)

    @routes.post("/many", status_code=201)
    async def create_mocks(body: CreateMocks, caller: Caller = operator) -> MocksCreated:
        """Make many mock devices, all or none; they boot within seconds."""
        return await call(bus, "simulator", "create_many", body, MocksCreated, caller=caller, timeout_s=_MANY_S)

    @routes.get("/{esp_id}")
    async def read_mock(esp_id: EspId, caller: Caller = operator) -> Mock:
        """One mock device, with what it measured last."""
        return await call(bus, "simulator", "read", MockId(esp_id=esp_id), Mock, caller=caller)

    @routes.delete("/{esp_id}", status_code=204)
    async def delete_mock(esp_id: EspId, caller: Caller = operator) -> None:
        """Remove a mock device, from the registry too. Its data stays stored."""
        request = MockId(esp_id=esp_id)
        await call(bus, "simulator", "delete", request, Nothing, caller=caller, timeout_s=10.0)

    @routes.get("/{esp_id}/messages")
    async def list_mock_messages(
        esp_id: EspId, limit: Annotated[int, Query(ge=1, le=50)] = 50, caller: Caller = operator
    ) -> MockMessages:
        """The last messages that a mock sent and received, newest first."""
        query = MockMessagesQuery(esp_id=esp_id, limit=limit)
        return await call(bus, "simulator", "messages", query, MockMessages, caller=caller)


def _add_power(routes: APIRouter, bus: Bus, operator: Caller) -> None:
    @routes.post("/{esp_id}/start")
    async def start_mock(esp_id: EspId, caller: Caller = operator) -> Mock:
        """Power on."""
        return await call(bus, "simulator", "start", MockId(esp_id=esp_id), Mock, caller=caller, timeout_s=10.0)

    @routes.post("/{esp_id}/stop")
    async def stop_mock(esp_id: EspId, caller: Caller = operator) -> Mock:
        """Power off, as if it was unplugged."""
        return await call(bus, "simulator", "stop", MockId(esp_id=esp_id), Mock, caller=caller)

    @routes.post("/{esp_id}/heartbeat")
    async def send_mock_heartbeat(esp_id: EspId, caller: Caller = operator) -> Mock:
        """Send a heartbeat now; 409 (5007) when the mock has no connection."""
        return await call(bus, "simulator", "heartbeat", MockId(esp_id=esp_id), Mock, caller=caller)

    @routes.post("/{esp_id}/state")
    async def set_mock_state(esp_id: EspId, body: StateRequest, caller: Caller = operator) -> Mock:
        """Set the state of a running mock."""
        return await call(bus, "simulator", "state", SetState(esp_id=esp_id, request=body), Mock, caller=caller)

    @routes.put("/{esp_id}/faults")
    async def set_mock_faults(esp_id: EspId, body: FaultsBody, caller: Caller = operator) -> Mock:
        """Replace the faults in force; {} for none."""
        return await call(bus, "simulator", "faults", SetFaults(esp_id=esp_id, faults=body), Mock, caller=caller)

    @routes.delete("/{esp_id}/faults")
    async def clear_mock_faults(esp_id: EspId, caller: Caller = operator) -> Mock:
        """Remove all faults of the mock."""
        return await call(bus, "simulator", "faults", SetFaults(esp_id=esp_id, faults=Faults()), Mock, caller=caller)

    @routes.post("/{esp_id}/emergency")
    async def set_mock_emergency(esp_id: EspId, body: MockEmergency | None = None, caller: Caller = operator) -> Mock:
        """Press the red button at the device, or release it."""
        request = SetEmergency(esp_id=esp_id, request=body or MockEmergency())
        return await call(bus, "simulator", "emergency", request, Mock, caller=caller)


def _add_sensors(routes: APIRouter, bus: Bus, operator: Caller) -> None:
    @routes.post("/{esp_id}/sensors", status_code=201)
    async def add_mock_sensor(esp_id: EspId, body: MockSensorBody, caller: Caller = operator) -> Mock:
        """Add a sensor, or replace the one with the same gpio and type."""
        return await call(bus, "simulator", "add_sensor", AddSensor(esp_id=esp_id, sensor=body), Mock, caller=caller)

    @routes.delete("/{esp_id}/sensors/{gpio}")
    async def remove_mock_sensor(
        esp_id: EspId, gpio: Gpio, sensor_type: SensorType = None, caller: Caller = operator
    ) -> Mock:
        """Remove the sensors at a gpio, or one of them."""
        pin = MockPin(esp_id=esp_id, gpio=gpio, sensor_type=sensor_type)
        return await call(bus, "simulator", "remove_sensor", pin, Mock, caller=caller)

    @routes.post("/{esp_id}/sensors/{gpio}/value")
    async def set_mock_value(
        esp_id: EspId, gpio: Gpio, body: ValueRequest, sensor_type: SensorType = None, caller: Caller = operator
    ) -> Mock:
        """Have a sensor measure this value until the override is removed."""
        value = SensorValue(gpio=gpio, sensor_type=sensor_type, **body.model_dump())
        request = SetValues(esp_id=esp_id, request=ValuesRequest(values=[value]))
        return await call(bus, "simulator", "set_values", request, Mock, caller=caller)

    @routes.delete("/{esp_id}/sensors/{gpio}/value")
    async def clear_mock_value(
        esp_id: EspId, gpio: Gpio, sensor_type: SensorType = None, caller: Caller = operator
    ) -> Mock:
        """Let a sensor follow its pattern again."""
        pin = MockPin(esp_id=esp_id, gpio=gpio, sensor_type=sensor_type)
        return await call(bus, "simulator", "clear_value", pin, Mock, caller=caller)

    @routes.post("/{esp_id}/values")
    async def set_mock_values(esp_id: EspId, body: ValuesRequest, caller: Caller = operator) -> Mock:
        """Override several sensors, all or none."""
        request = SetValues(esp_id=esp_id, request=body)
        return await call(bus, "simulator", "set_values", request, Mock, caller=caller)


def _add_actuators(routes: APIRouter, bus: Bus, operator: Caller) -> None:
    @routes.get("/{esp_id}/actuators")
    async def list_mock_actuators(esp_id: EspId, caller: Caller = operator) -> MockActuators:
        """The actuators of a mock as the device has them."""
        return await call(bus, "simulator", "actuators", MockId(esp_id=esp_id), MockActuators, caller=caller)

    @routes.post("/{esp_id}/actuators", status_code=201)
    async def add_mock_actuator(esp_id: EspId, body: MockActuatorBody, caller: Caller = operator) -> Mock:
        """Add an actuator, or replace the one at its gpio."""
        request = AddActuator(esp_id=esp_id, actuator=body)
        return await call(bus, "simulator", "add_actuator", request, Mock, caller=caller)

    @routes.delete("/{esp_id}/actuators/{gpio}")
    async def remove_mock_actuator(esp_id: EspId, gpio: Gpio, caller: Caller = operator) -> Mock:
        """Remove an actuator."""
        return await call(bus, "simulator", "remove_actuator", MockPin(esp_id=esp_id, gpio=gpio), Mock, caller=caller)
