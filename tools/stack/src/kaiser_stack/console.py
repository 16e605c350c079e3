"""The terminal output of a running stack: notices, the services' warnings, the table of addresses."""

import sys
from dataclasses import dataclass
from typing import TextIO

_COLOURS = (36, 35, 34, 32, 33, 96, 95, 94)
_QUIET = ("[info ", "[debug ", '"level": "info"', '"level": "debug"', '"level":"info"', '"level":"debug"')


@dataclass(frozen=True, slots=True)
class Console:
    """Writes to a terminal or a file; `verbose` shows the services' info lines too."""

    verbose: bool = False
    out: TextIO = sys.stdout

    def notice(self, text: str) -> None:
        """A line of the stack itself."""
        print(f"kaiser: {text}", file=self.out, flush=True)

    def service(self, name: str, place: int, line: str) -> None:
        """A line of a service's log, if it is one to show: all but info and debug."""
        if self.verbose or not any(mark in line for mark in _QUIET):
            print(f"{self._coloured(name, place)} {line}", file=self.out, flush=True)

    def table(self, title: str, rows: list[tuple[str, str]], close: str) -> None:
        """A short table."""
        lines = [title, *(f"  {name:<12} {value}" for name, value in rows), close]
        print("\n".join(["", *lines, ""]), file=self.out, flush=True)

    def _coloured(self, name: str, place: int) -> str:
        prefix = f"{name:<17} |"
        return f"\x1b[{_COLOURS[place % len(_COLOURS)]}m{prefix}\x1b[0m" if self.out.isatty() else prefix
