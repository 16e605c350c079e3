"""The start of a stack, step by step: servers, the migrate step, services, the table."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from kaiser_stack import health, procfile, report, secret_files, servers
from kaiser_stack.console import Console
from kaiser_stack.errors import NotReadyError, SetupError
from kaiser_stack.keeper import Keeper, in_words
from kaiser_stack.metrics_ports import MetricsPorts
from kaiser_stack.process import Child, Program, last_words
from kaiser_stack.settings import StackSettings

_READY_WITHIN_S = 180.0
_MIGRATED_WITHIN_S = 180.0
_ASK_EVERY_S = 0.05
_ASK_AT_LEAST_EVERY_S = 0.25
"""An answer costs a service that is starting time of the processor, so the pauses become longer."""


@dataclass(frozen=True, slots=True)
class StartPlan:
    """The processes that a run is to start."""

    settings: StackSettings
    entries: tuple[procfile.Entry, ...]
    console: Console


@dataclass(frozen=True, slots=True)
class Started:
    """The processes started so far, in the order in which they are to be stopped."""

    services: list[Keeper] = field(default_factory=list)
    servers: list[Keeper] = field(default_factory=list)


async def start(plan: StartPlan, started: Started, tasks: asyncio.TaskGroup) -> None:
    """Start everything and print the addresses. SetupError, NotReadyError: it cannot be started."""
    began = time.monotonic()
    chosen = servers.choose(plan.settings)
    servers.require_ports(plan.settings)
    commands = _installed(plan)
    await _start_servers(plan, chosen, started, tasks)
    environment = _environment(plan.settings, chosen)
    await _migrate(plan, environment, needed=bool(commands))
    metrics_ports = _start_services(plan, commands, environment, started, tasks)
    await asyncio.gather(
        *(
            _until_ready(keeper, _asking(metrics_ports, keeper.name, plan.settings.http_port))
            for keeper in started.services
        )
    )
    _save_sessions(started)
    ready = report.Ready(environment, metrics_ports, chosen.broker, chosen.for_tools(plan.settings))
    report.write_addresses(plan.settings, ready)
    plan.console.table(
        f"Kaiser is ready ({time.monotonic() - began:.1f} s)",
        report.rows(plan.settings, ready),
        "Ctrl-C stops everything; the data stays.",
    )


def _installed(plan: StartPlan) -> dict[str, procfile.Entry]:
    """The services that are installed, with the paths of their programs; the others are named."""
    found = {}
    for entry in plan.entries:
        program = procfile.installed(entry.command[0])
        if program:
            found[entry.name] = replace(entry, command=(program, *entry.command[1:]))
        else:
            plan.console.notice(f"{entry.name} is not installed and not started")
    return found


async def _start_servers(plan: StartPlan, chosen: servers.Servers, started: Started, tasks: asyncio.TaskGroup) -> None:
    if chosen.to_start:
        plan.console.notice(f"starting {', '.join(server.name for server in chosen.to_start)}")
    for server in chosen.to_start:
        keeper = Keeper(await asyncio.to_thread(server.prepare), plan.settings, plan.console)
        started.servers.append(keeper)
        tasks.create_task(keeper.keep(), name=server.name)
    pairs = zip(started.servers, chosen.to_start, strict=True)
    await asyncio.gather(*(_until_ready(keeper, server.probe, may_end=False) for keeper, server in pairs))


def _environment(settings: StackSettings, chosen: servers.Servers) -> dict[str, str]:
    """The environment of the services: this one, with the settings in force."""
    token = settings.token_secret_file or settings.state_dir / "token-secret"
    environment = {
        **os.environ,
        **chosen.addresses(settings),
        "KAISER_NATS_PORT": str(settings.nats_port),
        "KAISER_HTTP_PORT": str(settings.http_port),
        "KAISER_STATE_DIR": str(settings.state_dir),
        "KAISER_ADMIN_USER": settings.admin_user,
        "KAISER_TOKEN_SECRET_FILE": str(secret_files.keep(token, 48)),
        "PYTHONUNBUFFERED": "1",
    }
    if not settings.admin_password:
        password = settings.admin_password_file or settings.state_dir / "admin-password"
        environment["KAISER_ADMIN_PASSWORD_FILE"] = str(secret_files.keep(password, 15))
    return environment


async def _migrate(plan: StartPlan, environment: Mapping[str, str], *, needed: bool) -> None:
    """Run kaiser-migrate to its end. NotReadyError with its last words when it fails; it may be run again."""
    command = procfile.installed("kaiser-migrate")
    if not command and needed:
        raise SetupError("kaiser-migrate is not installed: run `make install`")
    if not command:
        return
    plan.console.notice("migrating tables, declaring streams")
    log = plan.settings.log("migrate")
    child = Child(Program("migrate", (command,), environment), log)
    try:
        status = await asyncio.to_thread(child.wait, _MIGRATED_WITHIN_S)
    finally:
        child.kill()
    if status != 0:
        how = f"did not end within {_MIGRATED_WITHIN_S:g} s" if status is None else in_words(status)
        raise NotReadyError(f"migrate {how}: {last_words(log, 1)} (its log: {log})")


def _start_services(
    plan: StartPlan,
    commands: Mapping[str, procfile.Entry],
    environment: Mapping[str, str],
    started: Started,
    tasks: asyncio.TaskGroup,
) -> dict[str, int]:
    """Start every service; the port of each one's internal HTTP, as it is at any moment."""
    if commands:
        plan.console.notice(f"starting {', '.join(commands)}")
    picked = MetricsPorts(plan.settings, plan.console)
    for place, (name, entry) in enumerate(commands.items()):
        program = picked.program(name, entry.command, {**environment, **entry.settings})
        instead = partial(picked.instead, program)
        keeper = Keeper(program, plan.settings, plan.console, _shown(plan.console, name, place), instead)
        started.services.append(keeper)
        tasks.create_task(keeper.keep(), name=name)
    return picked.by_service


