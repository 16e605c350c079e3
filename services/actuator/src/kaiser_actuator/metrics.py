"""Metrics of the actuator service, each with its help text."""

from prometheus_client import Counter, Gauge, Histogram

COMMANDS = Counter("kaiser_actuator_commands_total", "Ended commands, by result.", ["result"])
REFUSED = Counter("kaiser_actuator_refused_commands_total", "Commands that failed a check.", ["code"])
ROUND_TRIP = Histogram(
    "kaiser_actuator_round_trip_seconds",
    "Time from a command's request to the device's answer.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
EMERGENCIES = Gauge("kaiser_actuator_active_emergencies", "Emergency stops in force.")
STOPS = Counter("kaiser_actuator_stops_total", "Emergency stops sent to devices.", ["why"])
STOP_SECONDS = Histogram(
    "kaiser_actuator_stop_seconds",
    "Time from the request of an emergency stop until it is on the OUTBOX, on disk.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0),
)
ALERTS = Counter("kaiser_actuator_alerts_total", "Alerts of devices.", ["alert_type"])
GUARD_OFFS = Counter(
    "kaiser_actuator_guard_offs_total",
    "OFF commands sent because a duration had ended and the device had not reported off.",
)
ACTUATORS = Gauge(
    "kaiser_actuator_actuators",
    "Actuators by state: on, off, unknown (its device is offline, or it has not reported since it was).",
    ["state"],
)
UNKNOWN = Counter(
    "kaiser_actuator_unknown_actuators_total", "Actuators that devices reported and that are not registered."
)
