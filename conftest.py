"""Real servers for the tests: private, on free ports, with their data in a temporary folder, ended whatever happens.

Session-wide servers are shared, so a test that kills one starts it again; `nats_factory` and its siblings give a test a
server of its own. What is not installed skips the tests that need it, and fails them where KAISER_TEST_REQUIRE
(a comma-separated list, such as `mosquitto,chromium`) says that it must be there.
"""

import asyncio
import gc
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import certifi
import hypothesis
import nats
import prepared
import psycopg
import pytest
from kaiser_common.bus.connection import connect
from kaiser_common.bus.declare import apply
from kaiser_common.contract.subjects import CONSUMERS
from kaiser_common.migrate.command import migrate_database
from kaiser_common.runtime.settings import CommonSettings
from kaiser_stack import mosquitto as mosquitto_program
from kaiser_stack.mosquitto import Mosquitto
from kaiser_stack.nats import Nats
from kaiser_stack.ports import LOOPBACK
from kaiser_stack.postgres import Postgres
from kaiser_stack.private import PrivateServer
from own_children import guard, temporary_folder
from own_ports import own_ports
from scheduling import is_long, line_of
from xdist.scheduler import LoadFileScheduling

pytest_plugins = ["database_levels", "promises"]

gc.disable()  # until everything is collected: nothing of what imports make is garbage

_TEMPLATE = "kaiser_template"
_SERVERS = {"server_folder", "free_port", "storage", "make_server_database", "mqtt_broker"}
_WHOLE_SYSTEM = "tests/"

hypothesis.settings.register_profile("short", max_examples=25, derandomize=True, database=None, deadline=None)
hypothesis.settings.register_profile("long", max_examples=500, deadline=None)
hypothesis.settings.register_profile("clocks", max_examples=3, derandomize=True, database=None, deadline=None)
hypothesis.settings.load_profile("long" if os.environ.get("KAISER_TEST_LONG") else "short")


class ByStack(LoadFileScheduling):
    """Gives a worker whole lines of tests."""

    def _split_scope(self, nodeid: str) -> str:
        return line_of(nodeid)


def pytest_configure(config: pytest.Config) -> None:
    """Killed, a run leaves no process behind, and neither does one of its workers."""
    guard("PYTEST_WORKER_OF_CHILD" if hasattr(config, "workerinput") else "PYTEST_RUN_OF_CHILD")
    if getattr(config.option, "tx", None):
        gc.enable()  # in the process that hands out the tests and collects none
    _share_a_folder()
    _trust_one_authority()


def _share_a_folder() -> None:
    """Have this run's workers share a folder, which PostgreSQL's account can reach."""
    if prepared.SHARED not in os.environ:
        folder = temporary_folder()
        folder.chmod(0o711)
        os.environ[prepared.SHARED] = str(folder)


def _trust_one_authority() -> None:
    """Have this run and its children read one authority's certificate instead of all of them for each HTTP client.

    That took 70 ms of the processor each. A test that speaks TLS names the authority that it trusts.
    """
    if "SSL_CERT_FILE" not in os.environ:
        first, end, _ = Path(certifi.where()).read_text().partition("-----END CERTIFICATE-----\n")
        file = Path(os.environ[prepared.SHARED]) / "authority.pem"
        file.write_text(first + end)
        os.environ["SSL_CERT_FILE"] = str(file)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need a server or a process of its own, and the files with a browser, by what leads to them;
    the longest lines come first."""
    with_a_browser = {item.path for item in items if "browser" in getattr(item, "fixturenames", ())}
    for item in items:
        if item.path in with_a_browser:
            item.add_marker(pytest.mark.browser)
        if not _SERVERS.isdisjoint(getattr(item, "fixturenames", ())) or item.nodeid.startswith(_WHOLE_SYSTEM):
            item.add_marker(pytest.mark.servers)
    items.sort(key=lambda item: not is_long(item.nodeid))


def pytest_collection_finish() -> None:
    """Spare the garbage collector what stays to the end: modules, models and tests, a million objects."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByStack:
    """A stack takes ten seconds to start, so no two workers start the same."""
    return ByStack(config, log)


