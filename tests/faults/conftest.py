"""The stacks that the trials torment, and where their verdicts go."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import ROOT, Stack
from kaiser_stack import mosquitto
from trial import SETTINGS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.faults)
            item.add_marker(pytest.mark.timeout(900))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            if isinstance(value, Stack):
                report.sections.append((f"logs of {name}", value.logs()))
    return report


@pytest.fixture(scope="session")
def full() -> bool:
    """Whether the long form is asked for: FAULTS=full."""
    return os.environ.get("FAULTS", "short") == "full"


@pytest.fixture(scope="session")
def seed() -> int:
    """Of everything that is drawn by chance: FAULTS_SEED, else a new one."""
    return int(os.environ.get("FAULTS_SEED", "0")) or secrets.randbelow(1_000_000) + 1


@pytest.fixture
def long_form_with_nats(stack: Stack, full: bool) -> None:
    """Skips in the short form where NATS is the broker: Mosquitto's trials have shown it."""
    if not full and stack.environment["KAISER_MQTT_BROKER"] == "nats":
        pytest.skip("only in the long form: make faults")


@pytest.fixture(scope="session")
def verdicts() -> Path:
    """Folder of the verdict files."""
    folder = ROOT / ".faults"
    folder.mkdir(exist_ok=True)
    return folder


def _stack(folder: Path, broker: str) -> Iterator[Stack]:
    stack = Stack(folder / f"faults-{secrets.token_hex(3)}", KAISER_MQTT_BROKER=broker, **SETTINGS)
    try:
        yield stack.start()
    finally:
        if stack.process and stack.process.poll() is None:
            try:
                stack.stop()
            finally:
                stack.process.kill()
                stack.process.wait(10)


@pytest.fixture(scope="session", params=["mosquitto", "nats"])
def stack(request: pytest.FixtureRequest, server_folder: Path) -> Iterator[Stack]:
    """A stack that many trials share, with each MQTT broker in turn."""
    if request.param == "mosquitto" and not mosquitto.is_installed():
        request.getfixturevalue("missing")("mosquitto", "mosquitto is not installed")
    yield from _stack(server_folder, request.param)
