"""Settings of ingest."""

import re
from pathlib import Path
from typing import Annotated, Self

from kaiser_common.contract.schemas.factory import EnvironmentKind
from kaiser_common.contract.topics import filters
from kaiser_common.runtime.settings import CommonSettings
from kaiser_factory_dialect.filters import fault
from pydantic import Field, SecretStr, model_validator

from kaiser_ingest.mqtt.profiles import Dialect, Profile


class IngestSettings(CommonSettings):
    """The broker, the bounds of what is in flight, and the other brokers to switch to."""

    site: str = Field(default="god", pattern=r"^[A-Za-z0-9_]{1,32}$", description="kaiser_id of this site.")
    mqtt_host: str = Field(default="127.0.0.1", min_length=1, description="Address of the MQTT broker.")
    mqtt_port: int = Field(default=1883, ge=1, le=65535, description="Port of the MQTT broker.")
    mqtt_username: str = Field(default="", description="User at the MQTT broker, empty for none.")
    mqtt_password: SecretStr = Field(default=SecretStr(""), description="Password at the MQTT broker.")
    mqtt_password_file: Path | None = Field(default=None, description="File that holds the MQTT password.")
    mqtt_tls: bool = Field(default=False, description="Speak TLS with the MQTT broker.")
    mqtt_tls_ca_file: Path | None = Field(default=None, description="CA of the MQTT broker; empty: the system's CAs.")
    mqtt_tls_certificate_file: Path | None = Field(default=None, description="Client certificate for the MQTT broker.")
    mqtt_tls_key_file: Path | None = Field(default=None, description="Key of the client certificate.")
    mqtt_tls_listeners: tuple[Annotated[str, Field(pattern=r"^.+:\d{1,5}$")], ...] = Field(
        default=(),
        description='Where devices connect with TLS, to watch the end of the certificate, JSON: ["mosquitto:8883"].',
    )
    mqtt_client_id: str = Field(default="", description="Client id at the broker; empty: kaiser-ingest-<site>.")
    mqtt_profile: str = Field(default="live", description="Broker profile at the first start.")
    mqtt_profiles: dict[str, Profile] = Field(
        default={}, description='Other broker profiles, JSON: {"mock": {"host": …, "port": …}}.'
    )
    sandbox_host: str = Field(
        default="",
        description="Broker that only Kaiser uses, for the environments mock and replay; empty: none.",
    )
    sandbox_port: int = Field(default=1884, ge=1, le=65535, description="Its MQTT port.")
    sandbox_password: SecretStr = Field(default=SecretStr(""), description="Password of its users mock and replay.")
    sandbox_password_file: Path | None = Field(default=None, description="File with that password.")
    mqtt_kaiser_ids: tuple[str, ...] = Field(
        default=("+",), description='Sites whose devices are served, JSON: ["god"]; ["+"] serves all.'
    )
    mqtt_dialects: tuple[Dialect, ...] = Field(
        default=("esp",), min_length=1, description='What is spoken at the broker, JSON: ["esp"], ["esp", "factory"].'
    )
    observe: tuple[str, ...] = Field(
        default=(),
        description='More topic filters whose messages are kept as they come, of devices too, JSON: ["kaiser/#"].',
    )
    topics_dialects: tuple[Dialect, ...] = Field(
        default=("factory",),
        description='Whose messages are kept as they come, JSON; "esp": of the devices too: ["factory", "esp"].',
    )
    vda5050_interfaces: tuple[str, ...] = Field(
        default=("uagv",), description="Interface names of VDA 5050 vehicles, JSON."
    )
    mqtt_keepalive_s: int = Field(default=30, ge=5, le=3600, description="MQTT keep alive.")
    mqtt_session_expiry_s: int = Field(
        default=86_400, ge=86_400, description="How long the broker keeps the session of an ingest that is away."
    )
    mqtt_will_delay_s: int = Field(
        default=30,
        ge=0,
        le=3600,
        description="Time in which ingest may come back before devices hear that the server is offline (MQTT 5 only).",
    )
    mqtt_broker_statistics: bool = Field(
        default=True, description="Read from $SYS how many messages the broker dropped; off if it hangs up on that."
    )
    mqtt_flapping_s: float = Field(
        default=5.0, gt=0, description="Least time between two attempts while connections do not last."
    )
    mqtt_retry_s: float = Field(
        default=60.0, ge=1, le=60, description="Longest time between two attempts; after ten failures, between all."
    )
    mqtt_switch_s: float = Field(
        default=30.0, gt=0, description="Time in which the broker of another profile must come up."
    )
    ingest_window: int = Field(
        default=2000, ge=1, le=65535, description="Most QoS 1 messages in flight, the Receive Maximum of MQTT 5."
    )
    ingest_qos0_limit: int = Field(default=2000, ge=1, description="Most QoS 0 messages waiting; others are dropped.")
    ingest_batch: int = Field(default=1000, ge=1, le=10_000, description="Most MQTT messages published as one batch.")
    shards: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Parts of a site's devices; a pack is of one part.",
    )
    ingest_ack_age_alarm_s: float = Field(
        default=30.0, gt=0, description="Age of the oldest unacknowledged message that raises the alarm."
    )
    ingest_disk_free: float = Field(
        default=0.1, ge=0, lt=1, description="Free share of its disk below which disk_filling is raised; 0: never."
    )
    ingest_certificate_days: float = Field(
        default=30.0, ge=0, description="Days before the end of a broker's certificate from which it is reported."
    )
    sensor_retention_days: int = Field(default=90, ge=3, description="How long readings are kept; older are rejected.")
    ingest_digest_s: float = Field(default=5.0, gt=0, description="Time between two digests of the devices seen.")

    @model_validator(mode="after")
    def _check_factory(self) -> Self:
        """The name of a profile is a token of the factory's subjects, and a filter must mean what it says."""
        if self.mqtt_profile not in self.profiles():
            raise ValueError(f"KAISER_MQTT_PROFILE: there is no profile {self.mqtt_profile!r}")
        for name, profile in self.profiles().items():
            if profile.dialects is not None and ("factory" in profile.dialects) is not self.has_factory:
                raise ValueError(f"profile {name}: the factory's dialect is spoken at every broker or at none")
        if self.has_factory and "factory" not in self.topics_dialects:
            raise ValueError("KAISER_TOPICS_DIALECTS: the factory's state is built from its topics: add factory")
        for each in self.observe:
            if (wrong := fault(each)) is not None:
                raise ValueError(f"KAISER_OBSERVE: {each!r}: {wrong}")
        if self.has_factory or self.observed():
            for name in self.profiles():
                if not re.fullmatch(r"[a-z0-9_-]{1,16}", name):
                    text = "where messages are kept as they come a profile has 1 to 16 of a-z 0-9 _ -"
                    raise ValueError(f"{text}, not {name!r}")
        return self

    @model_validator(mode="after")
    def _check_sandboxes(self) -> Self:
        """A sandbox is emptied of every retained message: it must not be the broker of another profile by mistake."""
        profiles = self.profiles()
        emptied = {each.place: name for name, each in profiles.items() if each.sandbox}
        for name, each in profiles.items():
            if not each.sandbox and (sandbox := emptied.get(each.place)) is not None:
                raise ValueError(f"profile {sandbox} is a sandbox, which is emptied, but has the broker of {name}")
        return self

    @property
    def source(self) -> str:
        """Name of this site's ingest: of its lease, and of its conditions."""
        return f"ingest.{self.site}"

    @property
    def has_devices(self) -> bool:
        """Whether ESP32 devices speak at this broker."""
        return "esp" in self.mqtt_dialects

    @property
    def has_factory(self) -> bool:
        """Whether the factory speaks at this broker."""
        return "factory" in self.mqtt_dialects

    @property
    def sites_of_readings(self) -> frozenset[str]:
        """The sites of which this ingest publishes readings, "+" for all: those of its devices, and the factory's."""
        return frozenset({*self.mqtt_kaiser_ids, *([self.site] if self.has_factory else ())})

    def device_filters(self, profile: str) -> frozenset[str]:
        """The topic filters of the devices that are served at the broker of a profile; none without their dialect."""
        if "esp" not in (self.profiles()[profile].dialects or self.mqtt_dialects):
            return frozenset()
        return frozenset(each for kaiser_id in self.mqtt_kaiser_ids for each in filters(kaiser_id))

    def observed(self) -> tuple[str, ...]:
        """The filters of what is kept as it comes, beside the factory's own topics."""
        if not self.has_devices or "esp" not in self.topics_dialects:
            return self.observe
        return (*self.observe, *sorted(self.device_filters(self.mqtt_profile)))

    @property
    def tls_addresses(self) -> tuple[str, ...]:
        """The servers (host:port) whose certificate is watched: those that devices use, and ingest's own broker."""
        own = (f"{self.mqtt_host}:{self.mqtt_port}",) if self.mqtt_tls else ()
        return (*own, *(each for each in self.mqtt_tls_listeners if each not in own))

    def profiles(self) -> dict[str, Profile]:
        """Every broker profile by name; `live` is the one of the single settings unless named otherwise."""
        live = Profile(
            host=self.mqtt_host,
            port=self.mqtt_port,
            username=self.mqtt_username,
            password=self.mqtt_password,
            password_file=self.mqtt_password_file,
            tls=self.mqtt_tls,
            tls_ca_file=self.mqtt_tls_ca_file,
            tls_certificate_file=self.mqtt_tls_certificate_file,
            tls_key_file=self.mqtt_tls_key_file,
            client_id=self.mqtt_client_id,
            kind="live",
        )
        return {"live": live, **self._sandboxes(), **self.mqtt_profiles}

    def _sandboxes(self) -> dict[str, Profile]:
        """The environments mock and replay of the factory at the sandbox broker, each with an account of its own.

        Recorded messages of devices are replayed there too, whichever ingest serves the devices."""
        if not self.has_factory or not self.sandbox_host:
            return {}
        names: tuple[EnvironmentKind, ...] = ("mock", "replay")
        return {
            name: Profile(
                host=self.sandbox_host,
                port=self.sandbox_port,
                username=name,
                password=self.sandbox_password,
                password_file=self.sandbox_password_file,
                kind=name,
                sandbox=True,
                dialects=("esp", "factory"),
            )
            for name in names
        }
