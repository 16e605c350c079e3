"""Metrics of the sensor service, each with its sentence."""

from prometheus_client import Counter, Gauge

STORED = Counter("kaiser_sensor_stored_readings_total", "Readings stored in sensor.data that were not there before.")
REPEATED = Counter("kaiser_sensor_repeated_readings_total", "Readings that were in sensor.data already.")
DIFFERENT = Counter(
    "kaiser_sensor_different_readings_total", "Readings rejected because another value of their time was stored before."
)
UNREADABLE = Counter("kaiser_sensor_unreadable_messages_total", "Messages on SENSORS that are no reading.")
PUBLISHED = Counter("kaiser_sensor_published_events_total", "Events sensor_data published.")
REJECTED = Counter("kaiser_sensor_rejected_readings_total", "Readings that the database can never store.")
STORE_PAUSED = Gauge("kaiser_sensor_store_paused", "1 while the database is away and nothing is fetched.")
UNASKED = Counter(
    "kaiser_sensor_unasked_responses_total", "Answers to commands that were not asked, or answered before."
)
SENSORS = Gauge(
    "kaiser_sensor_sensors",
    "Sensors by whether their newest value is known now: known, silent (three intervals without a reading), offline.",
    ["state"],
)
STALE = Counter("kaiser_sensor_stale_events_total", "Silences told as sensor_data events with quality stale.")
ROLLUP_DIFFERENCE = Gauge(
    "kaiser_sensor_rollup_difference_readings",
    "Readings by which a rollup's counts differ from the stored ones, over the days checked.",
    ["rollup"],
)
SENSORS_YESTERDAY = Gauge(
    "kaiser_sensor_completeness_sensors",
    "Configured sensors by how many of yesterday's expected readings came: complete (99 %), partial, silent.",
    ["share"],
)
LIBRARY_FAILURES = Counter(
    "kaiser_sensor_library_failures_total", "Readings whose sensor library raised or took too long.", ["sensor_type"]
)
