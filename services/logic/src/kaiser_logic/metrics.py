"""Metrics of the logic service, each with its sentence."""

from kaiser_common.bus.metrics import LATENCY_BUCKETS
from prometheus_client import Counter, Gauge, Histogram

RULES = Gauge("kaiser_logic_rules", "Rules that are enabled.")
READINGS = Counter(
    "kaiser_logic_readings_total", "Readings of sensors that rules name, by what became of them.", ["verdict"]
)
EXECUTIONS = Counter("kaiser_logic_executions_total", "Executions by how they ended, suppressed ones too.", ["outcome"])
SUPPRESSED = Counter("kaiser_logic_suppressed_total", "Times a rule was kept from firing, by why.", ["reason"])
RUNNING = Gauge("kaiser_logic_running_executions", "Executions that have begun and not ended.")
COMMAND_SECONDS = Histogram(
    "kaiser_logic_command_seconds",
    "From a rule's firing to the acceptance of a command by the actuator service, delays included.",
    buckets=LATENCY_BUCKETS,
)
WEBHOOKS = Counter("kaiser_logic_webhooks_total", "Webhooks by how they ended.", ["result"])
FENCED = Counter("kaiser_logic_fenced_total", "Times another replica had written a rule's state: all is read again.")
UNTOLD = Counter("kaiser_logic_untold_total", "Events and executions given up because too many waited for NATS.")
STORED = Counter("kaiser_logic_stored_executions_total", "Executions written to the table.")
