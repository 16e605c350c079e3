"""The services to run, as the Procfile lists them: one `name: command` per line."""

import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kaiser_stack.errors import SetupError


@dataclass(frozen=True, slots=True)
class Entry:
    """A service, its command line, and settings that are its alone."""

    name: str
    command: tuple[str, ...]
    settings: Mapping[str, str] = field(default_factory=dict)


def parse(text: str) -> list[Entry]:
    """The entries of a Procfile; SetupError for a line that is none."""
    entries = []
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.strip()
        if not content or content.startswith("#"):
            continue
        name, colon, command = content.partition(":")
        if not colon or not command.strip() or not name.strip():
            raise SetupError(f"line {number} of the Procfile is not `name: command`: {content}")
        entries.append(Entry(name.strip(), tuple(shlex.split(command))))
    return entries


def read(path: Path) -> list[Entry]:
    """The entries of a Procfile on disk."""
    try:
        return parse(path.read_text())
    except FileNotFoundError as error:
        raise SetupError(f"there is no {path}: run this in the folder that has the Procfile") from error


def installed(command: str) -> str | None:
    """Path of a command beside this Python or on PATH; None when it is not installed."""
    beside_python = Path(sys.executable).parent / command
    return str(beside_python) if beside_python.exists() else shutil.which(command)
