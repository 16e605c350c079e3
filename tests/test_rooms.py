"""Every service has the same rooms (docs/architecture.md): nothing else lies at the top of its package."""

from pathlib import Path

import pytest

SERVICES = Path(__file__).parents[1] / "services"

ROOMS = {"__init__", "app", "handlers", "settings", "metrics", "consumers", "api", "jobs", "domain", "store", "publish"}
MORE_ROOMS: dict[str, set[str]] = {
    "sensor": {"libraries"},
    "ingest": {"mqtt"},
    "simulator": {"patterns"},
    "websocket-gateway": {"http", "ws", "console"},
}
NOT_ROOMS = {"migrations", "__pycache__"}

SERVICE_NAMES = sorted(path.parent.name for path in SERVICES.glob("*/pyproject.toml"))
MOST_LINES_OF_APP = 60


def package(service: str) -> Path:
    (found,) = (SERVICES / service / "src").iterdir()
    return found


@pytest.mark.parametrize("service", SERVICE_NAMES)
def test_a_service_has_the_rooms_and_nothing_else(service):
    found = {path.stem if path.suffix == ".py" else path.name for path in package(service).iterdir()} - NOT_ROOMS
    assert found <= ROOMS | MORE_ROOMS.get(service, set())
    assert {"app", "handlers", "settings", "metrics", "domain", "store"} <= found


@pytest.mark.parametrize("service", SERVICE_NAMES)
def test_app_is_wiring_only(service):
    lines = (package(service) / "app.py").read_text().splitlines()
    assert len(lines) <= MOST_LINES_OF_APP


@pytest.mark.parametrize("service", SERVICE_NAMES)
def test_each_room_says_in_one_sentence_what_it_holds(service):
    for init in package(service).rglob("__init__.py"):
        assert init.read_text().startswith('"""'), init
