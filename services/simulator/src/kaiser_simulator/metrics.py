"""Metrics of the simulator, each with its help text."""

from prometheus_client import Counter, Gauge, Histogram

MOCKS = Gauge("kaiser_simulator_mocks", "Mock devices, by whether they run.", ["running"])
PUBLISHED = Counter("kaiser_simulator_published_messages_total", "Messages of mocks stored in OUTBOX.")
SKIPPED = Counter(
    "kaiser_simulator_skipped_messages_total",
    "Messages that mocks skipped: `blocked` because MQTT accepts none, `gate` because firmware B is not acknowledged "
    "yet, `late` because a reading's due time had passed.",
    ["reason"],
)
RECEIVED = Counter("kaiser_simulator_received_messages_total", "Messages to mocks that were received from the bus.")
LATENESS = Histogram(
    "kaiser_simulator_lateness_seconds",
    "Delay between a reading's due time and its creation.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0),
)
SAVED = Counter("kaiser_simulator_saved_mocks_total", "Rows written, by cause.", ["cause"])
BLOCKED = Gauge("kaiser_simulator_blocked", "1 while mocks skip readings because MQTT accepts none.")
