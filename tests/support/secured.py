"""Runs servers and services of compose.yaml natively: only paths, addresses, ports and what a test asks for differ."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forked
import nats
import yaml
from nats.aio.client import Client

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


@dataclass(frozen=True)
class Secured:
    """A server's port, its log, and the folder of secrets."""

    port: int
    log: Path
    secrets: Path
    pid: int

    def reread(self) -> None:
        """Have it read its files again, as `make up` and `make device` do."""
        os.kill(self.pid, signal.SIGHUP)

    def secret(self, name: str) -> str:
        """A password."""
        return (self.secrets / name).read_text().strip()


@contextmanager
def nats_server(
    folder: Path, secrets: Path, port: int, http_port: int, users: str | None = None, passwords: str = ""
) -> Iterator[Secured]:
    """nats-server with deploy/nats/secured.conf; `users` in place of users.conf, with further passwords.

    Its log names every subject.
    """
    (folder / "kaiser").mkdir(parents=True)
    shutil.copytree(secrets / "nats", folder / "secrets")
    with (folder / "secrets/passwords.conf").open("a") as file:
        file.write(passwords)
    tls = folder / "secrets/tls.conf"
    tls.write_text(tls.read_text().replace("/etc/nats/tls", str(secrets / "tls")))
    text = (DEPLOY / "nats/secured.conf").read_text()
    text = _replaced(text, {"port: 4222": f"port: {port}", "0.0.0.0:8222": f"127.0.0.1:{http_port}"})
    text = _replaced(text, {'host: "0.0.0.0"': 'host: "127.0.0.1"', '"/data"': f'"{folder}/data"'})
    (folder / "kaiser/secured.conf").write_text(f"{text}\ntrace: true\n")
    (folder / "kaiser/users.conf").write_text(users or (DEPLOY / "nats/users.conf").read_text())
    program = Path(sys.executable).parent / "nats-server"
    log = folder / "log"
    command = [program, "--config", folder / "kaiser/secured.conf", "--log", log]
    with _running(command, {"NATS_SERVER_NAME": "kaiser"}, port, folder / "output") as pid:
        yield Secured(port, log, secrets, pid)


@contextmanager
def mosquitto(folder: Path, secrets: Path, port: int, memory_limit: int | None = None) -> Iterator[Secured]:
    """Mosquitto with deploy/mosquitto/secured.conf; `memory_limit` (bytes) in place of its own."""
    program = shutil.which("mosquitto", path="/usr/local/sbin:/usr/sbin:/usr/bin")
    assert program
    folder.mkdir(parents=True)
    text = (DEPLOY / "mosquitto/secured.conf").read_text()
    text = _replaced(text, {"listener 1883": f"listener {port} 127.0.0.1", "/mosquitto/data": str(folder)})
    text = _replaced(text, {"/mosquitto/config": f"{DEPLOY}/mosquitto", "/mosquitto/auth": f"{secrets}/mosquitto"})
    if memory_limit is not None:
        text = _replaced(text, {"memory_limit 1879048192": f"memory_limit {memory_limit}"})
    (folder / "mosquitto.conf").write_text(f"{text}user root\n")
    with _running([program, "-c", folder / "mosquitto.conf"], {}, port, folder / "log") as pid:
        yield Secured(port, folder / "log", secrets, pid)


@contextmanager
def service(name: str, changes: Mapping[str, str], secrets: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A service in the environment that compose.yaml gives it where no setting of its own is set; `changes` replaces
    addresses in the values."""
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    given = compose["services"][name]["environment"]
    environment = {key: _default(str(value)) for key, value in given.items() if value is not None}
    for key, value in environment.items():
        for old, new in {**changes, "/run/secrets": str(secrets)}.items():
            environment[key] = environment[key].replace(old, new) if old in value else environment[key]
    environment |= {key: value for key, value in changes.items() if key.startswith("KAISER_")}
    with log.open("wb") as output:
        process = forked.Popen(
            [f"kaiser-{name}"],
            env={"PATH": os.environ["PATH"], "KAISER_LOG_FORMAT": "console", "KAISER_METRICS_PORT": "0", **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait(60)


async def connect(server: Secured, user: str, on_error: Callable[[Exception], Any], password: str = "") -> Client:
    """A client of the bus as a user; what the server refuses goes to `on_error`."""

    async def told(error: Exception) -> None:
        on_error(error)

    return await nats.connect(
        f"nats://127.0.0.1:{server.port}",
        user=user,
        password=password or server.secret(f"nats-{user}"),
        inbox_prefix=f"_INBOX.{user}",
        error_cb=told,
        allow_reconnect=False,
    )


async def refusal(server: Secured, user: str, verb: str, subject: str, password: str = "") -> str:
    """The server's answer to a publish or subscribe; empty if it is allowed."""
    told = await refusals(server, user, [(verb, subject)], password)
    return told[0] if told else ""


async def refusals(server: Secured, user: str, wanted: Iterable[tuple[str, str]], password: str = "") -> list[str]:
    """The refusals of publishes and subscribes (verb, subject) by one client in turn."""
    told: list[str] = []
    client = await connect(server, user, lambda error: told.append(str(error)), password)
    try:
        for verb, subject in wanted:
            if verb == "publish":
                await client.publish(subject, b"")
            else:
                name, _, queue = subject.partition(" ")
                await client.subscribe(name, queue=queue)
        await client.flush(60)
        await asyncio.sleep(0)  # the error came before the PONG; its callback runs in a task of its own
        for _ in range(20):
            if told:
                break
            await asyncio.sleep(0.005)
    finally:
        await client.close()
    return told


def _default(value: str) -> str:
    """`${NAME:-default}` as it is when NAME is not set."""
    return value.partition(":-")[2].rstrip("}") if value.startswith("${") else value


def _replaced(text: str, changes: Mapping[str, str]) -> str:
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@contextmanager
def _running(command: list[Any], environment: dict[str, str], port: int, log: Path) -> Iterator[int]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=output, stderr=subprocess.STDOUT)
        try:
            deadline = time.monotonic() + 20
            while not _listens(port):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            yield process.pid
        finally:
            process.kill()
            process.wait(60)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
