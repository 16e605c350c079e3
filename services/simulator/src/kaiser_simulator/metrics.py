"""Metrics of the simulator, each with its sentence."""

from prometheus_client import Counter, Gauge, Histogram

MOCKS = Gauge("kaiser_simulator_mocks", "Mock devices, by whether they run.", ["running"])
PUBLISHED = Counter("kaiser_simulator_published_messages_total", "Messages of mocks that are stored in OUTBOX.")
SKIPPED = Counter(
    "kaiser_simulator_skipped_messages_total",
    "Messages that mocks left out: `blocked` since MQTT takes none, `late` since a reading's moment had passed.",
    ["reason"],
)
HEARD = Counter("kaiser_simulator_heard_messages_total", "Messages to mocks that were taken from the bus.")
LATENESS = Histogram(
    "kaiser_simulator_lateness_seconds",
    "How long after its moment a reading was made.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0),
)
SAVED = Counter("kaiser_simulator_saved_mocks_total", "Rows written, by what made it necessary.", ["cause"])
BLOCKED = Gauge("kaiser_simulator_blocked", "1 while mocks leave out readings since MQTT takes none.")
