"""The command line: `python -m kaiser_stack run|servers|stop|start|kill|device`."""

import argparse
import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from kaiser_common.runtime import known_settings

from kaiser_stack import admission, control, procfile, values
from kaiser_stack.console import Console
from kaiser_stack.entries import BOTH, with_factory, with_services
from kaiser_stack.errors import NotReadyError, SetupError
from kaiser_stack.run import run
from kaiser_stack.settings import StackSettings, load
from kaiser_stack.start import StartPlan

_SETTINGS = """settings, from the environment (all of them: docs/operating.md):
  KAISER_STATE_DIR      .kaiser   data, logs and secrets
  KAISER_HTTP_PORT      8000      REST, WebSocket and console
  KAISER_MQTT_PORT      1883      KAISER_MQTT_HOST: a broker of your own, none is started
  KAISER_MQTT_BROKER    auto      auto, mosquitto or nats
  KAISER_MQTT_ANONYMOUS false     true: any program on this machine is a device, without a password
  KAISER_NATS_PORT      4222      KAISER_NATS_URL: a server of your own, none is started
  KAISER_DATABASE_URL             a PostgreSQL of your own, none is started
  KAISER_ADMIN_USER     admin     KAISER_ADMIN_PASSWORD: else one is made once, in the state folder
  KAISER_LOG_LEVEL      info      debug, info, warning or error
  KAISER_LOG_FORMAT     console   console or json
A port of 0 takes one that is free; <state>/run/stack.json has the addresses while the stack is ready.
"""


def main() -> None:
    """Entry point. Exit status: 0 done, 1 it failed, 2 something is to be set, installed or stopped first."""
    arguments = _parser().parse_args()
    try:
        _carry_out(arguments, load(os.environ))
    except (SetupError, known_settings.UnknownSetting) as error:
        _end(2, error)
    except NotReadyError as error:
        _end(1, error)


def _carry_out(arguments: argparse.Namespace, settings: StackSettings) -> None:
    console = Console(verbose=getattr(arguments, "verbose", False))
    if arguments.command in ("run", "servers"):
        known_settings.check(os.environ)
        for line in values.without_effect(os.environ):
            console.notice(line)
    match arguments.command:
        case "run":
            entries: Iterable[procfile.Entry] = procfile.read(arguments.procfile)
            if arguments.factory:
                settings = replace(settings, mqtt_dialects=BOTH)
                entries = with_factory(settings, entries)
            entries = with_services(settings, entries)
            values.check(entries, os.environ)
            run(StartPlan(settings, entries, console))
        case "servers":
            run(StartPlan(settings, (), console))
        case "stop":
            control.stop(settings.run_dir, arguments.name)
        case "kill":
            control.stop(settings.run_dir, arguments.name, kill=True)
        case "start":
            control.start(settings.run_dir, arguments.name)
        case "device":
            if arguments.remove:
                admission.shut_out(settings, arguments.esp_id)
            else:
                print(admission.admit(settings, arguments.esp_id))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m kaiser_stack",
        description="Runs Kaiser on this machine, without containers.",
        epilog=_SETTINGS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    everything = commands.add_parser("run", help="start the servers and every service of the Procfile; Ctrl-C stops")
    everything.add_argument("--procfile", type=Path, default=Path("Procfile"), help="default: Procfile")
    everything.add_argument("--factory", action="store_true", help="with a factory, which has an ingest of its own")
    only_servers = commands.add_parser("servers", help="start NATS, PostgreSQL and the MQTT broker, and migrate")
    for command in (everything, only_servers):
        command.add_argument("-v", "--verbose", action="store_true", help="show the services' info lines too")
    for name, text in (
        ("stop", "end one process of a running stack and hold it"),
        ("kill", "the same by SIGKILL"),
        ("start", "let it run again"),
    ):
        commands.add_parser(name, help=text).add_argument("name", help="such as sensor or postgres")
    device = commands.add_parser("device", help="give a device a password of its own at the broker, and show it")
    device.add_argument("esp_id", help="such as ESP_0A1B2C3D")
    device.add_argument("--remove", action="store_true", help="take it away again")
    return parser


def _end(status: int, error: Exception) -> None:
    for line in str(error).splitlines():
        print(f"kaiser: {line}", file=sys.stderr)
    sys.exit(status)
