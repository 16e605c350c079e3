"""Metrics that more than one service has, each with its help text; a service declares its own beside its code."""

from prometheus_client import Counter, Gauge, Histogram

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)
"""Upper bounds in seconds, dense where the goals lie (20 ms to a frame, 50 ms to a row)."""

BUILD = Gauge("kaiser_build_info", "1, with the version and the name of the service.", ["service", "version"])
STAGE_SECONDS = Histogram(
    "kaiser_stage_seconds",
    "Time a message took from ingest's receipt to the end of a stage.",
    ["stage"],
    buckets=LATENCY_BUCKETS,
)
BUS_CONNECTED = Gauge("kaiser_bus_connected", "1 while the connection to NATS is up.")
BUS_RECONNECTS = Counter("kaiser_bus_reconnects_total", "Times the connection to NATS came back after a loss.")
BUS_PUBLISH_RETRIES = Counter(
    "kaiser_bus_publish_retries_total", "Publishes to JetStream repeated after a missing or failed acknowledgement."
)
BUS_CONSUMED = Counter("kaiser_bus_consumed_messages_total", "Messages taken from a durable consumer.", ["consumer"])
BUS_REDELIVERED = Counter(
    "kaiser_bus_redelivered_messages_total",
    "Messages of a durable consumer that were delivered more than once.",
    ["consumer"],
)
BUS_PENDING = Gauge(
    "kaiser_bus_consumer_pending_messages",
    "Messages that JetStream has yet to deliver to a durable consumer: its lag.",
    ["consumer"],
)
BUS_UNACKNOWLEDGED = Gauge(
    "kaiser_bus_consumer_unacknowledged_messages",
    "Messages delivered to the readers of a durable consumer and not acknowledged yet.",
    ["consumer"],
)
BUS_OLDEST = Gauge(
    "kaiser_bus_consumer_oldest_seconds",
    "Age of the oldest message or pack that this process received from a durable consumer and has not acknowledged.",
    ["consumer"],
)
MIRROR_REVISION = Gauge(
    "kaiser_bus_mirror_revision",
    "Revision up to which this process has read a KV bucket; while it is below the bucket's own, its view is "
    "out of date.",
    ["bucket"],
)
DEAD_LETTERS = Counter(
    "kaiser_dead_letters_total",
    "Messages that a consume loop rejected: refused by the database, failed by a bug, or unreadable.",
    ["consumer", "kind"],
)
DEAD_LETTER_LIMIT = Gauge(
    "kaiser_dead_letter_limit",
    "1 while a consumer processes nothing because too many of its last messages were rejected.",
    ["consumer"],
)
LEASE_HELD = Gauge("kaiser_lease_held", "1 while this process holds its lease, 0 while it stands by.")
LEASE_LOST = Counter("kaiser_lease_lost_total", "Times a lease was lost because it could not be renewed.")
RPC_SECONDS = Histogram(
    "kaiser_rpc_seconds", "Time to answer a request from the bus.", ["method", "result"], buckets=LATENCY_BUCKETS
)
RPC_WITHOUT_CALLER = Counter(
    "kaiser_rpc_without_caller_total",
    "Requests from the bus that were refused because they do not name a caller.",
    ["method"],
)
