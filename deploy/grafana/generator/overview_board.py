"""The dashboard Overview: is all well, how much goes through, how fast, what fails."""

from grafana_foundation_sdk.builders.dashboard import Dashboard
from panels import board, graph, number, series_table


def overview() -> Dashboard:
    """Throughput, latency by stage, lag and errors."""
    return (
        board("kaiser-overview", "Kaiser / Overview", "Is all well, how much goes through, how fast, what fails.")
        .with_panel(
            number("MQTT", "1 while ingest has its connection.", "max(kaiser_ingest_connected)", alarm=1, low=True)
        )
        .with_panel(number("Devices online", "Approved devices that are heard.", "max(kaiser_health_online_devices)"))
        .with_panel(number("Readings stored", "New rows a second.", "kaiser:sensor_stored_readings:rate1m", "cps"))
        .with_panel(
            number(
                "Oldest not stored",
                "Age of the oldest message that ingest has not stored yet.",
                "max(kaiser_ingest_oldest_unacknowledged_seconds)",
                "s",
                alarm=30,
            )
        )
        .with_panel(
            number(
                "Rejected",
                "Share of what devices send.",
                "kaiser:ingest_rejected:ratio_rate5m",
                "percentunit",
                alarm=0.05,
            )
        )
        .with_panel(
            number("Alerts", "Alerts that fire now.", 'count(ALERTS{alertstate="firing"}) or vector(0)', alarm=1)
        )
        .with_panel(
            series_table(
                "Alerts that fire",
                "Each has a page in docs/runbooks.md under its name.",
                'ALERTS{alertstate="firing"}',
                without=("Time", "Value", "__name__", "alertstate"),
            )
        )
        .with_panel(
            graph(
                "Throughput",
                "Messages a second along the line.",
                [
                    ("kaiser:ingest_received_messages:rate1m", "received on MQTT"),
                    ("kaiser:sensor_stored_readings:rate1m", "stored in the table"),
                    ("sum(rate(kaiser_sensor_published_events_total[$__rate_interval]))", "events of readings"),
                    ("sum(rate(kaiser_gateway_sent_frames_total[$__rate_interval]))", "frames to browsers"),
                ],
                "cps",
            )
        )
        .with_panel(
            graph(
                "Latency by stage, p99",
                "Of the oldest message of each batch, from ingest's receipt (bus_to_ws: from the event).",
                [("stage:kaiser_stage_seconds:p99_rate5m", "{{stage}}")],
                "s",
            )
        )
        .with_panel(
            graph(
                "Lag",
                "Messages that each durable consumer has yet to be given.",
                [("consumer:kaiser_bus_consumer_pending_messages:max", "{{consumer}}")],
                alarm=5000,
            )
        )
        .with_panel(
            graph(
                "Latency by stage, p50",
                "As above, the median.",
                [("stage:kaiser_stage_seconds:p50_rate5m", "{{stage}}")],
                "s",
            )
        )
        .with_panel(
            graph(
                "Rejected messages by code",
                "The codes are listed in docs/errors.md.",
                [("sum by (code) (rate(kaiser_ingest_rejected_total[$__rate_interval]))", "{{code}}")],
                "cps",
            )
        )
        .with_panel(
            graph(
                "Faults",
                "Each of these is survived; many of them are worth a look.",
                [
                    ("sum(increase(kaiser_bus_publish_retries_total[$__rate_interval]))", "publishes repeated"),
                    ("sum(increase(kaiser_bus_redelivered_messages_total[$__rate_interval]))", "messages redelivered"),
                    ("sum(increase(kaiser_bus_reconnects_total[$__rate_interval]))", "NATS reconnects"),
                    ("sum(increase(kaiser_ingest_reconnects_total[$__rate_interval])) or vector(0)", "MQTT reconnects"),
                    ("sum(increase(kaiser_sensor_rejected_readings_total[$__rate_interval]))", "readings unstorable"),
                ],
            )
        )
    )
