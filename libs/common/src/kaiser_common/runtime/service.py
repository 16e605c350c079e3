"""The shell that each service starts in: signals, checks, internal HTTP, exit codes.

SIGTERM or Ctrl-C sets `Service.stopping`; the work then stops fetching, finishes what is in flight and returns; after
10 s it is cancelled. If a process is killed instead, nothing is lost: messages that it had not acknowledged are
delivered again.
"""

import asyncio
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import structlog
import uvicorn
import uvloop
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kaiser_common import __version__
from kaiser_common.bus.metrics import BUILD
from kaiser_common.bus.waiting import set_within
from kaiser_common.contract.schemas.api.system import ReplicaStatus
from kaiser_common.runtime.asyncapi import merged
from kaiser_common.runtime.logs import ErrorMemory, set_up_logging
from kaiser_common.runtime.readiness import SharedLook
from kaiser_common.runtime.settings import CommonSettings, SettingsError, in_force, load
from kaiser_common.runtime.tracing import Tracer, open_tracer

SettingsT = TypeVar("SettingsT", bound=CommonSettings)

STOP_WITHIN_S = 10.0
_CHECK_WITHIN_S = 2.0
_STATUS_WITHIN_S = 0.8
_TICK_S = 1.0


class HttpServer(uvicorn.Server):
    """uvicorn without its own signal handlers: the shell decides when to stop (`end`)."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ends = asyncio.Event()

    def end(self) -> None:
        """Take no further connection, answer the requests at hand, then return from `serve`."""
        self.should_exit = True
        self._ends.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        """Set the date of answers each second, until the end. uvicorn's own loop wakes ten times a second to look
        whether it is to end."""
        while not await self.on_tick(0):
            await set_within(self._ends, _TICK_S)


class Service:
    """The objects that the runtime gives to a service's work."""

    def __init__(self, name: str, errors: ErrorMemory | None = None, tracer: Tracer | None = None) -> None:
        self.name = name
        self.tracer = tracer
        """None while tracing is off."""
        self.stopping = asyncio.Event()
        self.documents: list[Callable[[], dict[str, Any]]] = []
        """The AsyncAPI documents of what the service takes and answers now."""
        self._errors = errors or ErrorMemory()
        self._started_at = int(time.time() * 1000)
        self._checks: dict[str, Callable[[], Awaitable[None]]] = {}
        self._shown: dict[str, Callable[[], Awaitable[None]]] = {}

    def check(self, name: str, ask: Callable[[], Awaitable[None]], *, needed: bool = True) -> None:
        """Add a dependency to /readyz: `ask` raises, or takes more than 2 s, when it does not answer.

        One that is not `needed` shows in the status of the system only: a service that does its main work without it
        stays ready, or an outage of the database would take every replica out of its Service.
        """
        (self._checks if needed else self._shown)[name] = ask

    @contextmanager
    def checking(self, name: str, ask: Callable[[], Awaitable[None]]) -> Iterator[None]:
        """A check for as long as the block runs: a replica on standby is not asked for what it does not use."""
        self._checks[name] = ask
        try:
            yield
        finally:
            self._checks.pop(name, None)

    async def readiness(self, within_s: float = _CHECK_WITHIN_S) -> dict[str, str]:
        """Each dependency's state: "ok" or why not. Nothing asked for yet: the work has not begun."""
        if not self._checks:
            return {"start": "not begun: waiting for NATS or for what it needs before its work"}
        return await _states(self._checks, within_s)

    async def status(self) -> ReplicaStatus:
        """How this process does, within a second."""
        checks, shown = await asyncio.gather(self.readiness(_STATUS_WITHIN_S), _states(self._shown, _STATUS_WITHIN_S))
        return ReplicaStatus(
            service=self.name,
            replica=f"{socket.gethostname()}-{os.getpid()}",
            version=__version__,
            started_at=self._started_at,
            ready=not self.stopping.is_set() and all(state == "ok" for state in checks.values()),
            checks=checks | shown,
            last_error=self._errors.last,
        )

    def asyncapi(self) -> dict[str, Any]:
        """The AsyncAPI document of what this process takes and answers now; a standby has less than the holder."""
        first = {
            "asyncapi": "3.0.0",
            "info": {"title": f"Kaiser {self.name}", "version": __version__},
            "defaultContentType": "application/json",
        }
        return merged(first, [document() for document in self.documents])

    async def until_stopped(self, *stop: Callable[[], None]) -> None:
        """Wait for the signal to stop, then call each of `stop` (such as `Consumer.stop`)."""
        await self.stopping.wait()
        for one in stop:
            one()


async def _states(checks: dict[str, Callable[[], Awaitable[None]]], within_s: float) -> dict[str, str]:
    """The state of each check there is now; one that a service adds while these are asked is asked the next time."""
    asked = dict(checks)
    states = await asyncio.gather(*(_ask(ask, within_s) for ask in asked.values()))
    return dict(zip(asked, states, strict=True))


