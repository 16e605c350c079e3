"""The mock factory, answered by the simulator."""

from fastapi import APIRouter
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, call
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.mock_factory import CreateMockFactory, MockFactory, MockFactoryFaults

from kaiser_gateway.http.auth import Guard

_WITHIN_S = 10.0


def router(bus: Bus, guard: Guard) -> APIRouter:
    """/api/v1/debug/mock-factory."""
    routes = APIRouter(prefix="/api/v1/debug/mock-factory", tags=["mock factory"])
    operator = guard.needs("operator")

    @routes.get("")
    async def read_mock_factory(caller: Caller = operator) -> MockFactory:
        """The mock factory that runs; 404 (5001) where there is none."""
        return await call(bus, "simulator", "factory", Nothing(), MockFactory, caller=caller)

    @routes.post("", status_code=201)
    async def create_mock_factory(body: CreateMockFactory, caller: Caller = operator) -> MockFactory:
        """Create a mock factory of modules, AGVs and a central control; it runs immediately. Only in an environment of
        kind mock (409, 5405), and one at a time (409, 5208)."""
        return await call(bus, "simulator", "create_factory", body, MockFactory, caller=caller, timeout_s=_WITHIN_S)

    @routes.put("/faults")
    async def set_mock_factory_faults(body: MockFactoryFaults, caller: Caller = operator) -> MockFactory:
        """Replace the faults in force; {} for none."""
        return await call(bus, "simulator", "factory_faults", body, MockFactory, caller=caller, timeout_s=_WITHIN_S)

    @routes.delete("", status_code=204)
    async def delete_mock_factory(caller: Caller = operator) -> None:
        """Switch the mock factory off and remove it; what it sent stays stored."""
        await call(bus, "simulator", "delete_factory", Nothing(), Nothing, caller=caller, timeout_s=_WITHIN_S)

    return routes
