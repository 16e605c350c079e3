"""Every subject, stream, durable consumer and KV bucket of the bus, as data."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

GIB = 1024**3
MIB = 1024**2
DAY_S = 24 * 3600.0

NO_DEVICE = "_"
"""Token in place of an esp_id in events that concern no single device."""

SERVICES = ("ingest", "sensor", "actuator", "health", "logic", "alarm", "simulator", "websocket-gateway")
"""Every service that each installation has, by the name that it runs under."""
OPTIONAL_SERVICES = ("factory", "recorder")
"""Services of installations that have what they are for."""

STATUS_SUBJECT = "rpc.status"
"""Asks every process of every service how it does; no queue group, so all replicas answer."""

SEVERAL = "="
"""Token in place of an esp_id in the subject of a pack of rejections of several devices, or of stops for them, and in
place of the environment, whose name cannot be this, in that of a pack of the factory's messages."""

_FACTORY_PACKS = f"factory.{SEVERAL}."
_PACKED = ("esp.sensor.data.", "event.sensor_data.", "event.factory_module.", "rejected.", _FACTORY_PACKS)

_STOP_PACK = re.compile(r"mqtt\.(?:urgent\.[^.]+\.=|out\.[^.]+\.=\.stop)\Z")
"""A pack of messages to several devices of a site (`stop_pack_subject`)."""

_FORBIDDEN = frozenset(" \t\r\n.*>")


@dataclass(frozen=True, slots=True)
class Stream:
    """A JetStream stream. Sizes in bytes, ages in seconds; None means no limit.

    most_per_subject: the number of newest messages kept of one subject. rollup: a message may replace all messages that
    its subject has.
    max_consumers: the server refuses more, so that a user who may read a stream cannot fill NATS's memory with readers.
    unused_s: the server drops a consumer after this time without a reader; None where durable consumers must stay.
    """

    name: str
    subjects: tuple[str, ...]
    retention: Literal["interest", "workqueue", "limits"]
    storage: Literal["file", "memory"]
    max_bytes: int
    discard: Literal["new", "old"]
    max_age_s: float | None = None
    duplicate_window_s: float = 120.0
    atomic: bool = True
    rollup: bool = False
    most_per_subject: int | None = None
    max_consumers: int = 32
    unused_s: float | None = None


@dataclass(frozen=True, slots=True)
class DurableConsumer:
    """A durable pull consumer with explicit acknowledgement. `ack_wait_s` is the time until redelivery,
    and so the longest that a killed process delays what it had taken; what is alive reports progress."""

    stream: str
    name: str
    filters: tuple[str, ...]
    ack_wait_s: float = 10.0
    max_ack_pending: int = 20_000
    deliver: Literal["all", "new"] = "all"

    @property
    def service(self) -> str:
        """The service that owns the consumer: the consumer's name is the service's, or begins with it and a dash."""
        return self.name.partition("-")[0]


@dataclass(frozen=True, slots=True)
class Bucket:
    """A KV bucket. `ttl_s` is the age at which a key expires."""

    name: str
    ttl_s: float | None = None
    max_bytes: int = 256 * MIB
    storage: Literal["file", "memory"] = "file"


SENSORS = Stream("SENSORS", ("esp.sensor.data.>",), "limits", "file", 8 * GIB, "new")
"""The sensor service purges, in bulk, the messages that both consumers have acknowledged (docs/decisions/0002)."""
KEPT_PACKS = 16
"""So many of the last packs of SENSORS are never purged: the next holder of ingest's lease reads its own of them."""
KEPT_S = 15.0
"""How long packs that both consumers have acknowledged stay on SENSORS, unless it is half full. Where several ingests
share it, the last packs of one that was killed are not among the last of all. Three times the age of a lease."""
DEVICES = Stream(
    "DEVICES",
    ("esp.sensor.response.>", "esp.actuator.>", "esp.system.>", "esp.config.>", "esp.zone.>", "esp.downlink.>"),
    "interest",
    "file",
    2 * GIB,
    "new",
)
OUTBOX = Stream(
    "OUTBOX",
    ("mqtt.out.>", "mqtt.urgent.>", "mqtt.factory.>", "mqtt.place.>"),
    "workqueue",
    "file",
    GIB,
    "new",
    max_age_s=DAY_S,
    rollup=True,
)
REPLAY_PLACE = "mqtt.place.replay"
"""How far the messages of a replay are on OUTBOX: stored with them or not at all, each place instead of the one before.
No consumer takes it."""
EVENTS = Stream(
    "EVENTS", ("event.>",), "limits", "file", 256 * MIB, "old", max_age_s=600.0, max_consumers=4096, unused_s=300.0
)
"""A client that resumes has a reader of its own for a moment, so there may be as many as clients."""
REJECTED = Stream(
    "REJECTED",
    ("rejected.>",),
    "limits",
    "file",
    GIB,
    "old",
    max_age_s=7 * DAY_S,
    most_per_subject=2000,
    unused_s=300.0,
)
"""A subject is one code of one device, so a device that floods pushes out its own rejections alone: 2,000 packs of
24 KiB under each of the 13 codes that a device can cause take 0.6 GiB. ingest writes packs of four devices and codes in
a week; further floods go into packs of several devices (SEVERAL), of which 2,000 of each code are kept too."""

