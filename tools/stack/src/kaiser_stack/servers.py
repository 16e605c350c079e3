"""Which servers a stack starts, and the addresses under which its services find them."""

from collections.abc import Mapping
from dataclasses import dataclass

from kaiser_stack import mosquitto, ports
from kaiser_stack.errors import SetupError
from kaiser_stack.mosquitto import Mosquitto
from kaiser_stack.nats import Nats
from kaiser_stack.postgres import Postgres
from kaiser_stack.private import Server
from kaiser_stack.settings import StackSettings


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers to start, in the order in which they are to be stopped, and who the MQTT broker is, for people."""

    to_start: tuple[Server, ...]
    postgres: Postgres | None
    broker: str

    def addresses(self, settings: StackSettings) -> Mapping[str, str]:
        """Where services find the servers, as settings; ask once the servers are prepared."""
        return {
            "KAISER_NATS_URL": settings.nats_url or f"nats://{ports.LOOPBACK}:{settings.nats_port}",
            "KAISER_DATABASE_URL": self.postgres.url() if self.postgres else settings.database_url,
            "KAISER_MQTT_HOST": settings.mqtt_host or ports.LOOPBACK,
            "KAISER_MQTT_PORT": str(settings.mqtt_port),
        }


def choose(settings: StackSettings) -> Servers:
    """Every server whose address is not given. SetupError when there is no MQTT broker to be had."""
    broker = _broker(settings)
    servers: list[Server] = []
    if broker == "mosquitto":
        servers.append(Mosquitto(settings.state_dir / "mosquitto", settings.mqtt_port))
    if not settings.nats_url:
        mqtt_port = settings.mqtt_port if broker == "nats" else None
        servers.append(Nats(settings.state_dir / "nats", settings.nats_port, mqtt_port))
    postgres = None if settings.database_url else Postgres(settings.state_dir / "postgres")
    if postgres:
        servers.append(postgres)
    return Servers(tuple(servers), postgres, _in_words(settings, broker))


def require_ports(settings: StackSettings) -> None:
    """SetupError naming the first port that another program has."""
    if not settings.nats_url:
        ports.require_free("KAISER_NATS_PORT", settings.nats_port)
    if not settings.mqtt_host:
        ports.require_free("KAISER_MQTT_PORT", settings.mqtt_port)
    ports.require_free("KAISER_HTTP_PORT", settings.http_port)


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
