"""The sandbox broker: a separate NATS process with an MQTT listener, where the factory's mocks and replays run.

The users mock and replay have separate accounts, and accounts share no subjects, so what is published in one
environment is never received in another. No machine connects here: only ingest has the password.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from kaiser_stack import mqtt, secret_files
from kaiser_stack.logins import Login
from kaiser_stack.nats import MAX_ACK_PENDING, binary
from kaiser_stack.ports import LOOPBACK
from kaiser_stack.process import Program

_CONFIG = """\
server_name: kaiser-sandbox-{port}
host: "{host}"
port: -1
max_payload: 4MB
logfile_size_limit: 10MB
jetstream {{
  store_dir: "{store}"
  max_memory_store: 64MB
  max_file_store: 1GB
}}
mqtt {{
  host: "{host}"
  port: {port}
  ack_wait: "2s"
  max_ack_pending: {most}
}}
accounts {{
{accounts}}}
"""
_ACCOUNT = """\
  {account} {{
    jetstream: enabled
    users: [ {{ user: "{user}", password: "{password}", allowed_connection_types: ["MQTT"] }} ]
  }}
"""
ENVIRONMENTS = ("mock", "replay")
_MEMORY_LIMIT = "160MiB"
"""Go's soft limit, as in containers: less than the bus has, because the messages of one factory are few."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A NATS server that speaks MQTT 3.1.1 at `port`; what it holds is of no worth once an environment is left."""

    home: Path
    port: int
    login: Login
    name: str = "sandbox"

    def prepare(self) -> Program:
        """Write the configuration."""
        self.home.mkdir(parents=True, exist_ok=True)
        accounts = "".join(
            _ACCOUNT.format(account=name.upper(), user=name, password=self.login.password) for name in ENVIRONMENTS
        )
        text = _CONFIG.format(host=LOOPBACK, port=self.port, store=self.home, most=MAX_ACK_PENDING, accounts=accounts)
        config = self.home / "nats.conf"
        secret_files.write(config, text)
        environment = {"GOMEMLIMIT": _MEMORY_LIMIT, **os.environ}
        return Program(self.name, (binary(), "--config", str(config)), environment)

    def probe(self) -> None:
        """NotReadyError until it answers a CONNECT."""
        mqtt.probe(LOOPBACK, self.port)
