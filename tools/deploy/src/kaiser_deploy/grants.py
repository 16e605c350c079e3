"""Rights to publish and subscribe to subjects of the bus: one user per service, from `kaiser_common.contract`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from kaiser_common.contract.catalogue import events_of
from kaiser_common.contract.methods.ingest import ONLY_FACTORY
from kaiser_common.contract.methods.whole import METHODS, calls_of
from kaiser_common.contract.rpc import GATEWAY
from kaiser_common.contract.subjects import (
    ACTUATOR,
    DEVICES,
    DEVICES_BUCKET,
    EMERGENCIES_BUCKET,
    EVENTS,
    EXECUTIONS,
    FACTORY,
    FACTORY_STORE,
    HEALTH,
    HEALTH_AUDIT,
    INGEST_BUCKET,
    INGEST_FACTORY,
    INGEST_OUTBOX,
    INGEST_URGENT,
    LEASE_BUCKET,
    LOGIC_RULES_BUCKET,
    LOGIC_STATE_BUCKET,
    LOGIC_STORE,
    OUTBOX,
    REJECTED,
    REPLAY_PLACE,
    SENSOR_CONFIGS_BUCKET,
    SENSOR_LIVE,
    SENSOR_RESPONSES,
    SENSOR_STORE,
    SENSORS,
    SIMULATOR,
    SIMULATOR_LEASE_BUCKET,
    STATUS_SUBJECT,
    STREAMS,
    TOPICS,
    Bucket,
    DurableConsumer,
    Stream,
    audit_subject,
    rpc_subject,
)

MIGRATE = "migrate"
DOCTOR = "doctor"
SETUP, OF_SENSORS, OF_MOCKS, STOPS = (f"mqtt.out.*.*.{kind}" for kind in ("setup", "sensor", "mock", "stop"))
"""Messages that ingest sends to a device, by kind, or for a mock."""
COMMANDS = "mqtt.out.*.*.command.*"
"""Commands to actuators."""
URGENT = "mqtt.urgent.*.*"
"""Messages that overtake the queue: emergency stops."""
TO_FACTORY = "mqtt.factory.command.*"
"""Commands to the factory."""
OF_MOCK_FACTORY = "mqtt.factory.mock.*"
"""Messages of the mock factory; ingest publishes them in environments of kind mock alone."""
REPLAYED = "mqtt.factory.replay.*"
"""Messages of replays, which ingest publishes in an environment of kind replay alone."""
_API = "$JS.API"

CALLS: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        caller: {service: tuple(names) for service, names in calls_of(caller).items()}
        for caller in sorted({caller for row in METHODS for caller in row.callers})
    }
)
"""Which methods of which service a service asks for, by request and reply. The answer goes to its private inbox."""


@dataclass(frozen=True, slots=True)
class Grants:
    """The rights of a user, subject by subject; everything else is refused."""

    user: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def grants() -> tuple[Grants, ...]:
    """Every user of the bus."""
    return (
        _service(
            "ingest",
            SENSORS.subjects,
            DEVICES.subjects,
            FACTORY.subjects,
            TOPICS.subjects,
            REJECTED.subjects,
            events_of("ingest"),
            consumes(INGEST_OUTBOX),
            consumes(INGEST_URGENT),
            consumes(INGEST_FACTORY),
            mirrors(DEVICES_BUCKET),
            keeps_key(LEASE_BUCKET, "ingest.>"),
            keeps_key(INGEST_BUCKET, ">"),
            (f"{_API}.STREAM.INFO.{stream.name}" for stream in STREAMS),
            [f"{_API}.STREAM.PURGE.{TOPICS.name}"],
            reads(REJECTED),
            # Several filters cannot be named in a subject: those of a device, and of packs of several devices.
            [f"{_API}.CONSUMER.CREATE.{REJECTED.name}.*", f"{_API}.STREAM.MSG.GET.{REJECTED.name}"],
            [f"{_API}.DIRECT.GET.{stream.name}" for stream in (SENSORS, REJECTED, FACTORY)],
            also=(ONLY_FACTORY,),
        ),
        _service(
            "sensor",
            consumes(SENSOR_LIVE),
            consumes(SENSOR_STORE),
            consumes(SENSOR_RESPONSES),
            [f"{_API}.STREAM.INFO.{SENSORS.name}", f"{_API}.STREAM.PURGE.{SENSORS.name}"],
            [*events_of("sensor"), OF_SENSORS],
            REJECTED.subjects,
            mirrors(DEVICES_BUCKET),
            mirrors(SENSOR_CONFIGS_BUCKET),
            writes(SENSOR_CONFIGS_BUCKET),
        ),
        _service(
            "health",
            consumes(HEALTH),
            consumes(HEALTH_AUDIT),
            [*events_of("health"), SETUP],
            REJECTED.subjects,
            mirrors(DEVICES_BUCKET),
            writes(DEVICES_BUCKET),
        ),
        _service(
            "actuator",
            consumes(ACTUATOR),
            [STOPS, COMMANDS, URGENT, f"{_API}.STREAM.PURGE.{OUTBOX.name}"],
            events_of("actuator"),
            REJECTED.subjects,
            mirrors(DEVICES_BUCKET),
            mirrors(EMERGENCIES_BUCKET),
            writes(EMERGENCIES_BUCKET),
        ),
        _service(
            "logic",
            # Several filters cannot be named in a subject: this may read all of EVENTS, and nothing else.
            [f"{_API}.CONSUMER.CREATE.{EVENTS.name}.*", f"{_API}.CONSUMER.MSG.NEXT.{EVENTS.name}.*"],
            [f"{_API}.STREAM.INFO.{EVENTS.name}"],
            EXECUTIONS.subjects,
            consumes(LOGIC_STORE),
            events_of("logic"),
            REJECTED.subjects,
            mirrors(DEVICES_BUCKET),
            mirrors(LOGIC_RULES_BUCKET),
            writes(LOGIC_RULES_BUCKET),
            mirrors(LOGIC_STATE_BUCKET),
            keeps_key(LOGIC_STATE_BUCKET, ">"),
            keeps_key(LEASE_BUCKET, "logic"),
        ),
        _service(
            "alarm",
            # Several filters, as logic.
            [f"{_API}.CONSUMER.CREATE.{EVENTS.name}.*", f"{_API}.CONSUMER.MSG.NEXT.{EVENTS.name}.*"],
            [f"{_API}.STREAM.INFO.{EVENTS.name}"],
            events_of("alarm"),
            mirrors(DEVICES_BUCKET),
            mirrors(SENSOR_CONFIGS_BUCKET),
            keeps_key(LEASE_BUCKET, "alarm"),
        ),
        _service(
            "simulator",
            consumes(SIMULATOR),
            [OF_MOCKS, f"{_API}.STREAM.INFO.{OUTBOX.name}"],
            [OF_MOCK_FACTORY, f"{_API}.STREAM.INFO.{TOPICS.name}"],
            reads(TOPICS),
            mirrors(INGEST_BUCKET),
            keeps_key(SIMULATOR_LEASE_BUCKET, "simulator"),
        ),
        _service(
            "factory",
            bound(FACTORY_STORE),
            reads(TOPICS),
            reads(FACTORY),
            [f"{_API}.STREAM.INFO.{stream.name}" for stream in (TOPICS, FACTORY)],
            [f"{_API}.DIRECT.GET.{TOPICS.name}", f"{_API}.STREAM.PURGE.{FACTORY.name}"],
            [TO_FACTORY],
            events_of("factory"),
            REJECTED.subjects,
            mirrors(INGEST_BUCKET),
            keeps_key(LEASE_BUCKET, "factory"),
        ),
        _service(
            "recorder",
            reads(TOPICS),
            [f"{_API}.STREAM.INFO.{stream.name}" for stream in (TOPICS, OUTBOX, REJECTED)],
            [REPLAYED, REPLAY_PLACE, f"{_API}.DIRECT.GET.{OUTBOX.name}.{REPLAY_PLACE}"],
            events_of("recorder"),
            mirrors(INGEST_BUCKET),
            keeps_key(LEASE_BUCKET, "recorder"),
        ),
        _service(
            GATEWAY,
            reads(EVENTS),
            reads(TOPICS),
            [f"{_API}.DIRECT.GET.{TOPICS.name}", f"{_API}.STREAM.PURGE.{TOPICS.name}"],
            mirrors(INGEST_BUCKET),
            [STATUS_SUBJECT, f"{_API}.STREAM.INFO.*", f"{_API}.CONSUMER.INFO.*.*"],
        ),
        Grants(
            DOCTOR,
            (
                STATUS_SUBJECT,
                f"{_API}.STREAM.INFO.*",
                f"{_API}.CONSUMER.INFO.*.*",
                f"{_API}.CONSUMER.NAMES.*",
                f"{_API}.INFO",
                inbox(DOCTOR),
            ),
            (inbox(DOCTOR),),
        ),
        Grants(
            MIGRATE,
            (
                f"{_API}.STREAM.INFO.*",
                f"{_API}.STREAM.CREATE.*",
                f"{_API}.STREAM.UPDATE.*",
                f"{_API}.CONSUMER.INFO.*.*",
                f"{_API}.CONSUMER.DURABLE.CREATE.*.*",
                inbox(MIGRATE),
            ),
            (inbox(MIGRATE),),
        ),
    )


def inbox(user: str) -> str:
    """The subjects on which this user alone gets answers; KAISER_NATS_INBOX_PREFIX is `_INBOX.<user>`."""
    return f"_INBOX.{user}.>"


def consumes(consumer: DurableConsumer) -> Iterable[str]:
    """Bind to a consumer that exists, ask it for messages, acknowledge them."""
    return *bound(consumer), f"{_API}.CONSUMER.MSG.NEXT.{consumer.stream}.{consumer.name}"


def bound(consumer: DurableConsumer) -> Iterable[str]:
    """Bind to a consumer that exists and acknowledge its messages; `reads` of its stream adds the right to ask for
    them."""
    of = f"{consumer.stream}.{consumer.name}"
    return f"{_API}.CONSUMER.INFO.{of}", f"$JS.ACK.{of}.>"


def reads(stream: Stream) -> Iterable[str]:
    """Read a stream in order from a point on. The server holds the filter to what the subject of the request says."""
    (subject,) = stream.subjects
    return (
        f"{_API}.CONSUMER.CREATE.{stream.name}.*.{subject}",
        f"{_API}.CONSUMER.MSG.NEXT.{stream.name}.*",
    )


def mirrors(bucket: Bucket) -> Iterable[str]:
    """Read a whole bucket and follow it."""
    stream = f"KV_{bucket.name}"
    return f"{_API}.CONSUMER.CREATE.{stream}.*.$KV.{bucket.name}.>", f"{_API}.CONSUMER.MSG.NEXT.{stream}.*"


def writes(bucket: Bucket) -> Iterable[str]:
    """Put and delete any key of a bucket."""
    return f"{_API}.STREAM.INFO.KV_{bucket.name}", f"$KV.{bucket.name}.>"


def keeps_key(bucket: Bucket, keys: str) -> Iterable[str]:
    """Read and write some keys of a bucket, without following it."""
    return (
        f"{_API}.STREAM.INFO.KV_{bucket.name}",
        f"{_API}.DIRECT.GET.KV_{bucket.name}.$KV.{bucket.name}.{keys}",
        f"$KV.{bucket.name}.{keys}",
    )


def _service(name: str, *publish: Iterable[str], also: tuple[str, ...] = ()) -> Grants:
    """A service: what its work publishes, beside what every service may: be asked, answer, ask whom it calls. also:
    further names under which it is asked."""
    callers = [caller for caller, called in CALLS.items() if name in called]
    answers = [inbox(caller) for caller in sorted({GATEWAY, DOCTOR, *callers})]
    asks = [rpc_subject(service, method) for service, methods in CALLS.get(name, {}).items() for method in methods]
    # A queue group's name in the grant: replicas share the requests, and no other user receives them.
    served = [f"rpc.{one}.* {one}" for one in (name, *also)] if callers else []
    audits = [audit_subject(name)] if any(row.service == name and row.audited for row in METHODS) else []
    # Its own inbox, for the round trip that shows whether the server answers.
    published = (*(subject for part in publish for subject in part), *asks, *answers, *audits, inbox(name))
    return Grants(name, published, (inbox(name), STATUS_SUBJECT, *served))
