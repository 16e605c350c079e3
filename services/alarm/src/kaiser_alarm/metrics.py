"""Metrics of the service alarm, each with its help text."""

from prometheus_client import Counter, Gauge

OPEN = Gauge("kaiser_alarm_open", "Alarms that are not closed, shelved ones too.", ["severity", "state"])
ACTIVE = Gauge(
    "kaiser_alarm_active", "Alarms whose condition holds, by kind; at most 100 kinds, all others are `other`.", ["kind"]
)
STEPS = Counter("kaiser_alarm_steps_total", "Steps of alarms: raised, acknowledged, cleared, …", ["what"])
PUBLISHED = Counter("kaiser_alarm_published_total", "Steps published as event.alarm.")
UNREADABLE = Counter("kaiser_alarm_unreadable_events_total", "Events that could not be read, and were skipped.")
BEHIND = Gauge("kaiser_alarm_behind_seconds", "Age of the newest event at the moment at which it was processed.")
NOTIFICATIONS = Counter(
    "kaiser_alarm_notifications_total",
    "Messages to channels and attempts to send them, by result; `failed` is a sixth or later attempt, or the end.",
    ["result"],
)
FENCED = Counter(
    "kaiser_alarm_fenced_total",
    "Times another process had continued the events, after which everything is loaded again.",
)
