"""The command line: `python -m kaiser_stack run|servers|stop|start|kill|send|device|demo`."""

import argparse
import os
import sys
from pathlib import Path

from kaiser_stack import control, demo, logins, misspelt, procfile, rest, send, servers
from kaiser_stack.console import Console
from kaiser_stack.errors import NotReadyError, SetupError
from kaiser_stack.mosquitto import Mosquitto
from kaiser_stack.nats import Nats
from kaiser_stack.run import run
from kaiser_stack.settings import StackSettings, load
from kaiser_stack.start import Plan

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
    except SetupError as error:
        _end(2, error)
    except NotReadyError as error:
        _end(1, error)


def _entries(path: Path, settings: StackSettings) -> tuple[procfile.Entry, ...]:
    """The services of the Procfile, and the factory's where its dialect is spoken."""
    entries = procfile.read(path)
    if "factory" in settings.mqtt_dialects:
        entries.append(procfile.Entry("factory", ("kaiser-factory",)))
    return tuple(entries)


def _carry_out(arguments: argparse.Namespace, settings: StackSettings) -> None:
    console = Console(verbose=getattr(arguments, "verbose", False))
    if arguments.command in ("run", "servers"):
        for sentence in misspelt.notices(os.environ, misspelt.documented(Path("docs"))):
            console.notice(sentence)
    match arguments.command:
        case "run":
            run(Plan(settings, _entries(arguments.procfile, settings), console))
        case "servers":
            run(Plan(settings, (), console))
        case "stop":
            control.stop(settings.run_dir, arguments.name)
        case "kill":
            control.stop(settings.run_dir, arguments.name, kill=True)
        case "start":
            control.start(settings.run_dir, arguments.name)
        case "demo":
            content, session = demo.read(arguments.file), rest.sign_in(settings)
            (demo.remove if arguments.remove else demo.load)(session, content, console.notice)
        case "send":
            reading = send.Reading(arguments.kaiser, arguments.esp, arguments.gpio, arguments.type, arguments.value)
            print(send.send(settings.mqtt_host or "127.0.0.1", settings.mqtt_port, reading, *_device(settings)))
        case "device":
            _admit(settings, arguments.esp_id, remove=arguments.remove)


def _admit(settings: StackSettings, esp_id: str, *, remove: bool) -> None:
    """Give a device a password of its own at the broker that a stack on these settings starts, or take it away."""
    if settings.mqtt_host:
        raise SetupError("KAISER_MQTT_HOST names a broker of your own: give devices their passwords there")
    if remove:
        logins.shut_out(settings.state_dir, esp_id)
    else:
        print(logins.admit(settings.state_dir, esp_id).password)
    for server in servers.choose(settings).to_start:
        if isinstance(server, (Mosquitto, Nats)):
            server.prepare()
            control.read_again(settings.run_dir, server.name)


def _device(settings: StackSettings) -> tuple[str, str]:
    """User and password of a device: of the environment, or at the broker that a stack on these settings started."""
    if settings.mqtt_host:
        return os.environ.get("KAISER_MQTT_USERNAME", ""), os.environ.get("KAISER_MQTT_PASSWORD", "")
    login = logins.keep(settings.state_dir).device
    return login.user, login.password


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
    only_servers = commands.add_parser("servers", help="start NATS, PostgreSQL and the MQTT broker, and migrate")
    for command in (everything, only_servers):
        command.add_argument("-v", "--verbose", action="store_true", help="show the services' info lines too")
    for name, text in (
        ("stop", "end one process of a running stack and hold it"),
        ("kill", "the same by SIGKILL"),
        ("start", "let it run again"),
    ):
        commands.add_parser(name, help=text).add_argument("name", help="such as sensor or postgres")
    mocks = commands.add_parser("demo", help="load mock devices and rules from a file into the running stack")
    mocks.add_argument("--file", type=Path, default=Path("demo/greenhouse.yaml"), help="default: demo/greenhouse.yaml")
    mocks.add_argument("--remove", action="store_true", help="take them away again")
    device = commands.add_parser("device", help="give a device a password of its own at the broker, and show it")
    device.add_argument("esp_id", help="such as ESP_0A1B2C3D")
    device.add_argument("--remove", action="store_true", help="take it away again")
    _add_send(commands.add_parser("send", help="send one reading over MQTT as a device would"))
    return parser


def _add_send(command: argparse.ArgumentParser) -> None:
    command.add_argument("--kaiser", default="god", help="kaiser_id, default god")
    command.add_argument("--esp", default="ESP_0A1B2C3D", help="esp_id, default ESP_0A1B2C3D")
    command.add_argument("--gpio", type=int, default=4, help="default 4")
    command.add_argument("--type", default="DS18B20", help="sensor_type, default DS18B20")
    command.add_argument("--value", type=float, default=21.5, help="default 21.5")


def _end(status: int, error: Exception) -> None:
    print(f"kaiser: {error}", file=sys.stderr)
    sys.exit(status)
