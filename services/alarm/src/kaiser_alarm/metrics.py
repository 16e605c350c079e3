"""Metrics of the service alarm, each with its sentence."""

from prometheus_client import Counter, Gauge

OPEN = Gauge("kaiser_alarm_open", "Alarms that are not closed, shelved ones too.", ["severity", "state"])
STEPS = Counter("kaiser_alarm_steps_total", "Steps of alarms: raised, acknowledged, cleared, …", ["what"])
PUBLISHED = Counter("kaiser_alarm_published_total", "Steps published as event.alarm.")
UNREADABLE = Counter("kaiser_alarm_unreadable_events_total", "Events that could not be read, and were skipped.")
BEHIND = Gauge("kaiser_alarm_behind_seconds", "Age of the newest event that was looked at, when it was.")
NOTIFICATIONS = Counter(
    "kaiser_alarm_notifications_total", "Messages to channels by how they, or a try of theirs, ended.", ["result"]
)
FENCED = Counter("kaiser_alarm_fenced_total", "Times another process had read the events on: all is loaded again.")
