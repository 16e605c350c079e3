"""The report of a stack that is ready: a table for people, a file of addresses for programs."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kaiser_stack import secret_files
from kaiser_stack.ports import LOOPBACK
from kaiser_stack.settings import StackSettings

GATEWAY = "websocket-gateway"
SIMULATOR = "simulator"
FACTORY = "factory"


@dataclass(frozen=True, slots=True)
class Ready:
    """A stack that is ready: the services' environment, the ports of their internal HTTP, the broker in words."""

    environment: Mapping[str, str]
    metrics_ports: Mapping[str, int]
    broker: str
    for_tools: Mapping[str, str]
    """Addresses with passwords, and a device's user: of stack.json alone."""


def addresses_file(settings: StackSettings) -> Path:
    """The file of addresses; it is there only while the stack is ready."""
    return settings.run_dir / "stack.json"


def write_addresses(settings: StackSettings, ready: Ready) -> None:
    """Write the file, readable by its owner alone: addresses hold passwords."""
    addresses = {
        "pid": os.getpid(),
        "http_url": f"http://{LOOPBACK}:{settings.http_port}",
        "mqtt_host": ready.environment["KAISER_MQTT_HOST"],
        "mqtt_port": settings.mqtt_port,
        **ready.for_tools,
        "metrics_ports": dict(ready.metrics_ports),
    }
    path = addresses_file(settings)
    secret_files.write(path, json.dumps(addresses, indent=2) + "\n")


def rows(settings: StackSettings, ready: Ready) -> list[tuple[str, str]]:
    """The table: where everything is."""
    web = f"{LOOPBACK}:{settings.http_port}"
    password = ready.environment.get("KAISER_ADMIN_PASSWORD_FILE")
    gateway = [
        ("console", f"http://{web}/"),
        ("REST", f"http://{web}/api/v1/   described at http://{web}/api/docs"),
        ("WebSocket", f"ws://{web}/api/v1/ws/realtime/{{client_id}}?token={{token}}"),
        ("admin", f"user {settings.admin_user}, password {f'in {_short(password)}' if password else 'as you set it'}"),
    ]
    demo = [("demo", "`make demo` in another terminal loads a greenhouse of eight mock devices")]
    model = [("", "`make demo FILE=demo/factory.yaml` starts a mock factory")]
    return [
        *(gateway if GATEWAY in ready.metrics_ports else []),
        ("MQTT", f"{ready.environment['KAISER_MQTT_HOST']}:{settings.mqtt_port}   {ready.broker}"),
        *_device(settings, ready),
        *(demo if {GATEWAY, SIMULATOR} <= set(ready.metrics_ports) else []),
        *(model if {GATEWAY, SIMULATOR, FACTORY} <= set(ready.metrics_ports) else []),
        ("logs", f"{_short(str(settings.log_dir))}/   warnings and errors show here too"),
    ]


def _device(settings: StackSettings, ready: Ready) -> list[tuple[str, str]]:
    """How a device signs in at the broker that was started."""
    user = ready.for_tools.get("mqtt_username")
    if not user or settings.mqtt_anonymous:
        return []
    return [("", f"user {user}, password in {_short(str(settings.state_dir / 'mqtt-device-password'))}")]


def _short(path: str) -> str:
    """A path below the current folder without that folder."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path
