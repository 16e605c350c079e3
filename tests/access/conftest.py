"""Secrets and secured servers for the tests of this folder."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import secured
from kaiser_deploy import secret_files
from secured import Secured


@pytest.fixture(scope="session")
def secrets_folder(server_folder: Path) -> Path:
    """The folder that `make secrets` makes."""
    folder = server_folder / "secrets"
    secret_files.make(folder)
    return folder


@pytest.fixture(scope="session")
def bus(server_folder: Path, secrets_folder: Path, free_port: Callable[[], int]) -> Iterator[Secured]:
    """The bus as compose runs it, with nothing declared on it yet."""
    with secured.nats_server(server_folder / "bus", secrets_folder, free_port(), free_port()) as server:
        yield server


@pytest.fixture(scope="session")
def broker(
    server_folder: Path, secrets_folder: Path, free_port: Callable[[], int], missing: Callable[[str, str], None]
) -> Iterator[Secured]:
    """The MQTT broker as compose runs it."""
    from kaiser_stack import mosquitto

    if not mosquitto.is_installed():
        missing("mosquitto", "mosquitto is not installed")
    with secured.mosquitto(server_folder / "broker", secrets_folder, free_port()) as server:
        yield server