EXECUTIONS = Stream("EXECUTIONS", ("logic.execution.>",), "workqueue", "file", 64 * MIB, "old", max_age_s=7 * DAY_S)
"""Executions of rules, until they are in logic's table (docs/decisions/0602)."""

AUDIT = Stream("AUDIT", ("audit.>",), "workqueue", "file", 256 * MIB, "new")
"""Changes that people made, until they are in health's table (docs/decisions/1805)."""

FACTORY = Stream("FACTORY", ("factory.>",), "limits", "file", 2 * GIB, "new")
"""Messages of the factory that were read, and the broker's receipts of commands (libs/factory has their subjects). The
factory service purges, in bulk, what it has acknowledged (docs/decisions/0002)."""
KEPT_OF_FACTORY = 64
"""So many of the last messages of FACTORY are never purged: the next holder of ingest's lease reads them."""
KEPT_OF_FACTORY_S = 150.0
"""How long acknowledged messages stay on FACTORY, unless it is half full: the live state is built from TOPICS and from
what FACTORY has of this time. What an ingest that was killed had put on FACTORY alone comes on TOPICS when ingest is up
again; after more than the two minutes of `duplicate_window_s`, it comes on both (docs/decisions/1005)."""
TOPICS = Stream(
    "TOPICS",
    ("topic.>",),
    "limits",
    "file",
    512 * MIB,
    "old",
    max_age_s=7 * DAY_S,
    most_per_subject=1000,
    unused_s=300.0,
)
"""Every message of the factory as it came; a subject is a topic. A busy topic pushes out its own messages alone."""

STREAMS = (SENSORS, DEVICES, OUTBOX, EVENTS, REJECTED, EXECUTIONS, AUDIT, FACTORY, TOPICS)

SENSOR_LIVE = DurableConsumer(SENSORS.name, "sensor-live", ("esp.sensor.data.>",), max_ack_pending=1024)
SENSOR_STORE = DurableConsumer(SENSORS.name, "sensor-store", ("esp.sensor.data.>",), max_ack_pending=1024)
"""A pack is acknowledged once `sensor.latest` has it too, so up to 200 wait there for a second, besides 256 that have
arrived: with fewer places the store waits for its own acknowledgements (docs/performance.md)."""
SENSOR_RESPONSES = DurableConsumer(DEVICES.name, "sensor-responses", ("esp.sensor.response.>",))
HEALTH = DurableConsumer(DEVICES.name, "health", ("esp.system.>", "esp.config.>", "esp.zone.>"))
HEALTH_AUDIT = DurableConsumer(AUDIT.name, "health-audit", ("audit.>",))
ACTUATOR = DurableConsumer(DEVICES.name, "actuator", ("esp.actuator.>", "esp.config.response.>", "esp.system.intent.>"))
SIMULATOR = DurableConsumer(DEVICES.name, "simulator", ("esp.downlink.>",))
INGEST_OUTBOX = DurableConsumer(OUTBOX.name, "ingest", ("mqtt.out.>",), ack_wait_s=5.0)
INGEST_URGENT = DurableConsumer(OUTBOX.name, "ingest-urgent", ("mqtt.urgent.>",), ack_wait_s=5.0)
INGEST_FACTORY = DurableConsumer(OUTBOX.name, "ingest-factory", ("mqtt.factory.>",), ack_wait_s=5.0)
LOGIC_STORE = DurableConsumer(EXECUTIONS.name, "logic-store", ("logic.execution.>",))
FACTORY_STORE = DurableConsumer(FACTORY.name, "factory-store", ("factory.>",), max_ack_pending=4096)

