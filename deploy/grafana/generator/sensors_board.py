"""The dashboard Sensors: readings as they stand in the database."""

from grafana_foundation_sdk.builders.dashboard import Dashboard
from panels import board, sql_graph, sql_table, sql_variable


def sensors() -> Dashboard:
    """Values, newest readings, how many came and how good they are; all from SQL."""
    return (
        board("kaiser-sensors", "Kaiser / Sensors", "Readings as they stand in the database.", "now-6h")
        .with_variable(
            sql_variable("esp_id", "Device", "SELECT DISTINCT esp_id FROM sensor.latest ORDER BY esp_id LIMIT 1000")
        )
        .with_panel(
            sql_graph(
                "Values of $esp_id",
                "Mean of each interval; the unit is the sensor's own.",
                """SELECT $__timeGroupAlias(time, $__interval),
                          concat_ws(' ', gpio, sensor_type, nullif(address, '')) AS metric,
                          avg(coalesce(value, raw_value, raw)) AS value
                   FROM sensor.data WHERE $__timeFilter(time) AND esp_id = '$esp_id' GROUP BY 1, 2 ORDER BY 1""",
                span=24,
            )
        )
        .with_panel(
            sql_table(
                "Newest readings of $esp_id",
                "The newest of each sensor.",
                """SELECT gpio, sensor_type, address, value, unit, quality, raw, raw_value, processing_mode, time
                   FROM sensor.latest WHERE esp_id = '$esp_id' ORDER BY gpio, sensor_type, address""",
            )
        )
        .with_panel(
            sql_graph(
                "Readings by type",
                "Readings of each interval, all devices.",
                """SELECT $__timeGroupAlias(time, $__interval), sensor_type AS metric, count(*) AS value
                   FROM sensor.data WHERE $__timeFilter(time) GROUP BY 1, 2 ORDER BY 1""",
            )
        )
        .with_panel(
            sql_graph(
                "Readings by quality",
                "Readings of each interval, all devices.",
                """SELECT $__timeGroupAlias(time, $__interval), quality AS metric, count(*) AS value
                   FROM sensor.data WHERE $__timeFilter(time) GROUP BY 1, 2 ORDER BY 1""",
            )
        )
        .with_panel(
            sql_table(
                "Silent sensors",
                "The sensors whose newest reading is the oldest.",
                """SELECT esp_id, gpio, sensor_type, address, quality, time, now() - time AS age
                   FROM sensor.latest ORDER BY time LIMIT 50""",
                span=12,
            )
        )
        .with_panel(
            sql_table(
                "Devices with the most readings",
                "In the time shown.",
                """SELECT esp_id, count(*) AS readings, count(DISTINCT (gpio, sensor_type, address)) AS sensors,
                          min(time) AS first, max(time) AS last
                   FROM sensor.data WHERE $__timeFilter(time) GROUP BY esp_id ORDER BY 2 DESC LIMIT 50""",
                span=12,
            )
        )
    )