class NatsServer(PrivateServer[Nats]):
    """A NATS server; `mqtt_host`, `mqtt_port` where it has an MQTT listener."""

    @property
    def url(self) -> str:
        """Address of the bus."""
        return self.server.url

    host = LOOPBACK

    @property
    def port(self) -> int:
        """Port of MQTT if it listens to that, else of the bus."""
        return self.server.mqtt_port or self.server.port


class MosquittoServer(PrivateServer[Mosquitto]):
    """A Mosquitto broker."""

    host = LOOPBACK

    @property
    def port(self) -> int:
        """Port of MQTT."""
        return self.server.port


class PostgresServer(PrivateServer[Postgres]):
    """A PostgreSQL server."""

    @property
    def url(self) -> str:
        """URI of its first, empty database."""
        return self.server.url()

    def database_url(self, database: str) -> str:
        """URI of one of its databases."""
        return self.server.url(database)

    def execute(self, statement: str) -> None:
        """Run one statement outside of a transaction."""
        with psycopg.connect(self.server.url("postgres"), autocommit=True, connect_timeout=5) as connection:
            connection.execute(statement)

    def has(self, database: str) -> bool:
        """Whether there is a database of that name."""
        with psycopg.connect(self.server.url("postgres"), connect_timeout=5) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
        return found is not None


ServerT = TypeVar("ServerT", NatsServer, MosquittoServer, PostgresServer)


def required(part: str) -> bool:
    """Whether a missing part fails the tests that need it."""
    return part in os.environ.get("KAISER_TEST_REQUIRE", "").replace(" ", "").split(",")


def missing(part: str, reason: str) -> NoReturn:
    """Skip the test, or fail it where the part is required."""
    if required(part):
        pytest.fail(f"{reason}, and KAISER_TEST_REQUIRE says that {part} must be there")
    pytest.skip(reason)


@pytest.fixture(scope="session", name="missing")
def missing_fixture() -> Callable[[str, str], NoReturn]:
    """`missing(part, reason)` skips the test, or fails it where the part is required."""
    return missing


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder for servers' data, short enough for unix sockets and open to PostgreSQL's account."""
    folder = temporary_folder()
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """`free_port()` gives a port that nobody listens on."""
    return own_ports().take


@contextmanager
def _starter(folder: Path, kind: type[ServerT], build: Callable[..., Any]) -> Iterator[Callable[..., ServerT]]:
    """A function that starts servers; each that it started is ended at the end."""
    with ExitStack() as started:

        def start(**options: Any) -> ServerT:
            home = folder / secrets.token_hex(4)
            server = kind(build(home, **options), home / "log")
            started.callback(server.kill)
            server.start()
            return server

        yield start


def _nats(home: Path, *, mqtt: bool = False) -> Nats:
    return Nats(home, own_ports().take(), own_ports().take() if mqtt else None)


def _mosquitto(home: Path) -> Mosquitto:
    if not mosquitto_program.is_installed():
        missing("mosquitto", "mosquitto is not installed")
    return Mosquitto(home, own_ports().take())


def _postgres(home: Path) -> Postgres:
    prepared.database(home, _initialise)
    return _undurable(home)


def _undurable(home: Path) -> Postgres:
    return Postgres(home, shared_buffers="64MB", durable=False)


def _initialise(home: Path) -> None:
    """Make a cluster with a database in which every installed service's migrations have run."""
    server = PostgresServer(_undurable(home), home.with_suffix(".log"))
    server.start()
    try:
        _migrate(server)
    finally:
        server.stop()


def _migrate(server: PostgresServer) -> None:
    server.execute(f"CREATE DATABASE {_TEMPLATE}")
    migrate_database(CommonSettings(database_url=server.database_url(_TEMPLATE)))


@pytest.fixture
def nats_factory(server_folder: Path) -> Iterator[Callable[..., NatsServer]]:
    """`nats_factory(mqtt=False)` starts a NATS server that lives as long as the test."""
    with _starter(server_folder, NatsServer, _nats) as start:
        yield start


