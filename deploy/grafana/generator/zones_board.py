"""The dashboard Zones: for operators; what is measured, commanded and wrong in one zone."""

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue
from panels import board, field, sql_table, sql_variable
from quantities import charts

NO_ZONE = "(none)"


def zones() -> Dashboard:
    """Alarms, values by quantity, devices and actuators of a zone; all from SQL."""
    of_zone = f"coalesce(nullif(devices.zone_id, ''), '{NO_ZONE}') = '$zone'"
    device = f"devices/{field('esp_id')}"
    made = (
        board("kaiser-zones", "Kaiser / Zones", "One zone: values, alarms, pumps.", "now-24h", metrics=False, sql=True)
        .with_variable(
            sql_variable(
                "zone",
                "Zone",
                f"""SELECT DISTINCT coalesce(zones.name, nullif(zone_id, ''), '{NO_ZONE}') AS __text,
                           coalesce(nullif(zone_id, ''), '{NO_ZONE}') AS __value
                    FROM health.devices AS devices LEFT JOIN health.zones AS zones USING (zone_id)
                    WHERE state = 'approved' ORDER BY 1 LIMIT 1000""",
            )
        )
        .with_panel(
            sql_table(
                "Open alarms of $zone",
                "Raised, acknowledged or cleared, and not closed yet.",
                f"""SELECT severity, alarms.state, message, esp_id, raised_at, acknowledged_by
                    FROM alarm.alarms JOIN health.devices AS devices USING (esp_id)
                    WHERE alarms.state <> 'closed' AND {of_zone} ORDER BY raised_at DESC LIMIT 100""",
                links={"message": "alarms", "esp_id": device},
            ).no_value("no alarm")
        )
    )
    label = "concat_ws(': ', coalesce(devices.name, esp_id), coalesce(configs.config->>'name', sensor_type))"
    for chart in charts(of_zone, " in $zone", label):
        made = made.with_panel(chart)
    return made.with_panel(
        sql_table(
            "Devices in $zone",
            "Those that are offline first.",
            f"""SELECT esp_id, name, online, last_seen_at, firmware_version, wifi_rssi FROM health.devices AS devices
                WHERE state = 'approved' AND {of_zone} ORDER BY online, last_seen_at NULLS FIRST LIMIT 200""",
            span=12,
            links={"esp_id": device},
        ).override_by_name("wifi_rssi", [DynamicConfigValue("unit", "dBm")])
    ).with_panel(
        sql_table(
            "Actuators in $zone",
            "As devices reported them last.",
            f"""SELECT esp_id, gpio, settings->>'name' AS actuator, actuators.state, value, reported_at, last_error
                FROM actuator.actuators JOIN health.devices AS devices USING (esp_id)
                WHERE {of_zone} ORDER BY esp_id, gpio LIMIT 200""",
            span=12,
            links={"gpio": f"actuators/{field('esp_id')}/{field('gpio')}", "esp_id": device},
        )
    )
