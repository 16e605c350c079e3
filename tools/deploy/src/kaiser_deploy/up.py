"""Starts the containers once the ports are free; a failed start removes them if none ran before, but not the data."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kaiser_common.contract.time_zones import zone_problem
from kaiser_common.runtime import known_settings

COMPOSE = Path("compose.yaml")
OVERRIDES = (Path("compose.override.yaml"), Path("compose.override.yml"))
"""Compose reads one of them beside it, if it is there."""
_SERVICE = re.compile(r"^  ([a-z-]+):$")
_PROFILE = re.compile(r"^    profiles: \[([a-z]+)\]$")
_PORT = re.compile(r'"\$\{(KAISER_\w+_BIND):-([\d.]+)\}:\$\{(KAISER_\w+_PORT):-(\d+)\}:(\d+)"')
_PASSED_ON = re.compile(r"\$\{(KAISER_\w+)|^ +(KAISER_\w+): *(?:#.*)?$", re.MULTILINE)
_NAMED = re.compile(r"\bKAISER_\w+")
_OF_THIS_MACHINE = {"KAISER_URL"}
"""Settings of programs that people run beside the containers."""
_ENVIRONMENT_LINE = re.compile(r"^(?:export )?(\w+)=(.*)$")
_LOG_LINES = "20"
_TRIES = 200


class PortTaken(Exception):
    """A port cannot be published; the text says which setting moves it."""


class WrongValue(Exception):
    """A setting cannot have its value; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Published:
    """A port that a container publishes: `private` in the container, `port` at `host` of this machine."""

    service: str
    private: str
    host: str
    setting: str
    port: str


def up(arguments: Sequence[str]) -> int:
    """`docker compose up`, built and waited for; its exit status. UnknownSetting, WrongValue, PortTaken: nothing was
    started."""
    environment = {**_of_file(Path(".env")), **os.environ}
    known_settings.check(environment)
    if problem := zone_problem(environment.get("KAISER_TIME_ZONE", "")):
        raise WrongValue(f"KAISER_TIME_ZONE={problem}")
    check_ports(published(COMPOSE.read_text(), environment))
    for name in without_effect(
        environment, COMPOSE.read_text(), [each.read_text() for each in OVERRIDES if each.exists()]
    ):
        print(f"kaiser: {name} reaches no container, docs/containers.md says how it can", file=sys.stderr)
    began_empty = not _asked("ps", "--quiet")
    try:
        status = subprocess.run(
            ["docker", "compose", "up", "--build", "--wait", "--detach", *arguments], check=False
        ).returncode
    except KeyboardInterrupt:
        status = 130
    if status and began_empty:
        _take_down()
    return status


def published(compose: str, environment: Mapping[str, str]) -> list[Published]:
    """The ports that the started services publish, with the environment's settings; an empty one counts as not set."""
    chosen = environment.get("COMPOSE_PROFILES", "").split(",")
    found, service, profiles = [], "", dict[str, str]()
    for line in compose.splitlines():
        if header := _SERVICE.match(line):
            service = header[1]
            profiles[service] = ""
        if profile := _PROFILE.match(line):
            profiles[service] = profile[1]
        for bind, host, setting, port, private in _PORT.findall(line):
            address = environment.get(bind) or host
            found.append(Published(service, private, address, setting, environment.get(setting) or port))
    started = {name for name, profile in profiles.items() if not profile or profile in chosen}
    return [each for each in found if each.service in started]


def without_effect(environment: Mapping[str, str], compose: str, overrides: Iterable[str] = ()) -> list[str]:
    """The settings of Kaiser that are set here and that compose.yaml passes on to no container, unless a file that
    overrides it names them."""
    passed = {name for found in _PASSED_ON.findall(compose) for name in found}
    named = {name for text in overrides for name in _NAMED.findall(text)}
    return sorted((environment.keys() & known_settings.KNOWN) - passed - named - _OF_THIS_MACHINE)


def check_ports(ports: Sequence[Published]) -> None:
    """PortTaken for those that another program has; a port of a container of Kaiser's that runs already is its own."""
    taken = [each for each in ports if not _is_port(each) or (not is_free(each) and not _is_ours(each))]
    if taken:
        raise PortTaken("\n".join(_advice(taken)))


def is_free(port: Published) -> bool:
    """Whether a server could listen there."""
    family = socket.AF_INET6 if ":" in port.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((port.host, int(port.port)))
        except OSError:
            return False
        return True


def _is_port(port: Published) -> bool:
    return port.port.isdecimal() and 0 < int(port.port) < 65536


def _advice(taken: Sequence[Published]) -> Iterator[str]:
    for each in taken:
        if not _is_port(each):
            yield f"{each.setting}={each.port!r} is not a port: set it to a number from 1 to 65535"
            continue
        other = _free_beside(each)
        yield (
            f"port {each.port} ({each.setting}, for {each.service}) is in use by another program, such as `make run`: "
            f"stop it, or set {each.setting} to a free port, such as {each.setting}={other} make up"
        )


def _free_beside(port: Published) -> int:
    first = int(port.port) + 1
    candidates = (
        Published(port.service, port.private, port.host, port.setting, str(number))
        for number in range(first, min(first + _TRIES, 65536))
    )
    return next((int(each.port) for each in candidates if is_free(each)), first)


def _is_ours(port: Published) -> bool:
    return bool(_asked("port", port.service, port.private))


def _take_down() -> None:
    """Say why, as far as the containers know, and remove them; the data stays in the volumes."""
    for line in _asked("ps", "--all", "--format", "{{.Service}} {{.State}} {{.Health}} {{.ExitCode}}").splitlines():
        service, state, health, exit_code = (line.split(" ") + [""] * 3)[:4]
        if health == "unhealthy" or (state == "exited" and exit_code != "0") or state == "restarting":
            print(f"kaiser: the last lines of {service}:", file=sys.stderr)
            print(_asked("logs", "--no-color", "--no-log-prefix", "--tail", _LOG_LINES, service), file=sys.stderr)
    subprocess.run(["docker", "compose", "down"], check=False)
    print("kaiser: the start failed; its containers are removed, the data stays in their volumes", file=sys.stderr)


def _asked(*command: str) -> str:
    """The output of `docker compose`; empty if it fails."""
    done = subprocess.run(["docker", "compose", *command], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _of_file(path: Path) -> dict[str, str]:
    """The settings of compose's own `.env` file, if there is one."""
    if not path.exists():
        return {}
    found = (_ENVIRONMENT_LINE.match(line.strip()) for line in path.read_text().splitlines())
    return {line[1]: line[2].strip("\"'") for line in found if line}
