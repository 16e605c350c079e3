"""Entry point of the `kaiser` command: its commands, in the order of a day's work."""

import click

from kaiser_cli.commands import (
    actuators,
    alarms,
    devices,
    doctor,
    export,
    factory,
    login,
    mocks,
    rejected,
    send,
    sensors,
    stops,
    users,
    watch,
    zones,
)
from kaiser_cli.commands.command import command
from kaiser_cli.completion import completion


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit status: 0 done, 1 refused or failed, 2 wrong use, 3 not confirmed in time, 4 sign in first, "
    "5 the server cannot be reached.",
)
@click.version_option(package_name="kaiser-cli", prog_name="kaiser")
def cli() -> None:
    """Devices, sensors, commands and emergency stops of a Kaiser server.

    \b
    To begin:
      kaiser login http://127.0.0.1:8000
      kaiser devices
      kaiser watch
      kaiser stop ESP_0A1B2C3D

    Each command explains itself with --help, and prints JSON with --json.
    """


for one in (
    login.login,
    login.logout,
    login.list_servers,
    devices.devices,
    zones.zones,
    sensors.sensors,
    actuators.actuators,
    watch.watch,
    send.send,
    command,
    stops.stop,
    stops.clear,
    alarms.alarms,
    rejected.rejected,
    rejected.replay,
    users.users,
    export.export,
    mocks.mocks,
    factory.factory,
    doctor.doctor,
    completion,
):
    cli.add_command(one)


def main() -> None:
    """Entry point of the process."""
    cli(prog_name="kaiser")
