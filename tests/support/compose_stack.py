"""The containers of compose.yaml under a separate project name, with the methods of the native stack (harness.Stack).

Devices have to sign in here, so each gets a password in the way an operator would give it one, and connects as its own
client.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import psycopg
from harness import ROOT, Message, Stack, wait_until
from leaving import leave
from paho.mqtt.enums import CallbackAPIVersion

UP_WITHIN_S = 1200.0
"""Images are built in it, on a machine that may be busy."""
_SERVICE_OF = {"postgres": "timescaledb"}


class ComposeStack(Stack):
    """`start` builds the images and brings everything up; `end` removes containers and volumes."""

    def __init__(self, folder: Path, project: str, free_port: Callable[[], int]) -> None:
        super().__init__(folder / "secrets")
        http_port, mqtt_port = free_port(), free_port()
        self.addresses = {
            "http_url": f"http://127.0.0.1:{http_port}",
            "mqtt_host": "127.0.0.1",
            "mqtt_port": mqtt_port,
        }
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("KAISER_", "COMPOSE_"))},
            **{name: os.environ[name] for name in ("KAISER_IMAGE_DIGESTS",) if name in os.environ},
            "COMPOSE_PROJECT_NAME": project,
            "COMPOSE_ANSI": "never",
            "KAISER_SECRETS_DIR": str(self.state_dir),
            "KAISER_HTTP_PORT": str(http_port),
            "KAISER_MQTT_PORT": str(mqtt_port),
            "KAISER_MQTT_TLS_PORT": str(free_port()),
            "KAISER_GRAFANA_PORT": str(free_port()),
            "COMPOSE_PROFILES": "factory",
            "KAISER_MQTT_DIALECTS": '["esp", "factory"]',
        }
        self._passwords: dict[str, str] = {}

    def start(self) -> "ComposeStack":
        """Start the stack as `make up` does."""
        self.deploy("secrets")
        self.compose("up", "--build", "--wait", "--detach", "--quiet-pull", within_s=UP_WITHIN_S)
        return self

    def end(self) -> None:
        """Remove everything but the images."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5", within_s=120.0, check=False)

    def compose(self, *arguments: str, within_s: float = 240.0, check: bool = True) -> str:
        """Run `docker compose`; its output."""
        ended = subprocess.run(
            ["docker", "compose", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
        assert ended.returncode == 0 or not check, f"compose {arguments}: {ended.stderr[-3000:]}\n{self.logs()}"
        return ended.stdout

    def deploy(self, *arguments: str) -> str:
        """Run a command of the operator; its output."""
        return subprocess.run(
            [sys.executable, "-m", "kaiser_deploy", "--folder", str(self.state_dir), *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout

    def secret(self, name: str) -> str:
        """A secret that was made."""
        return (self.state_dir / name).read_text().strip()

    def _pid(self, name: str) -> int | None:
        container = self.compose("ps", "--quiet", _SERVICE_OF.get(name, name)).split()
        if not container:
            return None
        return int(docker("inspect", "--format", "{{.State.Pid}}", container[0])) or None

    def control(self, command: str, name: str) -> None:
        """`kill` a container, which then stays down, or `start` it again."""
        self.compose(command, _SERVICE_OF.get(name, name))

    def logs(self, lines: int = 40) -> str:
        """The end of every container's log, for a failed test."""
        return subprocess.run(
            ["docker", "compose", "logs", "--no-color", "--tail", str(lines)],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        ).stdout

    def log_of(self, name: str) -> str:
        """The whole log of one."""
        return self.compose("logs", "--no-color", "--no-log-prefix", name)

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """As `make down`: the data stays."""
        self.compose("down", "--timeout", "10", within_s=120.0)
        return 0

    # What goes in and comes out

    def admit(self, devices: Iterable[str]) -> None:
        """Give devices their passwords, and have the broker read the file."""
        for line in self.deploy("device", *devices).splitlines():
            _, esp_id, _, password = line.split()
            self._passwords[esp_id] = password
        self.compose("kill", "--signal", "HUP", "mosquitto")

    def register(self, count: int) -> list[str]:
        """As natively; strangers of the same number may sign in too, but are not registered."""
        devices = super().register(count)
        self.admit([*devices, *(esp_id.replace("TEST_", "SIM_") for esp_id in devices)])
        return devices

    def _newest(self, stream: str) -> int:
        accounts = json.loads(self._inside("http://nats:8222/jsz?accounts=true&streams=true"))["account_details"]
        return next(
            int(each["state"]["last_seq"])
            for account in accounts
            for each in account["stream_detail"]
            if each["name"] == stream
        )

    def _metrics_of_ingest(self) -> str:
        return self._inside("http://ingest:9100/metrics")

    def _inside(self, url: str) -> str:
        """The answer to a request on the network of the containers, which publishes neither metrics nor NATS."""
        return self.compose("exec", "-T", "prometheus", "wget", "-q", "-O", "-", url, check=False)

    def publish(self, messages: Iterable[Message], *, as_ingest: bool = False) -> None:
        """Send messages at QoS 1, each as the device that its topic names; the last once the broker has all others."""
        assert not as_ingest, "ingest's password stays in its container"
        *others, last = messages
        with contextlib.ExitStack() as connected:
            devices = {_sender(each) for each in (*others, last)}
            clients = {esp_id: connected.enter_context(self.device(esp_id)) for esp_id in devices}

            def send(part: Iterable[Message]) -> None:
                sent = [clients[_sender(each)].publish(each.topic, each.payload, qos=1) for each in part]
                wait_until(lambda: all(one.is_published() for one in sent), "the broker acknowledged", 60.0)

            send(others)
            send([last])

    def device(
        self, esp_id: str, password: str | None = None, within_s: float = 60.0
    ) -> contextlib.AbstractContextManager[paho.Client]:
        """A device that is connected to the broker."""
        return self.client(esp_id, self._passwords[esp_id] if password is None else password, within_s)

    @contextlib.contextmanager
    def client(self, user: str, password: str, within_s: float = 60.0) -> Iterator[paho.Client]:
        """A client that is connected to the broker as this user."""
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
        client.username_pw_set(user, password)
        client.connect(self.addresses["mqtt_host"], self.addresses["mqtt_port"], keepalive=30)
        client.loop_start()
        try:
            wait_until(client.is_connected, f"{user} is let in", within_s)
            yield client
        finally:
            leave(client)

    def rows(self, devices: list[str]) -> int:
        """How many readings of the devices are stored. The database is not published: asked from within."""
        ids = ",".join(f"'{esp_id}'" for esp_id in devices)
        return int(self.sql(f"SELECT count(*) FROM sensor.data WHERE esp_id IN ({ids})"))

    def sql(self, statement: str) -> str:
        """The answer to a statement of the superuser."""
        psql = ("psql", "-U", "postgres", "-d", "kaiser", "-AtX", "-c", statement)
        ended = subprocess.run(
            ["docker", "compose", "exec", "-T", "timescaledb", *psql],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )  # fmt: skip
        if ended.returncode:
            raise psycopg.OperationalError(ended.stderr)
        return ended.stdout.strip()

    async def rejected(self, topics: set[str] | None = None) -> list[dict[str, Any]]:
        """Every rejected message, or those that came by one of these MQTT topics, as an operator sees them."""
        found: list[dict[str, Any]] = []
        cursor = None
        with self.sign_in() as rest:
            while True:
                query = {"encoding": "base64", "limit": "500"} | ({"cursor": cursor} if cursor else {})
                page = rest.get("/api/v1/rejected", params=query)
                page.raise_for_status()
                found += page.json()["items"]
                cursor = page.json()["next_cursor"]
                if cursor is None:
                    break
        wanted = [item for item in found if topics is None or item["topic"] in topics]
        return [item | {"payload_base64": item["payload"]} for item in wanted]


def _sender(message: Message) -> str:
    return message.topic.split("/")[3]


def docker(*arguments: str) -> str:
    """Run `docker`; its output."""
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=240, check=True).stdout
