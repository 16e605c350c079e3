"""Picks the ports on which services serve their metrics, and another if another program took the port first."""

from collections.abc import Mapping
from dataclasses import replace

from kaiser_stack import ports
from kaiser_stack.console import Console
from kaiser_stack.process import Program, last_words
from kaiser_stack.settings import StackSettings

_SETTING = "KAISER_METRICS_PORT"
_CANNOT_START = 2
_MOST_PICKS = 10


class MetricsPorts:
    """`by_service` holds the port of each service's internal HTTP; it changes when a port is picked again."""

    def __init__(self, settings: StackSettings, console: Console) -> None:
        self.by_service: dict[str, int] = {}
        self._settings = settings
        self._console = console
        self._used = {settings.http_port, settings.nats_port, settings.mqtt_port, settings.sandbox_port}
        self._picks: dict[str, int] = {}

    def program(self, name: str, command: tuple[str, ...], environment: Mapping[str, str]) -> Program:
        """The service with a free port of its own."""
        return self._moved(Program(name, command, environment))

    def instead(self, program: Program, status: int) -> Program | None:
        """The service on another port, if it ended because its own was taken; None for every other end."""
        log = self._settings.log(program.name)
        taken = status == _CANNOT_START and _SETTING in last_words(log, 1)
        if not taken or self._picks[program.name] >= _MOST_PICKS:
            return None
        before = self.by_service[program.name]
        moved = self._moved(program)
        port = self.by_service[program.name]
        self._console.notice(f"{program.name}: port {before} is in use by another program, its metrics are at {port}")
        return moved

    def _moved(self, program: Program) -> Program:
        port = ports.next_free(self._settings.http_port + 1, self._used)
        self._used.add(port)
        self._picks[program.name] = self._picks.get(program.name, 0) + 1
        self.by_service[program.name] = port
        return replace(program, environment={**program.environment, _SETTING: str(port)})