CONSUMERS = (
    SENSOR_LIVE,
    SENSOR_STORE,
    SENSOR_RESPONSES,
    HEALTH,
    HEALTH_AUDIT,
    ACTUATOR,
    SIMULATOR,
    INGEST_OUTBOX,
    INGEST_URGENT,
    INGEST_FACTORY,
    LOGIC_STORE,
    FACTORY_STORE,
)
"""Declared with the service that reads them: an interest stream keeps what a consumer has not acknowledged,
so a consumer that nobody reads would fill it. On FACTORY nothing is published without the factory dialect."""

DEVICES_BUCKET = Bucket("devices")
SENSOR_CONFIGS_BUCKET = Bucket("sensor_configs")
EMERGENCIES_BUCKET = Bucket("emergencies", max_bytes=16 * MIB)
"""The emergency stops in force, so that they are known, and can be raised, while the database is away."""
LEASE_BUCKET = Bucket("lease", ttl_s=5.0, max_bytes=MIB)
SIMULATOR_LEASE_BUCKET = Bucket("lease_simulator", ttl_s=3.0, max_bytes=MIB)
"""Shorter than the others: mocks go on within 5 s of the death of the simulator that had it."""
INGEST_BUCKET = Bucket("ingest", max_bytes=8 * MIB)
"""The memory that ingest's replicas share: the active broker profile, the filters of their MQTT sessions, and the
numbers of the stops that were sent. These may have a megabyte, and NATS needs room for the old and the new ones."""
LOGIC_RULES_BUCKET = Bucket("logic_rules", max_bytes=64 * MIB)
"""The rules, of which logic's table is the truth: so that they go on while the database is away."""
LOGIC_STATE_BUCKET = Bucket("logic_state", max_bytes=64 * MIB)
"""The state of rules; a rule fires once its state is written here by compare-and-set (docs/decisions/0601)."""

BUCKETS = (
    DEVICES_BUCKET,
    SENSOR_CONFIGS_BUCKET,
    EMERGENCIES_BUCKET,
    LEASE_BUCKET,
    SIMULATOR_LEASE_BUCKET,
    INGEST_BUCKET,
    LOGIC_RULES_BUCKET,
    LOGIC_STATE_BUCKET,
)


def device_subject(kind: str, kaiser_id: str, esp_id: str, gpio: int | None = None) -> str:
    """Subject of a device message: `esp.<kind>.<kaiser_id>.<esp_id>[.<gpio>]`, kind as `sensor.data`."""
    subject = f"esp.{kind}.{_token(kaiser_id)}.{_token(esp_id)}"
    return subject if gpio is None else f"{subject}.{gpio}"


def is_packed(subject: str) -> bool:
    """Whether messages on a subject are packs: one JSON object a line (pack.py)."""
    return subject.startswith(_PACKED) or _STOP_PACK.match(subject) is not None


def factory_pack_subject(env: str) -> str:
    """Subject of a pack of the factory's messages that were read in an environment."""
    return f"{_FACTORY_PACKS}{_token(env)}"


def downlink_subject(kaiser_id: str, esp_id: str) -> str:
    """Subject of what MQTT delivered for a mock device."""
    return f"esp.downlink.{_token(kaiser_id)}.{_token(esp_id)}"


def alive_subject(kaiser_id: str) -> str:
    """Subject of ingest's digest of the devices from which it received messages."""
    return f"esp.system.alive.{_token(kaiser_id)}.digest"


OutboxKind = Literal["setup", "sensor", "stop", "mock"]
"""setup: configuration, zones, system commands, acknowledgements. sensor: sensor commands, processed values. stop: an
emergency stop behind what waits. mock: what a mock device says."""


def outbox_subject(kaiser_id: str, esp_id: str, kind: OutboxKind) -> str:
    """Subject of a message that ingest is to publish on MQTT: rights are given by its kind. A broadcast is of the site
    `broadcast` and the device `all`."""
    return f"mqtt.out.{_token(kaiser_id)}.{_token(esp_id)}.{kind}"


