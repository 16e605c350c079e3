"""The servers as the stack configures them: what they have acknowledged is there after a SIGKILL."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nats
import psycopg
import pytest
from kaiser_stack.process import Child, Program, end_recorded, recorded, started_at, write_pid_file

SLEEP = Program("sleeper", (sys.executable, "-c", "import time; time.sleep(600)"))
STUBBORN = Program(
    "stubborn",
    (
        sys.executable,
        "-c",
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
    ),
)


async def test_nats_keeps_what_it_acknowledged_over_a_sigkill(nats_factory):
    server = nats_factory()
    client = await nats.connect(server.url)
    jetstream = client.jetstream()
    await jetstream.add_stream(name="KEPT", subjects=["kept.>"])
    for number in range(20):
        await jetstream.publish("kept.a", b"%d" % number)
    server.kill()
    await client.close()
    server.start()
    client = await nats.connect(server.url)
    assert (await client.jetstream().stream_info("KEPT")).state.messages == 20
    await client.close()


def test_postgres_keeps_what_it_committed_over_a_sigkill(postgres_factory):
    server = postgres_factory()
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (number int)")
        connection.execute("INSERT INTO kept SELECT generate_series(1, 100)")
    server.kill()
    server.start()
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (100,)


def test_postgres_is_durable_as_the_stack_starts_it(server_folder):
    from kaiser_stack.postgres import Postgres
    from kaiser_stack.private import PrivateServer

    server = PrivateServer(Postgres(server_folder / "durable"), server_folder / "durable" / "log")
    server.start()
    try:
        with psycopg.connect(server.server.url()) as connection:
            names = ["fsync", "synchronous_commit", "full_page_writes", "listen_addresses"]
            shown = [connection.execute(f"SHOW {name}").fetchone() for name in names]
        assert shown == [("on",), ("on",), ("on",), ("",)]
        folder = server.server.socket_folder
        assert folder.stat().st_mode & 0o077 == 0
    finally:
        server.stop()


def test_data_of_an_older_version_is_kept_when_its_folder_is_closed_and_gets_a_password(server_folder):
    from kaiser_stack.logins import Login
    from kaiser_stack.postgres import Postgres
    from kaiser_stack.private import PrivateServer

    state = server_folder / "older"
    state.mkdir(mode=0o755)
    open_server = PrivateServer(Postgres(state / "postgres", durable=False), state / "log")
    open_server.start()
    with psycopg.connect(open_server.server.url(), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    open_server.stop()
    state.chmod(0o700)
    (state / "password").write_text("of-this-stack-alone\n")
    login = Login("postgres", state / "password")
    closed = PrivateServer(Postgres(state / "postgres", durable=False, login=login), state / "log")
    try:
        closed.start()
        with psycopg.connect(closed.server.url()) as connection:
            assert connection.execute("SELECT number FROM kept").fetchone() == (7,)
        without = closed.server.url().replace(":of-this-stack-alone@", "@")
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(without)
    finally:
        closed.stop()
        if (elsewhere := state / "postgres" / "elsewhere").is_symlink():
            shutil.rmtree(elsewhere.resolve())


def test_a_child_ends_on_its_signal(tmp_path: Path):
    child = Child(SLEEP, tmp_path / "log")
    assert child.status() is None
    assert child.stop() == -signal.SIGTERM


def test_a_child_that_does_not_listen_is_killed(tmp_path: Path):
    child = Child(STUBBORN, tmp_path / "log")
    deadline = time.monotonic() + 60
    while "up" not in (tmp_path / "log").read_text():
        assert time.monotonic() < deadline
    assert child.stop(within_s=0.2) == -signal.SIGKILL


def test_a_pid_file_names_its_process_and_no_other(tmp_path: Path):
    path = tmp_path / "sleeper.pid"
    assert recorded(path) is None
    child = Child(SLEEP, tmp_path / "log")
    write_pid_file(path, child.pid, signal.SIGTERM)
    found = recorded(path)
    assert found
    assert found.pid == child.pid
    path.write_text(f"{child.pid}\nanother time\n15\n")
    assert recorded(path) is None
    write_pid_file(path, child.pid, signal.SIGTERM)
    child.kill()
    assert recorded(path) is None


def test_what_pid_files_name_is_ended_and_strangers_are_left_alone(tmp_path: Path):
    child = Child(STUBBORN, tmp_path / "log")
    write_pid_file(tmp_path / "stubborn.pid", child.pid, signal.SIGTERM)
    (tmp_path / "stranger.pid").write_text(f"{os.getpid()}\n1\n9\n")
    (tmp_path / "broken.pid").write_text("x")
    assert end_recorded(tmp_path, within_s=0.2) == ["stubborn"]
    assert child.wait(60) in {-signal.SIGKILL, -signal.SIGTERM}
    assert list(tmp_path.glob("*.pid")) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent has ended")
def test_a_child_dies_with_its_parent(tmp_path: Path):
    parent = """
import sys, pathlib
from kaiser_stack.process import Child, Program
child = Child(Program("sleeper", (sys.executable, "-c", "import time; time.sleep(600)")), pathlib.Path(sys.argv[1]))
print(child.pid, flush=True)
child.wait(600)
"""
    with subprocess.Popen([sys.executable, "-c", parent, str(tmp_path / "log")], stdout=subprocess.PIPE) as process:
        assert process.stdout
        pid = int(process.stdout.readline())
        process.kill()
    deadline = time.monotonic() + 60
    while started_at(pid):
        assert time.monotonic() < deadline
