"""Whole stacks for the system tests; the logs of a failed test's stack are attached to its report."""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Person, add_user, chromium, program
from harness import Stack
from kaiser_stack import mosquitto
from playwright.sync_api import Browser


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


@pytest.fixture(scope="module")
def console_stack(server_folder: Path) -> Iterator[Stack]:
    """A stack for the people at the console of one module."""
    stack = Stack(server_folder / f"stack-{secrets.token_hex(3)}")
    try:
        yield stack.start()
    finally:
        _end(stack)


@pytest.fixture(scope="module")
def browser(missing: Callable[..., Any]) -> Iterator[Browser]:
    """A Chromium, ended with the module: while it is there, no asyncio test can run in this thread."""
    if not program():
        missing("chromium", "chromium is not installed")
    with chromium() as started:
        yield started


@pytest.fixture
def make_person(browser: Browser, console_stack: Stack) -> Iterator[Callable[..., Person]]:
    """`make_person(width=1440, colours="light")`: somebody not signed in yet; no page may have had an error."""
    people: list[Person] = []

    def make(**options: Any) -> Person:
        people.append(Person(browser, console_stack, **options))
        return people[-1]

    yield make
    for person in people:
        person.leave()
    assert [trouble for person in people for trouble in person.troubles] == []


@pytest.fixture
def operator(make_person: Callable[..., Person]) -> Person:
    """The administrator, signed in."""
    return make_person().sign_in()


@pytest.fixture
def viewer(make_person: Callable[..., Person], console_stack: Stack) -> Person:
    """Somebody who may only look, signed in."""
    add_user(console_stack, "vera", "only looking", "viewer")
    return make_person().sign_in("vera", "only looking")
