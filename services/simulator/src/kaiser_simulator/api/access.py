"""Finding, changing and showing a mock on behalf of a caller."""

from kaiser_common.bus.rpc import RpcError
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.api.mock import Mock

from kaiser_simulator.domain.device import MockDevice
from kaiser_simulator.domain.views import to_mock
from kaiser_simulator.store.changes import Change, Clock, Mocks


class Access:
    """The resources of every handler; refusals are RpcErrors."""

    def __init__(self, mocks: Mocks, clock: Clock) -> None:
        self._mocks = mocks
        self._clock = clock

    def found(self, esp_id: str) -> MockDevice:
        """The mock. 404 (5001) if there is none."""
        device = self._mocks.world.get(esp_id)
        if device is None:
            raise RpcError(404, Code.ESP_DEVICE_NOT_FOUND, f"no mock {esp_id}", "esp_id")
        return device

    async def changed(self, esp_id: str, change: Change) -> Mock:
        """The mock after a change, which is in the table by then."""
        self.found(esp_id)
        await self._mocks.change(esp_id, change)
        return self.view(self.found(esp_id))

    def check(self, device: MockDevice) -> None:
        """422 where a sensor's pattern cannot be made."""
        try:
            self._mocks.world.check(device)
        except ValueError as error:
            raise RpcError(422, Code.VALUE_OUT_OF_RANGE, str(error), "variation_pattern") from error

    def view(self, device: MockDevice, *, brief: bool = False) -> Mock:
        """The mock as the API shows it; `brief` without its CSVs."""
        return to_mock(device, self._mocks.world.record(device.esp_id), self._clock(), brief=brief)
