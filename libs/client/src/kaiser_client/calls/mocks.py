"""Mock devices: make them, switch them, and inject faults."""

from kaiser_common.contract.schemas.api.mock import CreateMock, FaultsBody, Mock, MocksPage

from kaiser_client.call import Call

_ALL = "/api/v1/debug/mock-esp"
_ONE = f"{_ALL}/{{esp_id}}"


def list_mocks(*, limit: int | None = None, cursor: str | None = None) -> Call[MocksPage]:
    """Mock devices, by id."""
    return Call("GET", _ALL, MocksPage, query={"limit": limit, "cursor": cursor})


def create_mock(mock: CreateMock) -> Call[Mock]:
    """Create a mock device and register it."""
    return Call("POST", _ALL, Mock, body=mock)


def read_mock(esp_id: str) -> Call[Mock]:
    """One mock device, with what it measured last."""
    return Call("GET", _ONE, Mock, {"esp_id": esp_id})


def delete_mock(esp_id: str) -> Call[None]:
    """Remove a mock device, from the registry too; its data stays stored."""
    return Call("DELETE", _ONE, type(None), {"esp_id": esp_id})


def start_mock(esp_id: str) -> Call[Mock]:
    """Power on."""
    return Call("POST", f"{_ONE}/start", Mock, {"esp_id": esp_id})


def stop_mock(esp_id: str) -> Call[Mock]:
    """Power off, as if it was unplugged."""
    return Call("POST", f"{_ONE}/stop", Mock, {"esp_id": esp_id})


def set_mock_faults(esp_id: str, faults: FaultsBody) -> Call[Mock]:
    """Replace the faults in force."""
    return Call("PUT", f"{_ONE}/faults", Mock, {"esp_id": esp_id}, body=faults)


def clear_mock_faults(esp_id: str) -> Call[Mock]:
    """Remove all faults."""
    return Call("DELETE", f"{_ONE}/faults", Mock, {"esp_id": esp_id})
