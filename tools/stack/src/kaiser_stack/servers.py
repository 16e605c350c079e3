"""Which servers a stack starts, and the addresses under which its services find them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from kaiser_stack import logins, mosquitto, ports
from kaiser_stack.errors import SetupError
from kaiser_stack.logins import Login, Logins
from kaiser_stack.mosquitto import Mosquitto
from kaiser_stack.nats import Nats
from kaiser_stack.postgres import Postgres
from kaiser_stack.private import Server
from kaiser_stack.sandbox import Sandbox
from kaiser_stack.settings import StackSettings


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers to start, in the order in which they are to be stopped, and who the MQTT broker is, for people."""

    to_start: tuple[Server, ...]
    postgres: Postgres | None
    broker: str
    logins: Logins

    def addresses(self, settings: StackSettings) -> Mapping[str, str]:
        """Where services find the servers and how they sign in, as settings; ask once the servers are prepared.

        Servers of one's own keep the users and passwords that the environment names.
        """
        found = {
            "KAISER_NATS_URL": settings.nats_url or f"nats://{ports.LOOPBACK}:{settings.nats_port}",
            "KAISER_DATABASE_URL": settings.database_url,
            "KAISER_MQTT_HOST": settings.mqtt_host or ports.LOOPBACK,
            "KAISER_MQTT_PORT": str(settings.mqtt_port),
        }
        if not settings.nats_url:
            found |= _sign_in("KAISER_NATS_USER", "KAISER_NATS_PASSWORD", self.logins.bus)
        if self.postgres:
            found["KAISER_DATABASE_URL"] = replace(self.postgres, login=None).url()
            found["KAISER_DATABASE_PASSWORD_FILE"] = str(self.logins.database.file)
        if not settings.mqtt_host:
            found |= _sign_in("KAISER_MQTT_USERNAME", "KAISER_MQTT_PASSWORD", self.logins.ingest)
        if settings.needs_sandbox:
            found |= {
                "KAISER_SANDBOX_HOST": ports.LOOPBACK,
                "KAISER_SANDBOX_PORT": str(settings.sandbox_port),
                "KAISER_SANDBOX_PASSWORD_FILE": str(self.logins.sandbox.file),
            }
        return found

    def for_tools(self, settings: StackSettings) -> dict[str, str]:
        """The same for tools and people: addresses with passwords, and a device's user at the MQTT broker."""
        found = dict(self.addresses(settings))
        nats = next((server for server in self.to_start if isinstance(server, Nats)), None)
        device = {} if settings.mqtt_host else {"mqtt_username": self.logins.device.user}
        return {
            "nats_url": nats.url if nats else found["KAISER_NATS_URL"],
            "database_url": self.postgres.url() if self.postgres else found["KAISER_DATABASE_URL"],
            **device,
            **({"mqtt_password": self.logins.device.password} if device else {}),
        }


def _sign_in(user: str, password: str, login: Login) -> dict[str, str]:
    return {user: login.user, password: "", f"{password}_FILE": str(login.file)}


def choose(settings: StackSettings) -> Servers:
    """Every server whose address is not given. SetupError when there is no MQTT broker to be had."""
    broker = _broker(settings)
    users = logins.keep(settings.state_dir)
    servers: list[Server] = []
    if broker == "mosquitto":
        home = settings.state_dir / "mosquitto"
        servers.append(Mosquitto(home, settings.mqtt_port, users, settings.mqtt_anonymous))
    if not settings.nats_url:
        mqtt_port = settings.mqtt_port if broker == "nats" else None
        servers.append(Nats(settings.state_dir / "nats", settings.nats_port, mqtt_port, users, settings.mqtt_anonymous))
    if settings.needs_sandbox:
        servers.append(Sandbox(settings.state_dir / "sandbox", settings.sandbox_port, users.sandbox))
    postgres = None if settings.database_url else Postgres(settings.state_dir / "postgres", login=users.database)
    if postgres:
        servers.append(postgres)
    return Servers(tuple(servers), postgres, _in_words(settings, broker), users)


def require_ports(settings: StackSettings) -> None:
    """SetupError naming each port that another program has."""
    wanted = {"KAISER_HTTP_PORT": settings.http_port}
    if not settings.nats_url:
        wanted["KAISER_NATS_PORT"] = settings.nats_port
    if not settings.mqtt_host:
        wanted["KAISER_MQTT_PORT"] = settings.mqtt_port
    if settings.needs_sandbox:
        wanted["KAISER_SANDBOX_PORT"] = settings.sandbox_port
    ports.require_free(wanted)


def _broker(settings: StackSettings) -> str:
    if settings.mqtt_host:
        return "external"
    if settings.mqtt_broker == "mosquitto" or (settings.mqtt_broker == "auto" and mosquitto.is_installed()):
        return "mosquitto"
    if settings.nats_url:
        raise SetupError(
            "there is no MQTT broker: install mosquitto, or set KAISER_MQTT_HOST and KAISER_MQTT_PORT to your own"
        )
    return "nats"


def _in_words(settings: StackSettings, broker: str) -> str:
    if broker == "mosquitto":
        return f"Mosquitto {mosquitto.version()}"
    if broker == "nats":
        return "NATS's listener, MQTT 3.1.1; with mosquitto installed that is used instead"
    return f"your own at {settings.mqtt_host}"
