"""Settings of ingest."""

from pathlib import Path

from kaiser_common.settings import CommonSettings
from pydantic import Field, SecretStr

from kaiser_ingest.profiles import Profile


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
    mqtt_client_id: str = Field(default="", description="Client id at the broker; empty: kaiser-ingest-<site>.")
    mqtt_profile: str = Field(default="live", description="Broker profile at the first start.")
    mqtt_profiles: dict[str, Profile] = Field(
        default={}, description='Other broker profiles, JSON: {"mock": {"host": …, "port": …}}.'
    )
    mqtt_kaiser_ids: tuple[str, ...] = Field(
        default=("+",), description='Sites whose devices are served, JSON: ["god"]; ["+"] serves all.'
    )
    mqtt_keepalive_s: int = Field(default=30, ge=5, le=3600, description="MQTT keep alive.")
    mqtt_session_expiry_s: int = Field(
        default=86_400, ge=86_400, description="How long the broker keeps the session of an ingest that is away."
    )
    mqtt_will_delay_s: int = Field(
        default=30,
        ge=0,
        le=3600,
        description="Time in which ingest may come back before devices hear that the server is offline (MQTT 5).",
    )
    mqtt_broker_statistics: bool = Field(
        default=True, description="Read from $SYS how many messages the broker dropped; off if it hangs up on that."
    )
    mqtt_flapping_s: float = Field(
        default=5.0, gt=0, description="Least time between two attempts while connections do not last."
    )
    mqtt_switch_s: float = Field(
        default=30.0, gt=0, description="Time in which the broker of another profile must come up."
    )
    ingest_window: int = Field(
        default=2000, ge=1, le=65535, description="Most QoS 1 messages in flight, the Receive Maximum of MQTT 5."
    )
    ingest_qos0_limit: int = Field(default=2000, ge=1, description="Most QoS 0 messages waiting; others are dropped.")
    ingest_batch: int = Field(default=1000, ge=1, le=10_000, description="Most MQTT messages published at once.")
    ingest_ack_age_alarm_s: float = Field(
        default=30.0, gt=0, description="Age of the oldest unacknowledged message that raises the alarm."
    )
    sensor_retention_days: int = Field(default=90, ge=3, description="How long readings are kept; older are rejected.")
    ingest_digest_s: float = Field(default=5.0, gt=0, description="Time between two digests of the devices heard.")

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
        )
        return {"live": live, **self.mqtt_profiles}
