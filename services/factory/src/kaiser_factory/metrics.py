"""Metrics of the service factory, each with its help text."""

from prometheus_client import Counter, Gauge, Histogram

MACHINES = Gauge("kaiser_factory_machines", "Modules and AGVs, by kind and availability.", ["kind", "availability"])
SILENT = Gauge("kaiser_factory_silent_machines", "Modules with a heartbeat that have published nothing for 45 s.")
ORDERS = Gauge("kaiser_factory_orders", "Orders of the central control that are known, by state.", ["state"])
EPOCH = Gauge("kaiser_factory_epoch", "The epoch of the environment in force; it grows with each switch.")
EVENTS_DROPPED = Counter("kaiser_factory_events_dropped_total", "Events that NATS did not accept in time.")
EVENT_SECONDS = Histogram(
    "kaiser_factory_event_seconds",
    "Time from the receipt of a message on MQTT until the event that it caused was published.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
COMMAND_ENDS = Counter("kaiser_factory_command_ends_total", "Ended commands, by state.", ["state"])
STORED = Counter("kaiser_factory_stored_total", "Rows written, by table.", ["table"])