def command_subject(kaiser_id: str, esp_id: str, gpio: int) -> str:
    """As outbox_subject, for a command to an actuator: an emergency stop purges these."""
    return f"mqtt.out.{_token(kaiser_id)}.{_token(esp_id)}.command.{gpio}"


def commands_filter(esp_id: str | None = None, gpio: int | None = None) -> str:
    """The commands that wait on the OUTBOX for an actuator, a device, or anyone."""
    return f"mqtt.out.*.{_token(esp_id) if esp_id else '*'}.command.{'*' if gpio is None else gpio}"


def receipt_subject(kaiser_id: str, esp_id: str, gpio: int, command_id: str) -> str:
    """Subject on which ingest says that the MQTT broker has a command."""
    return f"esp.actuator.sent.{_token(kaiser_id)}.{_token(esp_id)}.{gpio}.{_token(command_id)}"


def urgent_subject(kaiser_id: str, esp_id: str) -> str:
    """As outbox_subject, for what must overtake the queue (emergency stops): a consumer of its own reads it."""
    return f"mqtt.urgent.{_token(kaiser_id)}.{_token(esp_id)}"


def stop_pack_subject(kaiser_id: str, *, urgent: bool) -> str:
    """Subject of a pack of a stop of everything: messages to several devices of a site, one JSON object a line.
    urgent: as urgent_subject, otherwise as outbox_subject of the kind `stop`."""
    return urgent_subject(kaiser_id, SEVERAL) if urgent else outbox_subject(kaiser_id, SEVERAL, "stop")


@lru_cache(maxsize=1024)
def pack_subject(kaiser_id: str, shard: str = "0") -> str:
    """Subject of a pack of readings of one site."""
    return f"esp.sensor.data.{_token(kaiser_id)}.{_token(shard)}"


def site_in(subject: str) -> str:
    """The site in the subject of a pack of readings, also of a single reading of a version before packs."""
    return subject.split(".")[3]


def event_pack_subject(shard: str = "0", kind: str = "sensor_data") -> str:
    """Subject of a pack of events of one type."""
    return f"event.{_token(kind)}.{_token(shard)}"


def shard_in(subject: str) -> str:
    """The shard in the subject of a pack of readings; "0" for a single reading of a version before packs."""
    tokens = subject.split(".")
    return tokens[4] if len(tokens) == 5 and tokens[4].isdigit() else "0"


@lru_cache(maxsize=16_384)
def event_subject(event_type: str, esp_id: str | None = None) -> str:
    """Subject of an event for frontends and rules."""
    return f"event.{_token(event_type)}.{_token(esp_id or NO_DEVICE)}"


@lru_cache(maxsize=16_384)
def rejected_subject(code: int, esp_id: str | None = None) -> str:
    """Subject of a rejected message."""
    return f"rejected.{code}.{_token(esp_id or NO_DEVICE)}"


def replay_rejected_subject(code: int | str, replay_id: str) -> str:
    """Subject of a message of a replay that was not published; code "*": of every one of that replay."""
    return f"rejected.{code}.{_token(f'replay-{replay_id}')}"


def execution_subject(rule_id: str) -> str:
    """Subject of what a rule did, on its way to the table."""
    return f"logic.execution.{_token(rule_id)}"


def audit_subject(service: str) -> str:
    """Subject of a change that a service made for somebody, on its way to the audit log."""
    return f"audit.{_token(service)}"


def sensor_config_key(esp_id: str, gpio: int, sensor_type: str, address: str = "") -> str:
    """Key of a sensor in SENSOR_CONFIGS_BUCKET; as in versions before addresses where the sensor has none."""
    return f"{esp_id}.{gpio}.{sensor_type}" + (f".{address}" if address else "")


def rpc_subject(service: str, method: str) -> str:
    """Subject of a request to a service."""
    return f"rpc.{_token(service)}.{_token(method)}"


def _token(text: str) -> str:
    """A subject token as it is; ValueError if it would change the subject's shape (NATS accepts wildcards silently)."""
    if not text or not _FORBIDDEN.isdisjoint(text):
        raise ValueError(f"not a subject token: {text!r}")
    return text
