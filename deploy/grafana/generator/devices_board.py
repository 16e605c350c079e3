"""The dashboard Devices: who is there, who is not, and how their hardware does."""

from grafana_foundation_sdk.builders.dashboard import Dashboard
from panels import board, field, graph, number, sql_graph, sql_table, sql_variable


def devices() -> Dashboard:
    """The registry, presence, heartbeats and what was sent to devices."""
    return (
        board(
            "kaiser-devices",
            "Kaiser / Devices",
            "Who is there, who is not, and how their hardware does.",
            "now-6h",
            sql=True,
        )
        .with_variable(sql_variable("esp_id", "Device", "SELECT esp_id FROM health.devices ORDER BY esp_id LIMIT 1000"))
        .with_panel(number("Approved", "Devices that may speak.", 'max(kaiser_health_devices{state="approved"})'))
        .with_panel(number("Online", "Approved devices that are heard.", "max(kaiser_health_online_devices)"))
        .with_panel(number("Offline", "Approved devices that are not.", "kaiser:offline_devices:count"))
        .with_panel(
            number(
                "Waiting for approval",
                "Devices that nobody has approved or refused yet.",
                'max(kaiser_health_devices{state="pending"}) or vector(0)',
            )
        )
        .with_panel(number("Heartbeats", "A second.", "sum(rate(kaiser_health_heartbeats_total[5m]))", "cps"))
        .with_panel(
            number(
                "Late wills ignored",
                "Wills that were older than their device's last data.",
                "sum(kaiser_health_ignored_wills_total)",
            )
        )
        .with_panel(
            graph(
                "Coming and going",
                "Devices that came online or went offline, by reason.",
                [
                    (
                        "sum by (to, reason) (increase(kaiser_health_transitions_total[$__rate_interval]))",
                        "{{to}}: {{reason}}",
                    )
                ],
            )
        )
        .with_panel(
            graph(
                "Messages by kind",
                "What devices send, messages a second.",
                [("sum by (kind) (rate(kaiser_ingest_received_messages_total[$__rate_interval]))", "{{kind}}")],
                "cps",
            )
        )
        .with_panel(
            sql_graph(
                "Signal of $esp_id",
                "WiFi signal of the heartbeats, dBm.",
                """SELECT time, 'wifi_rssi' AS metric, wifi_rssi AS value FROM health.heartbeats
                   WHERE $__timeFilter(time) AND esp_id = '$esp_id' ORDER BY time""",
                "dBm",
            )
        )
        .with_panel(
            sql_graph(
                "Free memory of $esp_id",
                "Free heap of the heartbeats.",
                """SELECT time, 'heap_free' AS metric, heap_free AS value FROM health.heartbeats
                   WHERE $__timeFilter(time) AND esp_id = '$esp_id' ORDER BY time""",
                "bytes",
            )
        )
        .with_panel(
            sql_table(
                "Longest unheard",
                "Approved devices, the longest silent first.",
                """SELECT esp_id, name, zone_id, online, last_seen_at, firmware_version, wifi_rssi, heap_free, uptime_s
                   FROM health.devices WHERE state = 'approved' ORDER BY last_seen_at NULLS FIRST LIMIT 100""",
                links={"esp_id": f"devices/{field('esp_id')}"},
            )
        )
        .with_panel(
            graph(
                "Configs, zones and commands to devices",
                "By how they ended.",
                [
                    (
                        "sum by (kind, state) (increase(kaiser_health_pushes_total[$__rate_interval]))",
                        "{{kind}} {{state}}",
                    )
                ],
            )
        )
        .with_panel(
            graph(
                "Errors that devices report",
                "By severity.",
                [("sum by (severity) (increase(kaiser_health_device_errors_total[$__rate_interval]))", "{{severity}}")],
            )
        )
    )
