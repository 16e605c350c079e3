"""The dashboard Bus: MQTT, streams and consumers, and what waits where."""

from grafana_foundation_sdk.builders.dashboard import Dashboard
from panels import board, graph


def bus() -> Dashboard:
    """What waits at each station of the line."""
    return (
        board("kaiser-bus", "Kaiser / Bus", "MQTT, streams and consumers, and what waits where.")
        .with_panel(
            graph(
                "In flight in ingest",
                "Received on MQTT and not yet stored, by kind.",
                [
                    ("sum(kaiser_ingest_in_flight_messages) or vector(0)", "all"),
                    ("max(kaiser_ingest_oldest_unacknowledged_seconds)", "age of the oldest (s)"),
                ],
            )
        )
        .with_panel(
            graph(
                "Times of MQTT, p99",
                "From receipt to stored; from a publish of ours to its PUBACK.",
                [
                    (
                        "histogram_quantile(0.99, sum by (le)"
                        " (rate(kaiser_ingest_ack_seconds_bucket[$__rate_interval])))",
                        "receipt to stored",
                    ),
                    (
                        "histogram_quantile(0.99, sum by (le)"
                        " (rate(kaiser_ingest_broker_round_trip_seconds_bucket[$__range])))",
                        "publish to PUBACK",
                    ),
                ],
                "s",
            )
        )
        .with_panel(
            graph(
                "Streams, how full",
                "SENSORS, DEVICES and OUTBOX refuse at 100 %; EVENTS and REJECTED drop their oldest.",
                [("stream:kaiser_ingest_stream_fill:ratio", "{{stream}}")],
                "percentunit",
                alarm=0.7,
            )
        )
        .with_panel(
            graph(
                "Streams, messages",
                "Messages that each stream holds.",
                [("max by (stream) (kaiser_ingest_stream_messages)", "{{stream}}")],
            )
        )
        .with_panel(
            graph(
                "Packs",
                "Packs of readings a second, and how many readings each has.",
                [
                    ("sum(rate(kaiser_ingest_pack_readings_count[$__rate_interval]))", "packs a second"),
                    (
                        "sum(rate(kaiser_ingest_pack_readings_sum[$__rate_interval]))"
                        " / (sum(rate(kaiser_ingest_pack_readings_count[$__rate_interval])) > 0)",
                        "readings a pack",
                    ),
                ],
            )
        )
        .with_panel(
            graph(
                "Consumers, lag",
                "Messages yet to be given.",
                [("consumer:kaiser_bus_consumer_pending_messages:max", "{{consumer}}")],
                alarm=5000,
            )
        )
        .with_panel(
            graph(
                "Consumers, unacknowledged",
                "Messages given and not acknowledged yet.",
                [("max by (consumer) (kaiser_bus_consumer_unacknowledged_messages)", "{{consumer}}")],
            )
        )
        .with_panel(
            graph(
                "Consumers, oldest",
                "Age of the oldest message or pack that was given and not acknowledged.",
                [("consumer:kaiser_bus_consumer_oldest_seconds:max", "{{consumer}}")],
                "s",
                alarm=60,
            )
        )
        .with_panel(
            graph(
                "Consumers, taken",
                "Messages a second.",
                [("consumer:kaiser_bus_consumed_messages:rate2m", "{{consumer}}")],
                "cps",
            )
        )
        .with_panel(
            graph(
                "Consumers, given again",
                "Messages that came more than once: a process ended, or was slow to acknowledge.",
                [
                    (
                        "sum by (consumer) (increase(kaiser_bus_redelivered_messages_total[$__rate_interval]))",
                        "{{consumer}}",
                    )
                ],
            )
        )
        .with_panel(
            graph(
                "To devices",
                "Messages published on MQTT, expired, refused for good, repeated; each interval.",
                [
                    ("sum(increase(kaiser_ingest_outbox_published_total[$__rate_interval]))", "published"),
                    ("sum(increase(kaiser_ingest_outbox_expired_total[$__rate_interval]))", "expired"),
                    ("sum(increase(kaiser_ingest_outbox_rejected_total[$__rate_interval]))", "refused"),
                    ("sum(increase(kaiser_ingest_outbox_repeated_total[$__rate_interval]))", "repeated"),
                ],
            )
        )
        .with_panel(
            graph(
                "The broker",
                "Drops are data that is gone.",
                [
                    ("max(kaiser_ingest_broker_dropped_messages_total) or vector(0)", "dropped since it started"),
                    ("sum(kaiser_ingest_sessions_lost_total)", "sessions lost"),
                    ("sum(increase(kaiser_ingest_reader_pauses_total[$__rate_interval]))", "reader paused"),
                ],
            )
        )
    )
