"""A PostgreSQL server with a standby by streaming replication, as an operator would lay them out."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
from harness import wait_until
from kaiser_stack.postgres import DATABASE, USER, Postgres
from kaiser_stack.private import PrivateServer

_PROMOTED_WITHIN_S = 60


class Pair:
    """The primary commits once the standby has a transaction on disk (synchronous_commit on, one standby named)."""

    def __init__(self, primary: PrivateServer[Postgres], standby: PrivateServer[Postgres]) -> None:
        self.primary = primary
        self.standby = standby

    @property
    def url(self) -> str:
        """Both servers; a client takes the one that writes."""
        hosts = ",".join(str(one.server.socket_folder) for one in (self.primary, self.standby))
        return f"postgresql://{USER}@/{DATABASE}?host={hosts}&port=5432,5432&target_session_attrs=read-write"

    def is_in_step(self) -> bool:
        """Whether commits wait for the standby."""
        with psycopg.connect(self.primary.server.url("postgres"), connect_timeout=5) as connection:
            found = connection.execute("SELECT sync_state FROM pg_stat_replication").fetchall()
        return found == [("sync",)]

    def promote(self) -> None:
        """Have the standby write. The primary must be dead: two that write would be two truths."""
        with psycopg.connect(self.standby.server.url("postgres"), autocommit=True, connect_timeout=5) as connection:
            answer = connection.execute("SELECT pg_promote(true, %s)", [_PROMOTED_WITHIN_S]).fetchone()
        assert answer == (True,)


@contextmanager
def pair(folder: Path) -> Iterator[Pair]:
    """Both servers, started and in step; they are killed at the end."""
    primary = PrivateServer(Postgres(folder / "primary", shared_buffers="64MB"), folder / "primary.log")
    standby = PrivateServer(Postgres(folder / "standby", shared_buffers="64MB"), folder / "standby.log")
    both = Pair(primary, standby)
    try:
        primary.start()
        _copy(primary.server, standby.server)
        standby.start()
        _run(primary.server, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        _run(primary.server, "SELECT pg_reload_conf()")
        wait_until(both.is_in_step, "the primary waits for the standby")
        yield both
    finally:
        for server in (primary, standby):
            server.kill()


def _copy(primary: Postgres, standby: Postgres) -> None:
    """A base backup that follows the primary once it is started."""
    program = replace(primary).prepare()
    account = program.account
    standby.home.mkdir(parents=True)
    if account:
        account.own(standby.home)
    command = [str(Path(program.command[0]).with_name("pg_basebackup")), "-h", str(primary.socket_folder), "-U", USER]
    subprocess.run(
        [*command, "-D", str(standby.home / "data"), "--write-recovery-conf", "--checkpoint=fast"],
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        cwd="/",
        check=True,
        timeout=120,
    )
    (standby.home / "initialised").touch()


def _run(server: Postgres, statement: str) -> None:
    with psycopg.connect(server.url("postgres"), autocommit=True, connect_timeout=5) as connection:
        connection.execute(statement)
