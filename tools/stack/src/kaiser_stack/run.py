"""The life of a stack: servers, migration, services, the table of addresses, and the end of it all in reverse.

Killed at once, its children are ended by the kernel (Linux), and what is left all the same the next start ends.
"""

import asyncio
import fcntl
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kaiser_stack import ports, procfile, secret_files
from kaiser_stack.console import Console
from kaiser_stack.errors import NotReadyError, SetupError
from kaiser_stack.keeper import Keeper
from kaiser_stack.private import Server
from kaiser_stack.process import Program, end_recorded, last_words
from kaiser_stack.servers import Servers, choose, require_ports
from kaiser_stack.settings import StackSettings

_SERVER_READY_S = 60.0
_SERVICE_READY_S = 60.0
_MIGRATE_WITHIN_S = 120.0
_ASK_EVERY_S = 0.1
_SETTING_ERROR = 2


@dataclass(frozen=True, slots=True)
class Kept:
    """A kept program and the task that keeps it."""

    keeper: Keeper
    task: asyncio.Task[None]


class Stack:
    """One running stack. `services` are the entries of the Procfile to run; none for the servers alone."""

    def __init__(self, settings: StackSettings, console: Console, services: list[procfile.Entry]) -> None:
        self._settings = settings
        self._console = console
        self._services = services
        self._stop = asyncio.Event()
        self._hurry = False
        self._kept_servers: list[Kept] = []
        self._kept_services: list[Kept] = []

    async def run(self) -> None:
        """Start everything, wait for the signal to stop, end everything."""
        started = time.monotonic()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)
        settings = self._settings
        with _sole_owner(settings.run_dir):
            for name in end_recorded(settings.run_dir):
                self._console.notice(f"ended {name}, left over from a stack that was killed")
            servers = choose(settings)
            require_ports(settings)
            try:
                environment = await self._start(servers)
                if environment is not None:
                    self._show_table(servers, environment, time.monotonic() - started)
                    await self._stop.wait()
            finally:
                await self._end()

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._hurry = True
            for kept in (*self._kept_services, *self._kept_servers):
                kept.task.get_loop().create_task(kept.keeper.stop())
        else:
            self._console.notice("stopping; once more ends it at once")
            self._stop.set()

    async def _start(self, servers: Servers) -> Mapping[str, str] | None:
        """Servers, migration, services, each when the one before is ready. None: told to stop meanwhile."""
        await asyncio.gather(*(self._start_server(server) for server in servers.to_start))
        environment = self._environment(servers)
        if self._stop.is_set():
            return None
        await self._migrate(environment)
        waiting = [
            asyncio.create_task(self._start_service(place, entry, environment))
            for place, entry in enumerate(self._services)
        ]
        stopped = asyncio.create_task(self._stop.wait())
        everything = asyncio.gather(*waiting)
        await asyncio.wait([everything, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if self._stop.is_set():
            everything.cancel()
            return None
        await everything
        return environment

    async def _start_server(self, server: Server) -> None:
        program = await asyncio.to_thread(server.prepare)
        keeper = Keeper(program, self._settings, self._console)
        self._kept_servers.append(Kept(keeper, asyncio.create_task(keeper.keep(), name=server.name)))
        deadline = time.monotonic() + _SERVER_READY_S
        while not self._stop.is_set():
            try:
                await asyncio.to_thread(server.probe)
            except NotReadyError as error:
                if keeper.first_status is not None or time.monotonic() > deadline:
                    raise SetupError(f"{server.name} does not start: {last_words(keeper.log)} ({error})") from error
                await asyncio.sleep(_ASK_EVERY_S / 2)
            else:
                return

    async def _migrate(self, environment: Mapping[str, str]) -> None:
        command = procfile.installed("kaiser-migrate")
        if command is None:
            raise SetupError("kaiser-migrate is missing: run `make install`")
        log = self._settings.log("migrate")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                command, env=dict(environment), stdout=output, stderr=output, stdin=asyncio.subprocess.DEVNULL
            )
            try:
                status = await asyncio.wait_for(process.wait(), _MIGRATE_WITHIN_S)
            except TimeoutError as error:
                process.kill()
                raise SetupError(f"the migration took more than {_MIGRATE_WITHIN_S:g} s; its log: {log}") from error
        if status != 0:
            raise SetupError(f"the migration failed: {last_words(log, 1)} (its log: {log})")

    async def _start_service(self, place: int, entry: procfile.Entry, environment: Mapping[str, str]) -> None:
        """Keep a service running and wait until it says that it is ready."""
        command = (procfile.installed(entry.command[0]) or entry.command[0], *entry.command[1:])
        port = int(environment[_port_name(entry.name)])
        program = Program(entry.name, command, {**environment, "KAISER_METRICS_PORT": str(port)})
        keeper = Keeper(
            program, self._settings, self._console, lambda line: self._console.service(entry.name, place, line)
        )
        self._kept_services.append(Kept(keeper, asyncio.create_task(keeper.keep(), name=entry.name)))
        deadline = time.monotonic() + _SERVICE_READY_S
        answer = ""
        while time.monotonic() < deadline:
            if keeper.first_status == _SETTING_ERROR:
                raise SetupError(f"{entry.name}: {last_words(keeper.log, 1)}")
            ready, answer = await asyncio.to_thread(_ready, port)
            if ready:
                return
            await asyncio.sleep(_ASK_EVERY_S)
        raise SetupError(f"{entry.name} is not ready after {_SERVICE_READY_S:g} s: {answer} (its log: {keeper.log})")

    def _environment(self, servers: Servers) -> Mapping[str, str]:
        """What every service is started with: the environment of the stack, the addresses, the secrets, the ports."""
        settings = self._settings
        environment = {
            **os.environ,
            **servers.addresses(settings),
            "KAISER_STATE_DIR": str(settings.state_dir),
            "KAISER_HTTP_PORT": str(settings.http_port),
            "KAISER_ADMIN_USER": settings.admin_user,
            "KAISER_TOKEN_SECRET_FILE": str(
                settings.token_secret_file or secret_files.keep(settings.state_dir / "token-secret", 48)
            ),
        }
        if not settings.admin_password:
            environment["KAISER_ADMIN_PASSWORD_FILE"] = str(self._password_file())
        taken = {settings.http_port, settings.nats_port, settings.mqtt_port}
        for entry in self._services:
            port = ports.next_free(settings.http_port + 1, taken)
            taken.add(port)
            environment[_port_name(entry.name)] = str(port)
        return environment

    def _password_file(self) -> Path:
        given = self._settings.admin_password_file
        return given or secret_files.keep(self._settings.state_dir / "admin-password", 18)

    def _show_table(self, servers: Servers, environment: Mapping[str, str], seconds: float) -> None:
        settings = self._settings
        rows = []
        if self._services:
            address = f"{ports.LOOPBACK}:{settings.http_port}"
            rows = [
                ("REST", f"http://{address}/api/docs"),
                ("WebSocket", f"ws://{address}/api/v1/ws/realtime/{{client_id}}"),
                ("admin", f"{settings.admin_user}, password {self._password_place()}"),
            ]
        rows += [
            ("MQTT", f"{environment['KAISER_MQTT_HOST']}:{settings.mqtt_port} ({servers.broker})"),
            ("NATS", environment["KAISER_NATS_URL"]),
            ("logs", str(settings.log_dir)),
        ]
        self._console.table(f"Kaiser is ready ({seconds:.1f} s)", rows, "Ctrl-C stops it; the data stays.")

    def _password_place(self) -> str:
        return "as set by KAISER_ADMIN_PASSWORD" if self._settings.admin_password else f"in {self._password_file()}"

    async def _end(self) -> None:
        """Services first, all at once; then the servers, one by one in their order."""
        await asyncio.gather(*(kept.keeper.stop() for kept in self._kept_services))
        await asyncio.gather(*(kept.task for kept in self._kept_services))
        for kept in self._kept_servers:
            await kept.keeper.stop()
            await kept.task


@contextmanager
def _sole_owner(run_dir: Path) -> Iterator[None]:
    """Hold the state folder alone; the lock goes with the process, however that ends."""
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        file = (run_dir / "lock").open("w")
    except OSError as error:
        raise SetupError(f"{run_dir} cannot be used: {error.strerror}; set KAISER_STATE_DIR") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SetupError(
                f"a stack runs in {run_dir.parent} already: stop it, or set KAISER_STATE_DIR (and the ports) to others"
            ) from error
        yield


def _ready(port: int) -> tuple[bool, str]:
    """What /readyz of a service says."""
    try:
        with urllib.request.urlopen(f"http://{ports.LOOPBACK}:{port}/readyz", timeout=3.0) as response:
            return response.status == 200, ""
    except urllib.error.HTTPError as error:
        return False, error.read(500).decode(errors="replace")
    except OSError as error:
        return False, str(error)


def _port_name(service: str) -> str:
    """The variable that tells the port of a service's internal HTTP, for whoever scrapes the stack."""
    return f"KAISER_{service.upper().replace('-', '_')}_METRICS_PORT"
