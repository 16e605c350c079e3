"""Metrics of the health service, each with its help text."""

from prometheus_client import Counter, Gauge

HEARTBEATS = Counter("kaiser_health_heartbeats_total", "Heartbeats recorded.")
TRANSITIONS = Counter("kaiser_health_transitions_total", "Devices that came online or went offline.", ["to", "reason"])
WILLS_IGNORED = Counter("kaiser_health_ignored_wills_total", "Wills older than the last data of their device.")
PENDING_REFUSED = Counter(
    "kaiser_health_refused_pending_total", "Unknown devices that were refused because the pending list is full."
)
PUSHES = Counter(
    "kaiser_health_pushes_total", "Ended pushes of configurations, zones and commands, by state.", ["kind", "state"]
)
DEVICES = Gauge("kaiser_health_devices", "Devices in the registry.", ["state"])
DEVICES_ONLINE = Gauge("kaiser_health_online_devices", "Approved devices that are online.")
DEVICE_ERRORS = Counter("kaiser_health_device_errors_total", "Errors that devices reported.", ["severity"])
