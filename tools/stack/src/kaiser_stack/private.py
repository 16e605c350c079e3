"""A server for one test run: the caller starts, kills and restarts it; its data is in a given folder."""

from pathlib import Path
from typing import Generic, Protocol, TypeVar

from kaiser_stack.process import Child, Program, wait_ready

_READY_WITHIN_S = 60.0


class Server(Protocol):
    """The common interface of Nats, Postgres and Mosquitto."""

    @property
    def name(self) -> str:
        """Name in logs and pid files."""

    def prepare(self) -> Program:
        """Write what the server needs and say how to run it."""

    def probe(self) -> None:
        """NotReadyError until the server answers."""


ServerT = TypeVar("ServerT", bound=Server)


class PrivateServer(Generic[ServerT]):
    """A server that its caller starts and stops; it also dies with the caller (Linux)."""

    def __init__(self, server: ServerT, log: Path) -> None:
        self.server = server
        self.log = log
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        if not self._child:
            raise RuntimeError(f"{self.server.name} is not started")
        return self._child.pid

    def start(self) -> None:
        """Start it on the data that is there, and wait until it answers."""
        self._child = Child(self.server.prepare(), self.log)
        wait_ready(self.server.probe, self._child, self.log, _READY_WITHIN_S)

    def stop(self) -> None:
        """Stop it by its stop signal; nothing happens if it is not running."""
        if self._child:
            self._child.stop()
            self._child = None

    def kill(self) -> None:
        """End it with SIGKILL; nothing happens when it is not running."""
        if self._child:
            self._child.kill()
            self._child = None
