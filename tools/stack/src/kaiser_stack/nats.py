"""nats-server: the bus, and the MQTT broker where no other is there."""

import json
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from kaiser_stack import mqtt
from kaiser_stack.errors import NotReadyError, SetupError
from kaiser_stack.ports import LOOPBACK
from kaiser_stack.process import Program

_CONFIG = """\
server_name: kaiser-{port}
host: "{host}"
port: {port}
max_payload: 4MB
max_connections: 4096
write_deadline: "10s"
logfile_size_limit: 10MB

jetstream {{
  store_dir: "{store}"
  max_memory_store: 1GB
  max_file_store: 32GB
  # The default acknowledges up to two minutes before the disk has a message.
  sync_interval: always
}}
"""

_MQTT_CONFIG = """
mqtt {{
  host: "{host}"
  port: {port}
  # A message without PUBACK comes again after this time, also within one connection.
  ack_wait: "2s"
  # Of each subscription; the sum over a session's subscriptions must stay under 65,536, or NATS refuses the rest.
  max_ack_pending: {most}
}}
"""
MAX_ACK_PENDING = 1500
"""Messages of one MQTT subscription that await their PUBACK."""


@dataclass(frozen=True, slots=True)
class Nats:
    """A NATS server with JetStream in `home`; with `mqtt_port` it is also an MQTT 3.1.1 broker."""

    home: Path
    port: int
    mqtt_port: int | None = None
    name: str = "nats"

    @property
    def url(self) -> str:
        """Address for clients."""
        return f"nats://{LOOPBACK}:{self.port}"

    def prepare(self) -> Program:
        """Write the configuration; the store is kept as it is."""
        self.home.mkdir(parents=True, exist_ok=True)
        text = _CONFIG.format(host=LOOPBACK, port=self.port, store=self.home)
        if self.mqtt_port:
            text += _MQTT_CONFIG.format(host=LOOPBACK, port=self.mqtt_port, most=MAX_ACK_PENDING)
        config = self.home / "nats.conf"
        config.write_text(text)
        return Program(self.name, (_binary(), "--config", str(config)))

    def probe(self) -> None:
        """NotReadyError until the server answers a PING with JetStream on (and MQTT, if asked for, a CONNECT)."""
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1.0) as connection:
                connection.settimeout(2.0)
                greeting = connection.recv(65536)
                connection.sendall(b'CONNECT {"verbose":false}\r\nPING\r\n')
                answer = connection.recv(1024)
        except OSError as error:
            raise NotReadyError(f"nats-server at port {self.port}: {error}") from error
        if not greeting.startswith(b"INFO ") or not json.loads(greeting[5:]).get("jetstream") or b"PONG" not in answer:
            raise NotReadyError(f"nats-server at port {self.port} has no JetStream yet")
        if self.mqtt_port:
            mqtt.probe(LOOPBACK, self.mqtt_port)


def _binary() -> str:
    beside_python = Path(sys.executable).parent / "nats-server"
    found = str(beside_python) if beside_python.exists() else shutil.which("nats-server")
    if not found:
        raise SetupError("nats-server is missing: run `make install`, or set KAISER_NATS_URL to a server of your own")
    return found
