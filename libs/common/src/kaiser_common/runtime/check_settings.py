"""Checks the values of the environment by the settings of several services, in one process and without starting them.

`python -m kaiser_common.runtime.check_settings kaiser-sensor …` prints a line for each value that a service refuses and
exits with 2; a stack runs it before it starts a server. What depends on several settings, which a stack may complete,
is left to the service itself.
"""

import importlib
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points

from kaiser_common.runtime.settings import CommonSettings, wrong_values


def main() -> None:
    """Entry point. Arguments: the services' programs."""
    lines = {line for program in sys.argv[1:] for one in settings_of(program) for line in wrong_values(one)}
    for line in sorted(lines):
        print(line)  # noqa: T201
    sys.exit(2 if lines else 0)


def settings_of(program: str) -> Iterator[type[CommonSettings]]:
    """The settings of an installed service, from the module `settings` of its package; none of another program."""
    for script in entry_points(group="console_scripts", name=program):
        package = script.value.split(":")[0].rpartition(".")[0]
        try:
            module = importlib.import_module(f"{package}.settings")
        except ModuleNotFoundError:
            continue
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, CommonSettings) and value.__module__ == module.__name__:
                yield value


if __name__ == "__main__":
    main()
