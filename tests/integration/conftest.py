"""Whole stacks for the system tests; the logs of a failed test's stack are attached to its report."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from browser import Person, add_user, chromium, program
from devices import new_id
from harness import Stack, wait_until
from kaiser_stack import mosquitto
from playwright.sync_api import Browser
from scheduling import line_of
from stops import end_stops

_SHARED = ("stack", "console_stack")
_HAS_FAILED = pytest.StashKey[bool]()
_LAST_ONES = pytest.StashKey[dict[Any, pytest.Item]]()
_NEXT = pytest.StashKey[pytest.Item | None]()
_OPENED = pytest.StashKey[tuple[ExitStack, Browser]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.failed:
        item.stash[_HAS_FAILED] = True
        for name, value in getattr(item, "funcargs", {}).items():
            if isinstance(value, Stack):
                report.sections.append((f"logs of {name}", value.logs()))
    return report


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test of `stack` with Mosquitto; with NATS as the broker too where the module or the test is marked."""
    given = any("stack" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "stack" in metafunc.fixturenames and not given:
        both = metafunc.definition.get_closest_marker("both_brokers")
        metafunc.parametrize("stack", ["mosquitto", "nats"] if both else ["mosquitto"], indirect=True, scope="session")


def _broker_or_skip(request: pytest.FixtureRequest, broker: str) -> None:
    if broker == "mosquitto" and not mosquitto.is_installed():
        request.getfixturevalue("missing")("mosquitto", "mosquitto is not installed")


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest, server_folder: Path) -> Iterator[Stack]:
    """A stack that many tests share: use devices of your own. `make test` gives all of them to one worker."""
    _broker_or_skip(request, request.param)
    # on a busy machine a service that was killed is away longer than the usual ten seconds for an answer, and than the
    # thirty after which Mosquitto says that it is offline
    settings = {"KAISER_MQTT_BROKER": request.param, "KAISER_COMMAND_TIMEOUT_S": "25", "KAISER_COMPAT": "1"}
    settings["KAISER_MQTT_WILL_DELAY_S"] = "600"
    stack = Stack(server_folder / f"stack-{secrets.token_hex(3)}", **settings)
    try:
        yield stack.start()
    finally:
        _end(stack)


@pytest.fixture(autouse=True)
def shared_stack_is_left_whole(request: pytest.FixtureRequest) -> Iterator[None]:
    """A process that a test killed in a shared stack works again before the next test; after the last one it ends."""
    shared = {name: request.getfixturevalue(name) for name in _SHARED if name in request.fixturenames}
    for stack in shared.values():
        if not stack.is_running:
            stack.start()
    yield
    for name, stack in shared.items():
        if _is_used_later(request.node, name):
            stack.settle()
        else:
            stack.stop()


def _is_used_later(item: pytest.Item, name: str) -> bool:
    """Whether a later test of the same line shares the stack, which when idle costs as much as a test."""
    return _last_ones(item.session)[line_of(item.nodeid), _shares(item, name)] is not item


def _last_ones(session: pytest.Session) -> dict[Any, pytest.Item]:
    """Of each line and shared stack the last test."""
    if _LAST_ONES not in session.stash:
        session.stash[_LAST_ONES] = {
            (line_of(item.nodeid), shared): item
            for item in session.items
            for name in _SHARED
            if (shared := _shares(item, name))
        }
    return session.stash[_LAST_ONES]


def _shares(item: pytest.Item, name: str) -> Any:
    """Which of the shared stacks of a name a test uses."""
    if name not in getattr(item, "fixturenames", ()):
        return None
    params = getattr(item, "callspec", None)
    return name, params.params.get(name) if params else None


@pytest.fixture
def make_stack(server_folder: Path) -> Iterator[Callable[..., Stack]]:
    """`make_stack(*command, plain=False, **environment)` prepares a stack, not started, that is ended with the test."""
    stacks: list[Stack] = []

    def make(*command: str, state_dir: Path | None = None, plain: bool = False, **environment: Any) -> Stack:
        folder = state_dir or server_folder / f"stack-{secrets.token_hex(3)}"
        stacks.append(Stack(folder, command or ("run",), plain=plain, **environment))
        return stacks[-1]

    yield make
    for stack in stacks:
        _end(stack)
    for stack in stacks:  # some have the folder of another
        stack.remove()


def _end(stack: Stack) -> None:
    """In good order if possible; by SIGKILL the kernel ends its children."""
    if stack.process and stack.process.poll() is None:
        try:
            stack.stop()
        finally:
            stack.process.kill()
            stack.process.wait(60)


@pytest.fixture(scope="session")
def console_stack(server_folder: Path) -> Iterator[Stack]:
    """A stack for the people at the console."""
    # what a page shows of rollups comes soon
    stack = Stack(server_folder / f"stack-{secrets.token_hex(3)}", KAISER_SENSOR_ROLLUP_EVERY_S="5")
    try:
        yield stack.start()
    finally:
        _end(stack)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Note which test follows; pytest goes on with it as usual."""
    item.session.stash[_NEXT] = nextitem


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A run that ends early has left a browser open for a test that does not come."""
    opened, _ = session.stash.get(_OPENED, (None, None))
    if opened is not None:
        opened.close()