@pytest.fixture
def mosquitto_factory(server_folder: Path) -> Iterator[Callable[..., MosquittoServer]]:
    """`mosquitto_factory()` starts a Mosquitto broker that lives as long as the test."""
    with _starter(server_folder, MosquittoServer, _mosquitto) as start:
        yield start


@pytest.fixture
def postgres_factory(server_folder: Path) -> Iterator[Callable[..., PostgresServer]]:
    """`postgres_factory()` starts a PostgreSQL server, with an empty database, that lives as long as the test."""
    with _starter(server_folder, PostgresServer, _postgres) as start:
        yield start


@pytest.fixture(scope="session")
def nats_server(server_folder: Path) -> Iterator[NatsServer]:
    """The session's NATS server: `url`, `kill()`, `stop()`, `start()`."""
    with _starter(server_folder, NatsServer, _nats) as start:
        yield start()


@pytest.fixture(scope="session")
def nats_mqtt(server_folder: Path) -> Iterator[NatsServer]:
    """A NATS server that is an MQTT 3.1.1 broker too: `host`, `port` of MQTT, `url` of the bus."""
    with _starter(server_folder, NatsServer, _nats) as start:
        yield start(mqtt=True)


@pytest.fixture(scope="session")
def mosquitto(server_folder: Path) -> Iterator[MosquittoServer]:
    """The session's Mosquitto: `host`, `port`, `kill()`, `stop()`, `start()`."""
    with _starter(server_folder, MosquittoServer, _mosquitto) as start:
        yield start()


@pytest.fixture(scope="session")
def postgres_server(server_folder: Path) -> Iterator[PostgresServer]:
    """The session's PostgreSQL: `url` of an empty database, `kill()`, `stop()`, `start()`."""
    with _starter(server_folder, PostgresServer, _postgres) as start:
        yield start()


@pytest.fixture(params=["mosquitto", "nats"])
def mqtt_broker(request: pytest.FixtureRequest) -> MosquittoServer | NatsServer:
    """Both MQTT brokers, one after the other: `host`, `port`."""
    return request.getfixturevalue("mosquitto" if request.param == "mosquitto" else "nats_mqtt")


@pytest.fixture(scope="session")
def migrated_template(postgres_server: PostgresServer) -> str:
    """Name of a database in which every installed service's migrations have run; copies of it cost milliseconds."""
    if not postgres_server.has(_TEMPLATE):
        _migrate(postgres_server)
    return _TEMPLATE


@pytest.fixture(scope="session")
def make_database(postgres_server: PostgresServer, migrated_template: str) -> Callable[[], str]:
    """`make_database()` gives the URI of a fresh, migrated database; it lives as long as the session's server."""

    def make() -> str:
        name = f"test_{secrets.token_hex(6)}"
        # Copying files takes half the processor's time of copying pages through the log.
        postgres_server.execute(f"CREATE DATABASE {name} TEMPLATE {migrated_template} STRATEGY FILE_COPY")
        return postgres_server.database_url(name)

    return make


@pytest.fixture(scope="module")
def database(make_database: Callable[[], str]) -> str:
    """URI of a migrated database for the tests of one module."""
    return make_database()


@pytest.fixture
def bus_settings(nats_server: NatsServer) -> CommonSettings:
    """Settings of a bus on which every stream, consumer and bucket is declared anew, so it is empty."""
    settings = CommonSettings(nats_url=nats_server.url)
    asyncio.run(_declare_anew(settings))
    return settings


async def _declare_anew(settings: CommonSettings) -> None:
    """Delete every stream that was written to or whose consumers are not the declared ones, and declare those anew."""
    client = await nats.connect(settings.nats_address)
    jetstream = client.jetstream()
    for stream in await jetstream.streams_info():
        name = stream.config.name
        declared = sum(consumer.stream == name for consumer in CONSUMERS)
        if stream.state.last_seq or stream.state.consumer_count != declared:
            await jetstream.delete_stream(name)
    await client.close()
    async with connect(settings, "tests") as bus:
        await apply(bus)