def _save_sessions(started: Started) -> None:
    """Have Mosquitto write down that ingest has subscribed: if killed before, it would drop what comes next."""
    for keeper in started.servers:
        if keeper.name == "mosquitto":
            keeper.signal(signal.SIGUSR1)


def _shown(console: Console, name: str, place: int) -> Callable[[str], None]:
    return lambda line: console.service(name, place, line)


def _asking(metrics_ports: Mapping[str, int], name: str, http_port: int) -> Callable[[], None]:
    """Asks a service on its internal port, as it is at that moment, and the gateway on its public one too."""

    def ask() -> None:
        health.probe(metrics_ports[name])
        if name == report.GATEWAY:
            health.probe(http_port)

    return ask


async def _until_ready(keeper: Keeper, probe: Callable[[], None], *, may_end: bool = True) -> None:
    """Ask until `probe` is content. Not waited for: a service that refuses its settings, a server that ended."""
    deadline = time.monotonic() + _READY_WITHIN_S
    pause_s = _ASK_EVERY_S
    while True:
        try:
            await asyncio.to_thread(probe)
        except NotReadyError as error:
            if keeper.first_status == 2 and may_end:
                raise SetupError(f"{keeper.name} does not start: {last_words(keeper.log, 1)}") from error
            if keeper.first_status is not None and not may_end:
                how = in_words(keeper.first_status)
                raise NotReadyError(f"{keeper.name} {how}: {last_words(keeper.log)} (its log: {keeper.log})") from error
            if time.monotonic() > deadline:
                raise NotReadyError(
                    f"{keeper.name} is not ready after {_READY_WITHIN_S:g} s: {error} (its log: {keeper.log})"
                ) from error
            await asyncio.sleep(pause_s)
            pause_s = min(1.2 * pause_s, _ASK_AT_LEAST_EVERY_S)
        else:
            return
