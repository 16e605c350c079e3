"""The simulator as a process on real servers, with health played by the test."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import forked
import psycopg
import pytest
from answering import Method, serve
from kaiser_common.bus.connection import Bus, connect
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.devices import Device, DeviceId, RegisterDevice
from kaiser_common.contract.subjects import SIMULATOR_LEASE_BUCKET
from leases import end_lease
from waiting import until as wait_until

TESTER = Caller(user="ada", role="operator")


class FakeHealth:
    """Answers for the registry: what is registered is in `devices`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.devices: dict[str, RegisterDevice] = {}

    async def _register(self, request: RegisterDevice, caller: Caller) -> Device:
        if request.esp_id in self.devices:
            raise RpcError(409, 5208, f"{request.esp_id} is registered already")
        self.devices[request.esp_id] = request
        fields = request.model_dump(include={"esp_id", "kaiser_id", "name", "hardware_type", "zone_id"})
        return Device(**fields, state="approved", online=False, created_at=0)

    async def _delete(self, request: DeviceId, caller: Caller) -> Nothing:
        if self.devices.pop(request.esp_id, None) is None:
            raise RpcError(404, 5001, f"no device {request.esp_id}")
        return Nothing()

    @asynccontextmanager
    async def there(self) -> AsyncIterator["FakeHealth"]:
        """While the context is open it answers."""
        methods: dict[str, Method] = {
            "register_mock": Method(RegisterDevice, self._register),
            "delete_mock": Method(DeviceId, self._delete),
        }
        async with serve(self._bus, "health", methods):
            yield self


@pytest.fixture
def start(bus_settings, database, free_port) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """`start()` starts a simulator on an empty table; its `metrics_port` is set on the process."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("TRUNCATE simulator.mocks")
    running = []

    def start(**environment: str) -> subprocess.Popen[bytes]:
        if running and running[-1].poll() == -signal.SIGKILL:
            end_lease(bus_settings.nats_address, "simulator", SIMULATOR_LEASE_BUCKET)
        port = free_port()
        process = forked.Popen(
            ["kaiser-simulator"],
            env={
                **os.environ,
                "KAISER_NATS_URL": bus_settings.nats_address,
                "KAISER_DATABASE_URL": database,
                "KAISER_METRICS_PORT": str(port),
                **environment,
            },
        )
        process.metrics_port = port  # type: ignore[attr-defined]
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGKILL)


@pytest.fixture
async def bus(bus_settings) -> AsyncIterator[Bus]:
    async with connect(bus_settings, "test") as bus:
        yield bus


@pytest.fixture
def health(bus) -> FakeHealth:
    return FakeHealth(bus)


@pytest.fixture
def make_health() -> type[FakeHealth]:
    """`make_health(bus)` for a bus of the test's own."""
    return FakeHealth


@pytest.fixture
def ask(bus) -> Callable[..., Any]:
    """`ask(method, request, answer)` asks the simulator, waiting up to 60 s for it to come up."""

    async def ask(method: str, request: Any, answer: type[Any]) -> Any:
        deadline = time.monotonic() + 60
        while True:
            try:
                return await call(bus, "simulator", method, request, answer, caller=TESTER, timeout_s=30.0)
            except RpcError as error:
                if error.problem.status != 504 or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.05)

    return ask


@pytest.fixture
def until() -> Callable[..., Any]:
    """`until(condition, what)` waits until a condition is true, and gives its answer."""
    return wait_until
