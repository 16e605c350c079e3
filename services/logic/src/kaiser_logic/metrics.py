"""Metrics of the logic service, each with its help text."""

from kaiser_common.bus.metrics import LATENCY_BUCKETS
from prometheus_client import Counter, Gauge, Histogram

RULES = Gauge("kaiser_logic_rules", "Rules that are enabled.")
READINGS = Counter("kaiser_logic_readings_total", "Readings of sensors that rules name, by verdict.", ["verdict"])
EXECUTIONS = Counter(
    "kaiser_logic_executions_total", "Ended executions by outcome, including suppressed ones.", ["outcome"]
)
SUPPRESSED = Counter("kaiser_logic_suppressed_total", "Times a rule was suppressed, by reason.", ["reason"])
RUNNING = Gauge("kaiser_logic_running_executions", "Executions that have started and not ended.")
COMMAND_SECONDS = Histogram(
    "kaiser_logic_command_seconds",
    "Time from a rule's firing until the actuator service accepts a command, delays included.",
    buckets=LATENCY_BUCKETS,
)
WEBHOOKS = Counter("kaiser_logic_webhooks_total", "Webhooks by result.", ["result"])
FENCED = Counter(
    "kaiser_logic_fenced_total",
    "Times another replica had written a rule's state, after which all state is read again.",
)
UNPUBLISHED = Counter(
    "kaiser_logic_unpublished_total", "Events and executions dropped because too many waited for NATS."
)
STORED = Counter("kaiser_logic_stored_executions_total", "Executions written to the table.")
