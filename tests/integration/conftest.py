"""Whole stacks for the system tests; the logs of a failed test's stack are attached to its report."""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Stack
from kaiser_stack import mosquitto


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            if isinstance(value, Stack):
                report.sections.append((f"logs of {name}", value.logs()))
    return report


def _broker_or_skip(request: pytest.FixtureRequest, broker: str) -> None:
    if broker == "mosquitto" and not mosquitto.is_installed():
        request.getfixturevalue("missing")("mosquitto", "mosquitto is not installed")


@pytest.fixture(scope="session", params=["mosquitto", "nats"])
def stack(request: pytest.FixtureRequest, server_folder: Path) -> Iterator[Stack]:
    """A stack that many tests share, with each MQTT broker in turn: use devices of your own."""
    _broker_or_skip(request, request.param)
    stack = Stack(server_folder / f"stack-{secrets.token_hex(3)}", KAISER_MQTT_BROKER=request.param)
    try:
        yield stack.start()
    finally:
        _end(stack)


@pytest.fixture
def make_stack(server_folder: Path) -> Iterator[Callable[..., Stack]]:
    """`make_stack(*command, **environment)` prepares a stack, not started, that is ended with the test."""
    stacks: list[Stack] = []

    def make(*command: str, state_dir: Path | None = None, **environment: Any) -> Stack:
        folder = state_dir or server_folder / f"stack-{secrets.token_hex(3)}"
        stacks.append(Stack(folder, command or ("run",), **environment))
        return stacks[-1]

    yield make
    for stack in stacks:
        _end(stack)


def _end(stack: Stack) -> None:
    """In good order if possible; by SIGKILL the kernel ends its children."""
    if stack.process and stack.process.poll() is None:
        try:
            stack.stop()
        finally:
            stack.process.kill()
            stack.process.wait(10)
