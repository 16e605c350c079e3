"""Metrics of the sensor service, each with its help text."""

from prometheus_client import Counter, Gauge

STORED = Counter("kaiser_sensor_stored_readings_total", "Readings stored in sensor.data that were not there before.")
REPEATED = Counter("kaiser_sensor_repeated_readings_total", "Readings that were in sensor.data already.")
DIFFERENT = Counter(
    "kaiser_sensor_different_readings_total",
    "Readings rejected because a different value for the same time is stored already.",
)
UNREADABLE = Counter("kaiser_sensor_unreadable_messages_total", "Messages on SENSORS that are not readings.")
PUBLISHED = Counter("kaiser_sensor_published_events_total", "Published sensor_data events.")
REJECTED = Counter("kaiser_sensor_rejected_readings_total", "Readings that the database can never store.")
STORE_PAUSED = Gauge("kaiser_sensor_store_paused", "1 while the database is unavailable and nothing is fetched.")
UNASKED = Counter(
    "kaiser_sensor_unasked_responses_total", "Answers that match no open command, or one that was answered before."
)
SENSORS = Gauge(
    "kaiser_sensor_sensors",
    "Sensors by whether their newest value is known now: known, silent (three intervals without a reading), offline.",
    ["state"],
)
STALE = Counter(
    "kaiser_sensor_stale_events_total", "Silent sensors published as sensor_data events with quality stale."
)
ROLLUP_DIFFERENCE = Gauge(
    "kaiser_sensor_rollup_difference_readings",
    "Readings by which a rollup's counts differ from the stored ones, over the days checked.",
    ["rollup"],
)
SENSORS_YESTERDAY = Gauge(
    "kaiser_sensor_completeness_sensors",
    "Configured sensors by the share of yesterday's expected readings that arrived: complete (99 %), partial, silent.",
    ["share"],
)
LIBRARY_FAILURES = Counter(
    "kaiser_sensor_library_failures_total", "Readings whose sensor library raised or took too long.", ["sensor_type"]
)
