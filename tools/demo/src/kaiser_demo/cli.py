"""The command line: `python -m kaiser_demo load|remove|send|replay`."""

import argparse
import json
import os
import sys
from pathlib import Path

from kaiser_stack import logins, report
from kaiser_stack.console import Console
from kaiser_stack.errors import NotReadyError, SetupError
from kaiser_stack.ports import LOOPBACK
from kaiser_stack.settings import StackSettings, load

from kaiser_demo import factory, fate, mocks, replays, rest, send


def main() -> None:
    """Entry point. Exit status: 0 done, 1 it failed, 2 something is to be set, installed or stopped first."""
    arguments = _parser().parse_args()
    try:
        _carry_out(arguments, load(os.environ))
    except replays.Differs as differences:
        print(f"kaiser: the end is not the one expected:\n{differences}", file=sys.stderr)
        sys.exit(1)
    except fate.SentRejected as rejection:
        print(f"kaiser: {rejection}", file=sys.stderr)
        sys.exit(1)
    except (SetupError, NotReadyError) as error:
        print(f"kaiser: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, SetupError) else 1)


def _carry_out(arguments: argparse.Namespace, settings: StackSettings) -> None:
    say = Console(verbose=False).notice
    match arguments.command:
        case "load":
            _load(mocks.read(arguments.file), settings, say)
        case "remove":
            _remove(mocks.read(arguments.file), settings, say)
        case "replay":
            with rest.signed_in(settings) as session:
                replays.replay(session, arguments.file, arguments.expect, arguments.speed, say)
        case "send":
            _send(arguments, settings, say)


def _send(arguments: argparse.Namespace, settings: StackSettings, say: mocks.Say) -> None:
    """Send a reading; print whether it was stored or rejected, or without a stack here, that the broker has it."""
    reading = send.SentReading(
        arguments.kaiser, arguments.esp, arguments.gpio, arguments.type, arguments.value, arguments.unit
    )
    host, port = broker_of(settings)

    def once() -> send.AcknowledgedReading:
        sent = send.send(host, port, reading, *_device(settings))
        print(f"{sent.topic}\n{sent.payload}")
        say(f"acknowledged by the broker at {host}:{port}")
        return sent

    if not report.addresses_file(settings).exists():
        once()
        say(f"no stack runs on {settings.state_dir}, so it is not known whether the reading was stored")
        return
    with rest.signed_in(settings) as session:
        if arguments.register:
            fate.register(session, reading.esp_id)
        say(fate.follow(session, reading, once, registered=arguments.register))


def broker_of(settings: StackSettings) -> tuple[str, int]:
    """Host and port of the broker: as set, else of the stack that runs on these settings."""
    if not settings.mqtt_host:
        try:
            addresses = json.loads(report.addresses_file(settings).read_text())
            return addresses["mqtt_host"], addresses["mqtt_port"]
        except FileNotFoundError:
            return LOOPBACK, settings.mqtt_port
    return settings.mqtt_host, settings.mqtt_port


def _load(content: mocks.Demo, settings: StackSettings, say: mocks.Say) -> None:
    with rest.signed_in(settings) as session:
        if content.devices:
            mocks.load(session, content, say)
        if content.factory is not None:
            factory.load(session, content.factory, say)


def _remove(content: mocks.Demo, settings: StackSettings, say: mocks.Say) -> None:
    with rest.signed_in(settings) as session:
        if content.devices:
            mocks.remove(session, content, say)
        if content.factory is not None:
            factory.remove(session, say)


def _device(settings: StackSettings) -> tuple[str, str]:
    """User and password of a device: of the environment, or at the broker that a stack on these settings started."""
    if settings.mqtt_host:
        return os.environ.get("KAISER_MQTT_USERNAME", ""), os.environ.get("KAISER_MQTT_PASSWORD", "")
    login = logins.keep(settings.state_dir).device
    return login.user, login.password


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m kaiser_demo", description="Tries out a stack that runs on the settings of the environment."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (
        ("load", "load mock devices and rules from a file"),
        ("remove", "remove the mock devices and rules of a file"),
    ):
        file = commands.add_parser(name, help=text)
        file.add_argument(
            "--file", type=Path, default=Path("demo/greenhouse.yaml"), help="default: demo/greenhouse.yaml"
        )
    recording = commands.add_parser("replay", help="replay a recording's file and compare its end")
    recording.add_argument("--file", type=Path, required=True, help="a recording, as docs/recordings.md lists them")
    recording.add_argument("--expect", type=Path, help="the end that is expected, JSON; without it none is")
    recording.add_argument("--speed", default="max", help="0.1 to 100, default max")
    reading = commands.add_parser("send", help="send one reading over MQTT as a device would")
    reading.add_argument("--kaiser", default="god", help="kaiser_id, default god")
    reading.add_argument("--esp", default="ESP_0A1B2C3D", help="esp_id, default ESP_0A1B2C3D")
    reading.add_argument("--gpio", type=int, default=4, help="default 4")
    reading.add_argument("--type", default="DS18B20", help="sensor_type, default DS18B20")
    reading.add_argument("--value", type=float, default=21.5, help="default 21.5")
    reading.add_argument("--unit", default="", help="such as °C; default none")
    reading.add_argument("--register", action="store_true", help="register the device first, if it is not")
    return parser