@pytest.fixture(scope="module")
def browser(request: pytest.FixtureRequest, missing: Callable[..., Any]) -> Iterator[Browser]:
    """A Chromium. It stays open if the next test, of another module, uses it too: to start one costs as much as a test.
    Otherwise it is closed: while it is there, no asyncio test can run in this thread."""
    if not program():
        missing("chromium", "chromium is not installed")
    stash = request.session.stash
    opened, found = stash.get(_OPENED, (None, None))
    if opened is None or found is None or not found.is_connected():
        if opened is not None:
            opened.close()
        opened = ExitStack()
        found = opened.enter_context(chromium())
        stash[_OPENED] = opened, found
    yield found
    if "browser" not in getattr(stash.get(_NEXT, None), "fixturenames", ()):
        del stash[_OPENED]
        opened.close()


@pytest.fixture
def stops_end(console_stack: Stack) -> Iterator[None]:
    """No stop that a test has raised is in force after it, however it ended."""
    yield
    end_stops(console_stack)


@pytest.fixture
def made_rules(console_stack: Stack) -> Iterator[list[str]]:
    """The ids of the rules of a test; they are deleted after it, however it ended."""
    made: list[str] = []
    yield made
    if made:
        with console_stack.sign_in() as rest:
            for rule_id in made:
                rest.delete(f"/api/v1/logic/rules/{rule_id}")


@pytest.fixture
def made_mocks(console_stack: Stack) -> Iterator[list[str]]:
    """The mocks of a test; they are deleted once nobody looks at them any more."""
    made: list[str] = []
    yield made
    if made:
        with console_stack.sign_in() as rest:
            for esp_id in made:
                rest.delete(f"/api/v1/debug/mock-esp/{esp_id}")


@pytest.fixture
def make_person(browser: Browser, console_stack: Stack, made_mocks: list[str]) -> Iterator[Callable[..., Person]]:
    """`make_person(width=1440, colours="light")`: somebody not signed in yet; no page may have had an error."""
    people: list[Person] = []

    def make(**options: Any) -> Person:
        people.append(Person(browser, console_stack, **options))
        return people[-1]

    yield make
    for person in people:
        person.leave()
    assert [trouble for person in people for trouble in person.troubles] == []


@pytest.fixture(scope="module")
def windows(browser: Browser) -> Iterator[list[Person]]:
    """The administrator's window, once a test of the module has opened it."""
    found: list[Person] = []
    yield found
    for person in found:
        person.leave()


@pytest.fixture
def operator(
    request: pytest.FixtureRequest,
    browser: Browser,
    console_stack: Stack,
    made_mocks: list[str],
    windows: list[Person],
) -> Iterator[Person]:
    """The administrator, signed in; no page may have had an error.

    The tests of a module use one window, each after a reload: to open it and sign in costs a test's time. After a test
    that failed it is a new one.
    """
    if windows:
        windows[0].begin_again()
    else:
        windows.append(Person(browser, console_stack).sign_in())
    person = windows[0]
    yield person
    troubles = person.troubles
    if troubles or request.node.stash.get(_HAS_FAILED, False):
        windows.remove(person)
        person.leave()
    assert troubles == []


@pytest.fixture
def viewer(make_person: Callable[..., Person], console_stack: Stack) -> Person:
    """Somebody who may only look, signed in."""
    add_user(console_stack, "vera", "only looking", "viewer")
    return make_person().sign_in("vera", "only looking")


@pytest.fixture
def mock(console_stack: Stack, made_mocks: list[str]) -> str:
    """A running mock device with a thermometer on gpio 4 and a pump on gpio 25, which is set up."""
    esp_id = new_id()
    sensor = {"gpio": 4, "sensor_type": "DS18B20", "base_value": 22.5, "unit": "°C", "interval_s": 0.5}
    pump = {"gpio": 25, "actuator_type": "pump"}
    body = {"esp_id": esp_id, "firmware": "b", "sensors": [sensor], "actuators": [pump]}
    with console_stack.sign_in() as rest:
        assert rest.post("/api/v1/debug/mock-esp", json=body).status_code == 201
        url = f"/api/v1/actuators/{esp_id}/25"
        settings = {"actuator_type": "pump", "name": f"Pump {esp_id[-4:]}"}
        wait_until(lambda: rest.get(url).status_code == 200, "the pump was reported")
        assert rest.put(url, json=settings).status_code == 200
        boots = f"/api/v1/debug/mock-esp/{esp_id}"
        wait_until(lambda: rest.get(boots).json()["state"] == "OPERATIONAL", "the mock has booted")
    made_mocks.append(esp_id)
    return esp_id
