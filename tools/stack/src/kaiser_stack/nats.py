"""nats-server: the bus, and also the MQTT broker if there is no other.

If it has users, the one that the services share may do everything. ingest's MQTT user and the devices may connect only
by MQTT, limited to their rights there: without those rights a client could reach every subject of the bus through an
MQTT topic.
"""

import json
import os
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from kaiser_stack import mqtt, mqtt_rights, secret_files
from kaiser_stack.errors import NotReadyError, SetupError
from kaiser_stack.logins import Logins
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
{anonymous}}}
"""
_USERS_CONFIG = """
authorization {{
  users: [
{users}  ]
}}
"""
MEMORY_LIMIT = "280MiB"
"""Go's soft limit: the collector works harder above it. After 900,000 readings the server has 290 to 300 MB; with 160
MiB it has 190, and costs 22 µs CPU a reading instead of 4."""
MAX_ACK_PENDING = 1000
"""Messages of one MQTT subscription that await their PUBACK. The sum over the 46 filters of both dialects, of which one
that ends in # counts twice, stays under 65,536 with ten filters to spare; NATS refuses those beyond."""


@dataclass(frozen=True, slots=True)
class Nats:
    """A NATS server with JetStream in `home`; with `mqtt_port` it is also an MQTT 3.1.1 broker."""

    home: Path
    port: int
    mqtt_port: int | None = None
    logins: Logins | None = None
    anonymous: bool = False
    """Whether MQTT clients without a password are devices too."""
    name: str = "nats"

    @property
    def url(self) -> str:
        """Address for clients, with user and password where it asks for them."""
        login = f"{self.logins.bus.user}:{self.logins.bus.password}@" if self.logins else ""
        return f"nats://{login}{LOOPBACK}:{self.port}"

    def prepare(self) -> Program:
        """Write the configuration; the store is kept as it is."""
        self.home.mkdir(parents=True, exist_ok=True)
        text = _CONFIG.format(host=LOOPBACK, port=self.port, store=self.home)
        if self.mqtt_port:
            anonymous = f'  no_auth_user: "{self.logins.device.user}"\n' if self.logins and self.anonymous else ""
            text += _MQTT_CONFIG.format(host=LOOPBACK, port=self.mqtt_port, most=MAX_ACK_PENDING, anonymous=anonymous)
        if self.logins:
            text += _USERS_CONFIG.format(users=_users(self.logins))
        config = self.home / "nats.conf"
        secret_files.write(config, text)
        environment = {"GOMEMLIMIT": MEMORY_LIMIT, **os.environ}
        return Program(self.name, (binary(), "--config", str(config)), environment)

    def probe(self) -> None:
        """NotReadyError until the server answers a PING with JetStream on (and MQTT, if asked for, a CONNECT)."""
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1.0) as connection:
                connection.settimeout(2.0)
                greeting = connection.recv(65536)
                connection.sendall(b"CONNECT " + self._connect() + b"\r\nPING\r\n")
                answer = connection.recv(1024)
        except OSError as error:
            raise NotReadyError(f"nats-server at port {self.port}: {error}") from error
        if not greeting.startswith(b"INFO ") or not json.loads(greeting[5:]).get("jetstream") or b"PONG" not in answer:
            raise NotReadyError(f"nats-server at port {self.port} has no JetStream yet")
        if self.mqtt_port:
            # Signed in, so that NATS makes its streams for MQTT before the migration gives them limits.
            mqtt.probe(LOOPBACK, self.mqtt_port, self.logins.ingest if self.logins else None)

    def _connect(self) -> bytes:
        login = {"user": self.logins.bus.user, "pass": self.logins.bus.password} if self.logins else {}
        return json.dumps({"verbose": False, **login}).encode()


def _users(logins: Logins) -> str:
    access = mqtt_rights.load()
    by_mqtt = [(logins.ingest, access.ingest), (logins.device, access.any_device)]
    by_mqtt += [(one, access.device.of(one.user)) for one in logins.devices]
    lines = [f'{{ user: "{logins.bus.user}", password: "{logins.bus.password}" }}']
    lines += [
        f'{{ user: "{one.user}", password: "{one.password}", allowed_connection_types: ["MQTT"],'
        f" {mqtt_rights.nats_permissions(rights)} }}"
        for one, rights in by_mqtt
    ]
    return "".join(f"    {line}\n" for line in lines)


def binary() -> str:
    """The program nats-server. SetupError: it is not installed."""
    beside_python = Path(sys.executable).parent / "nats-server"
    found = str(beside_python) if beside_python.exists() else shutil.which("nats-server")
    if not found:
        raise SetupError("nats-server is missing: run `make install`, or set KAISER_NATS_URL to a server of your own")
    return found
