"""The command line of the stack: run, servers, send."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from kaiser_stack import procfile, send, settings
from kaiser_stack.console import Console
from kaiser_stack.errors import SetupError
from kaiser_stack.run import Stack

_SETTINGS = """settings, from the environment:
  KAISER_STATE_DIR       .kaiser     data, logs and secrets
  KAISER_HTTP_PORT       8000        REST, WebSocket and console
  KAISER_MQTT_PORT       1883        KAISER_MQTT_HOST: a broker of your own, none is started
  KAISER_MQTT_BROKER     auto        auto, mosquitto or nats
  KAISER_NATS_PORT       4222        KAISER_NATS_URL: a server of your own, none is started
  KAISER_DATABASE_URL                a PostgreSQL of your own, none is started
  KAISER_ADMIN_USER      admin       KAISER_ADMIN_PASSWORD: else one is made once, in the state folder
  KAISER_LOG_LEVEL       info        debug, info, warning or error
  KAISER_LOG_FORMAT      console     console or json
"""


def main() -> None:
    """Run a command; exit status 2 when something has to be set, installed or stopped first."""
    arguments = _parser().parse_args()
    try:
        stack_settings = settings.load(os.environ)
        if arguments.command == "send":
            _send(arguments, stack_settings)
        else:
            _run(arguments, stack_settings)
    except SetupError as error:
        print(f"kaiser: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kaiser-stack",
        description="Kaiser as native processes.",
        epilog=_SETTINGS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="servers, migration and every installed service, until Ctrl-C")
    run.add_argument("--procfile", type=Path, default=Path("Procfile"), help="which services (default: Procfile)")
    servers = commands.add_parser("servers", help="the servers and the migration only, until Ctrl-C")
    for command in (run, servers):
        command.add_argument("--verbose", action="store_true", help="show the services' info lines too")
    sender = commands.add_parser("send", help="send one reading over MQTT, as a device would")
    sender.add_argument("--esp", default="ESP_0A1B2C3D", help="esp_id of the device (default: %(default)s)")
    sender.add_argument("--gpio", type=int, default=4, help="pin (default: %(default)s)")
    sender.add_argument("--type", default="DS18B20", help="sensor_type (default: %(default)s)")
    sender.add_argument("--value", type=float, default=21.5, help="the value (default: %(default)s)")
    return parser


def _run(arguments: argparse.Namespace, stack_settings: settings.StackSettings) -> None:
    services = []
    if arguments.command == "run":
        services = [entry for entry in procfile.read(arguments.procfile) if procfile.installed(entry.command[0])]
        if not services:
            raise SetupError("no service of the Procfile is installed: run `make install`")
    asyncio.run(Stack(stack_settings, Console(arguments.verbose), services).run())


def _send(arguments: argparse.Namespace, stack_settings: settings.StackSettings) -> None:
    host = stack_settings.mqtt_host or "127.0.0.1"
    topic, payload = send.reading(arguments.esp, arguments.gpio, arguments.type, arguments.value)
    seconds = send.send(host, stack_settings.mqtt_port, topic, payload)
    print(f"sent to {topic}\n  {payload}\nacknowledged by the broker after {seconds * 1000:.1f} ms")
