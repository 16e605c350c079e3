"""The stack's settings, read once from the environment (prefix `KAISER_`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from kaiser_stack.errors import SetupError
from kaiser_stack.ports import free_port

Broker = Literal["auto", "mosquitto", "nats"]
_LEVELS = ("debug", "info", "warning", "error")
_FORMATS = ("console", "json")


@dataclass(frozen=True, slots=True)
class StackSettings:
    """The servers and services to start, and where. A server whose address is given runs already and is not started."""

    state_dir: Path
    http_port: int
    nats_port: int
    mqtt_port: int
    nats_url: str
    database_url: str
    mqtt_host: str
    mqtt_broker: Broker
    mqtt_anonymous: bool
    admin_user: str
    admin_password: str
    admin_password_file: Path | None
    token_secret_file: Path | None
    mqtt_dialects: str = ""
    """As ingest takes it: JSON, such as `["esp", "factory"]`."""
    observe: str = ""
    topics_dialects: str = ""
    sandbox_host: str = ""
    sandbox_port: int = 0

    @property
    def keeps_devices(self) -> bool:
        """Whether messages of devices are kept as they come."""
        return '"' in self.observe or "esp" in self.topics_dialects

    @property
    def needs_sandbox(self) -> bool:
        """Whether the sandbox broker of the factory's environments is to be started."""
        return "factory" in self.mqtt_dialects and not self.sandbox_host

    @property
    def run_dir(self) -> Path:
        """Folder of pid files."""
        return self.state_dir / "run"

    @property
    def log_dir(self) -> Path:
        """Folder of logs."""
        return self.state_dir / "log"

    def log(self, name: str) -> Path:
        """Log file of one process."""
        return self.log_dir / f"{name}.log"


def load(environment: Mapping[str, str]) -> StackSettings:
    """The settings in force; an empty variable counts as not set. SetupError for one that cannot be used."""
    _one_of(environment, "KAISER_LOG_LEVEL", _LEVELS)
    _one_of(environment, "KAISER_LOG_FORMAT", _FORMATS)
    broker = _one_of(environment, "KAISER_MQTT_BROKER", get_args(Broker))
    settings = StackSettings(
        state_dir=Path(environment.get("KAISER_STATE_DIR") or ".kaiser").expanduser().absolute(),
        http_port=_port(environment, "KAISER_HTTP_PORT", 8000),
        nats_port=_port(environment, "KAISER_NATS_PORT", 4222),
        mqtt_port=_port(environment, "KAISER_MQTT_PORT", 1883),
        nats_url=environment.get("KAISER_NATS_URL", ""),
        database_url=environment.get("KAISER_DATABASE_URL", ""),
        mqtt_host=environment.get("KAISER_MQTT_HOST", ""),
        mqtt_broker=broker,  # type: ignore[arg-type]
        mqtt_anonymous=_one_of(environment, "KAISER_MQTT_ANONYMOUS", ("false", "true")) == "true",
        admin_user=environment.get("KAISER_ADMIN_USER") or "admin",
        admin_password=environment.get("KAISER_ADMIN_PASSWORD", ""),
        admin_password_file=_path(environment, "KAISER_ADMIN_PASSWORD_FILE"),
        token_secret_file=_path(environment, "KAISER_TOKEN_SECRET_FILE"),
        mqtt_dialects=environment.get("KAISER_MQTT_DIALECTS", ""),
        observe=environment.get("KAISER_OBSERVE", ""),
        topics_dialects=environment.get("KAISER_TOPICS_DIALECTS", ""),
        sandbox_host=environment.get("KAISER_SANDBOX_HOST", ""),
        sandbox_port=_port(environment, "KAISER_SANDBOX_PORT", 1884),
    )
    _differ(settings)
    return settings


def _port(environment: Mapping[str, str], name: str, default: int) -> int:
    """A port by its setting; 0 takes one that is free."""
    text = environment.get(name, "").strip() or str(default)
    if not text.isdecimal() or not 0 <= int(text) <= 65535:
        raise SetupError(f"{name}={text!r} is not a port: set it to a number from 1 to 65535, such as {name}={default}")
    return int(text) or free_port()


def _one_of(environment: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    text = environment.get(name) or choices[0]
    if text not in choices:
        raise SetupError(f"{name}={text!r} is not known: set it to one of {', '.join(choices)}")
    return text


def _path(environment: Mapping[str, str], name: str) -> Path | None:
    text = environment.get(name)
    return Path(text).expanduser().absolute() if text else None


def _differ(settings: StackSettings) -> None:
    ports = {"KAISER_HTTP_PORT": settings.http_port}
    if not settings.nats_url:
        ports["KAISER_NATS_PORT"] = settings.nats_port
    if not settings.mqtt_host:
        ports["KAISER_MQTT_PORT"] = settings.mqtt_port
    if settings.needs_sandbox:
        ports["KAISER_SANDBOX_PORT"] = settings.sandbox_port
    for name, port in ports.items():
        twin = next((other for other, number in ports.items() if number == port and other != name), None)
        if twin:
            raise SetupError(f"{name} and {twin} are both {port}: set one of them to another port")
