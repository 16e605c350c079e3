"""Requests about the mock factory."""

import structlog
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.errors import Code
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.mock_factory import CreateMockFactory, MockFactory, MockFactoryFaults

from kaiser_simulator.domain.plant.building import faults_of, to_mock_factory
from kaiser_simulator.jobs.factory import MockFactoryRunner, RunningFactory

log = structlog.get_logger()


class MockFactoryApi:
    """The handlers. There is a mock factory in environments of kind mock alone."""

    def __init__(self, runner: MockFactoryRunner) -> None:
        self._runner = runner

    async def read(self, request: Nothing, caller: Caller) -> MockFactory:
        """The mock factory that runs. 404 (5001): there is none."""
        return _view(self._found())

    async def create(self, request: CreateMockFactory, caller: Caller) -> MockFactory:
        """Make the mock factory. 409 (5405) in an environment of another kind, 409 (5208) where there is one."""
        environment = self._runner.environment
        if environment is None:
            raise RpcError(409, Code.PERMISSION_DENIED, "no ingest speaks the factory's dialect: see docs/factory.md")
        if environment.kind != "mock":
            text = f"the environment {environment.env} is of kind {environment.kind}: switch to one of kind mock first"
            raise RpcError(409, Code.PERMISSION_DENIED, text)
        if self._runner.loaded != environment:
            raise RpcError(503, Code.DEPENDENCY_MISSING, "the environment was entered just now: try again")
        if self._runner.running is not None:
            raise RpcError(409, Code.DUPLICATE_ENTRY, "a mock factory exists already: remove it first")
        try:
            await self._runner.create(environment, request)
        except ValueError as error:
            raise RpcError(422, Code.VALUE_OUT_OF_RANGE, str(error)) from error
        log.info("mock_factory_created", env=environment.env, user=caller.user)
        return _view(self._found())

    async def faults(self, request: MockFactoryFaults, caller: Caller) -> MockFactory:
        """Put other faults in the place of those in force."""
        running = self._found()
        try:
            await running.set_faults(faults_of(running.plant, request))
        except ValueError as error:
            raise RpcError(422, Code.VALUE_OUT_OF_RANGE, str(error)) from error
        return _view(running)

    async def delete(self, request: Nothing, caller: Caller) -> Nothing:
        """Switch it off and remove it; what it sent stays stored."""
        self._found()
        await self._runner.delete()
        log.info("mock_factory_deleted", user=caller.user)
        return Nothing()

    def _found(self) -> RunningFactory:
        running = self._runner.running
        if running is None:
            raise RpcError(404, Code.ESP_DEVICE_NOT_FOUND, "there is no mock factory in the environment in force")
        return running


def _view(running: RunningFactory) -> MockFactory:
    return to_mock_factory(running.plant, *running.place)
