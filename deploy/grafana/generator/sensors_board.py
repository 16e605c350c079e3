"""The dashboard Sensors: readings as they stand in the database, and how many sensors are known now."""

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue
from panels import board, field, graph, sql_graph, sql_table, sql_variable
from quantities import charts

PAGE = f"sensors/{field('esp_id')}/{field('gpio')}/{field('sensor_type')}/{field('address')}"
"""The console's page of the sensor of a row."""
DEVICE = f"devices/{field('esp_id')}"


def sensors() -> Dashboard:
    """Values by quantity, newest readings, how many came and how good they are, from SQL; sensors by state."""
    made = board(
        "kaiser-sensors",
        "Kaiser / Sensors",
        "Readings as they stand in the database.",
        "now-6h",
        sql=True,
    ).with_variable(
        sql_variable("esp_id", "Device", "SELECT DISTINCT esp_id FROM sensor.latest ORDER BY esp_id LIMIT 1000")
    )
    label = "coalesce(configs.config->>'name', concat_ws(' ', gpio, sensor_type, nullif(address, '')))"
    for chart in charts("esp_id = '$esp_id'", " of $esp_id", label):
        made = made.with_panel(chart)
    return (
        made.with_panel(
            sql_table(
                "Newest readings of $esp_id",
                "The newest of each sensor.",
                """SELECT esp_id, gpio, sensor_type, address, value, unit, quality, raw, raw_value, processing_mode,
                          time FROM sensor.latest WHERE esp_id = '$esp_id' ORDER BY gpio, sensor_type, address""",
                links={"sensor_type": PAGE},
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
            graph(
                "Sensors by state",
                "Whether the newest value of a sensor is known now: silent after three intervals without a reading.",
                [("max by (state) (kaiser_sensor_sensors)", "{{state}}")],
                span=24,
            )
        )
        .with_panel(
            sql_table(
                "Silent sensors",
                "The sensors whose newest reading is the oldest.",
                """SELECT esp_id, gpio, sensor_type, address, quality, time, extract(epoch FROM now() - time) AS age
                   FROM sensor.latest ORDER BY time LIMIT 50""",
                span=12,
                links={"sensor_type": PAGE, "esp_id": DEVICE},
            ).override_by_name("age", [DynamicConfigValue("unit", "dtdurations")])
        )
        .with_panel(
            sql_table(
                "Devices with the most readings",
                "In the time shown.",
                """SELECT esp_id, count(*) AS readings, count(DISTINCT (gpio, sensor_type, address)) AS sensors,
                          min(time) AS first, max(time) AS last
                   FROM sensor.data WHERE $__timeFilter(time) GROUP BY esp_id ORDER BY 2 DESC LIMIT 50""",
                span=12,
                links={"esp_id": DEVICE},
            )
        )
    )