async def _ask(check: Callable[[], Awaitable[None]], within_s: float) -> str:
    try:
        async with asyncio.timeout(within_s):
            await check()
    except TimeoutError:
        return f"no answer within {within_s:g} s"
    # A readiness check stands for the dependency: whatever it raises is the answer to "why not".
    except Exception as error:  # noqa: BLE001
        return str(error) or type(error).__name__
    return "ok"


def run(
    name: str,
    settings_class: type[SettingsT],
    work: Callable[[Service, SettingsT], Awaitable[None]],
    *,
    public: bool = False,
) -> NoReturn:
    """Read the settings and run `work(service, settings)` until it returns or is stopped; ends the process.

    A bug in a callback of the loop ends the process too, unless it is `public`: no client may end a server for all.
    Exit status: 0 stopped on request, 1 failed (start it again), 2 a setting cannot be used.
    """
    try:
        settings = load(settings_class)
        tracer = open_tracer(settings, name)
    except SettingsError as error:
        print(f"kaiser-{name}: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    errors = ErrorMemory()
    set_up_logging(name, settings.log_level, settings.log_format, errors)
    structlog.get_logger().info("starting", version=__version__, pid=os.getpid(), settings=in_force(settings))
    BUILD.labels(name, __version__).set(1)
    _collect_seldom()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        status = runner.run(_run(Service(name, errors, tracer), settings, work, public))
    if tracer is not None:
        tracer.close()
    sys.exit(status)


def _collect_seldom() -> None:
    """Have Python look for cycles every 50,000 objects and not at what was imported: a batch is thousands of objects,
    none of them in a cycle, and looking through them took a twelfth of sensor's time (docs/decisions/0302)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


async def _run(
    service: Service, settings: SettingsT, work: Callable[[Service, SettingsT], Awaitable[None]], public: bool
) -> int:
    log = structlog.get_logger()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.stopping.set)
    try:
        listener = _listen(settings.metrics_host, settings.metrics_port)
    except OSError as error:
        log.error("port_in_use", port=settings.metrics_port, set="KAISER_METRICS_PORT", error=str(error))
        return 2
    server = HttpServer(
        uvicorn.Config(internal_app(service), log_config=None, access_log=False, lifespan="off", ws="none")
    )
    failures: list[BaseException] = []
    try:
        async with asyncio.TaskGroup() as tasks:
            http = tasks.create_task(server.serve(sockets=[listener]), name="internal-http")
            watches = [] if public else [tasks.create_task(_crash_on_bugs(), name="bugs")]
            body = tasks.create_task(_body(service, settings, work), name=service.name)
            await _stopped(service, body)
            for watch in watches:
                watch.cancel()
            server.end()
            await asyncio.wait([http], timeout=2.0)
            http.cancel()
    # The last word of a process that is about to be started again: a line for the operator, with the traceback.
    except* Exception as group:  # noqa: BLE001
        failures = _leaves(group)
    finally:
        listener.close()
    for failure in failures:
        log.error("crashed", error=f"{type(failure).__name__}: {failure}", exc_info=failure)
    if failures:
        return 1
    log.info("stopped")
    return 0


async def _crash_on_bugs() -> None:
    """Raise what a callback of the loop raised: it would only be logged, and what it served would hang."""
    found: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def note(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if "handle" in context and error is not None and not found.done():
            found.set_exception(error)
        else:
            loop.default_exception_handler(context)

    asyncio.get_running_loop().set_exception_handler(note)
    await found


async def _body(service: Service, settings: SettingsT, work: Callable[[Service, SettingsT], Awaitable[None]]) -> None:
    await work(service, settings)


async def _stopped(service: Service, body: asyncio.Task[None]) -> None:
    """Return when the work has ended: on its own, after the signal, or cancelled 10 s after the signal."""
    signalled = asyncio.create_task(service.stopping.wait())
    await asyncio.wait([body, signalled], return_when=asyncio.FIRST_COMPLETED)
    signalled.cancel()
    if not body.done():
        _, late = await asyncio.wait([body], timeout=STOP_WITHIN_S - 1.0)
        if late:
            structlog.get_logger().warning("stopped_late", within_s=STOP_WITHIN_S)
            body.cancel()


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for error in group.exceptions:
        leaves.extend(_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return leaves


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.set_inheritable(False)
    return listener


def internal_app(service: Service) -> Starlette:
    """/metrics, /healthz (the process lives), /readyz (its dependencies answer), /asyncapi (what it takes)."""
    return Starlette(routes=internal_routes(service))


def internal_routes(service: Service) -> list[Route]:
    """The internal routes, to be mounted in an app of one's own too."""
    look = SharedLook(service.readiness)

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok", "service": service.name, "version": __version__})

    async def readyz(_: Request) -> Response:
        states = await look.states()
        ready = not service.stopping.is_set() and all(state == "ok" for state in states.values())
        return JSONResponse(
            {"status": "ready" if ready else "not ready", "service": service.name, "checks": states},
            status_code=200 if ready else 503,
        )

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    async def asyncapi(_: Request) -> Response:
        return JSONResponse(service.asyncapi())

    return [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics),
        Route("/asyncapi", asyncapi),
    ]
