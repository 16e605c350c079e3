"""Mosquitto, which is used as the MQTT broker if it is installed."""

import getpass
import os
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from kaiser_deploy.mosquitto_passwords import set_password

from kaiser_stack import mqtt, mqtt_rights, secret_files
from kaiser_stack.errors import SetupError
from kaiser_stack.logins import Logins
from kaiser_stack.ports import LOOPBACK
from kaiser_stack.process import Program

_CONFIG = """\
listener {port} {host}
{access}user {user}

persistence true
persistence_location {home}/
# A killed Mosquitto loses what it acknowledged since it last wrote its file; SIGUSR1 makes it write immediately.
autosave_interval 10
persistent_client_expiration 30d

# By default Mosquitto keeps 1,000 messages for an absent client and drops the rest without a word.
max_queued_messages 1000000
max_queued_bytes 1073741824
# All of its memory, queues and retained messages: beyond it a client is refused, and the kernel ends no broker.
memory_limit 1879048192
max_inflight_messages 5000
# Generation A of the firmware sends everything at QoS 0, which Mosquitto otherwise drops while ingest is away.
queue_qos0_messages true
max_packet_size 1048576
# A reading is sent on at once, whatever TCP has not acknowledged yet.
set_tcp_nodelay true

sys_interval 5
log_dest stderr
log_type error
log_type warning
log_type notice
log_timestamp_format %Y-%m-%dT%H:%M:%S
"""


@dataclass(frozen=True, slots=True)
class Mosquitto:
    """A Mosquitto broker with its persistent sessions in `home`."""

    home: Path
    port: int
    logins: Logins | None = None
    anonymous: bool = False
    """Whether clients without a password are devices too."""
    name: str = "mosquitto"

    @property
    def host(self) -> str:
        """Address for clients."""
        return LOOPBACK

    def prepare(self) -> Program:
        """Write the configuration; sessions and queues are kept as they are."""
        self.home.mkdir(parents=True, exist_ok=True)
        config = self.home / "mosquitto.conf"
        text = _CONFIG.format(port=self.port, host=LOOPBACK, home=self.home, user=_user(), access=self._access())
        secret_files.write(config, text)
        return Program(self.name, (_binary(), "-c", str(config)))

    def _access(self) -> str:
        """The access part of the configuration. With `logins` the passwords and the rights are written too."""
        if not self.logins:
            return "allow_anonymous true\n"
        passwords = self.home / "passwords"
        text = ""
        for login in (self.logins.ingest, self.logins.device, *self.logins.devices):
            text = set_password(text, login.user, login.password, secrets.token_bytes(12))
        secret_files.write(passwords, text)
        rights = self.home / "access.conf"
        access = mqtt_rights.load()
        secret_files.write(rights, mqtt_rights.mosquitto_list(access, self.logins.ingest.user, self.logins.device.user))
        anonymous = "true" if self.anonymous else "false"
        return f"allow_anonymous {anonymous}\npassword_file {passwords}\nacl_file {rights}\n"

    def probe(self) -> None:
        """NotReadyError until the broker answers a CONNECT."""
        mqtt.probe(LOOPBACK, self.port)


def is_installed() -> bool:
    """Whether there is a mosquitto to run."""
    return _found() is not None


def version() -> str:
    """Its version, such as `2.0.11`; empty when it does not say."""
    shown = subprocess.run([_binary(), "-h"], capture_output=True, text=True, timeout=10, check=False)
    words = shown.stdout.split()
    return words[2] if words[:2] == ["mosquitto", "version"] else ""


def _binary() -> str:
    found = _found()
    if not found:
        raise SetupError("mosquitto is not installed: install it, or set KAISER_MQTT_BROKER=nats")
    return found


def _found() -> str | None:
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/local/sbin:/usr/sbin:/sbin")


def _user() -> str:
    """Mosquitto started by root changes to this user; it must be able to write the state folder."""
    return "root" if os.geteuid() == 0 else getpass.getuser()
