"""Refuses a setting whose value a service would refuse, before a server is started."""

import subprocess
import sys
from collections.abc import Iterable, Mapping

from kaiser_stack.errors import SetupError
from kaiser_stack.procfile import Entry

_OF_THE_STACK = frozenset(f"KAISER_{name}_PORT" for name in ("HTTP", "NATS", "MQTT", "SANDBOX", "METRICS"))
"""The stack sets them for each service: 0 is a free one here."""
_OF_CONTAINERS = {
    "KAISER_HTTP_BIND": "KAISER_HTTP_HOST opens the console to the network",
    "KAISER_MQTT_BIND": "devices on the network: docs/operating.md",
    "KAISER_MQTT_TLS_BIND": "devices on the network: docs/operating.md",
}
_WITHIN_S = 60.0


def without_effect(environment: Mapping[str, str]) -> list[str]:
    """A line for each setting of the containers that is set and that a native stack does not read."""
    return [
        f"{name} is a setting of `make up` and has no effect here: {instead}"
        for name, instead in _OF_CONTAINERS.items()
        if environment.get(name)
    ]


def check(entries: Iterable[Entry], environment: Mapping[str, str]) -> None:
    """SetupError with a line for each value that is wrong. The services' settings are read in a process of their own,
    only if there is anything to check."""
    ours = {name for name in environment if name.startswith("KAISER_")}
    ignored = {name for name in ours if name in _OF_THE_STACK or not environment[name]}
    if ours == ignored:
        return
    programs = sorted({each.command[0] for each in entries})
    command = [sys.executable, "-m", "kaiser_common.runtime.check_settings", *programs]
    given = {name: value for name, value in environment.items() if name not in ignored}
    try:
        done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=_WITHIN_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"the settings could not be checked within {_WITHIN_S:g} s") from error
    if done.returncode:
        raise SetupError(done.stdout.strip() or f"the settings could not be checked: {done.stderr.strip()[-500:]}")
