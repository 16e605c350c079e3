"""The dashboard Services: every process, what it needs and how fast it answers."""

from grafana_foundation_sdk.builders.dashboard import Dashboard
from panels import board, graph


def services() -> Dashboard:
    """Processes, CPU, memory, requests, WebSocket clients."""
    return (
        board("kaiser-services", "Kaiser / Services", "Every process, what it needs and how fast it answers.")
        .with_panel(
            graph(
                "Processes",
                "Processes that answer, by service.",
                [('sum by (service) (up{job="kaiser"})', "{{service}}")],
            )
        )
        .with_panel(
            graph(
                "Connected to NATS",
                "The least of a service's processes: 1 while all are connected.",
                [("min by (service) (kaiser_bus_connected)", "{{service}}")],
            )
        )
        .with_panel(
            graph(
                "CPU",
                "Cores in use.",
                [
                    (
                        'sum by (service) (rate(process_cpu_seconds_total{job="kaiser"}[$__rate_interval]))',
                        "{{service}}",
                    )
                ],
            )
        )
        .with_panel(
            graph(
                "Memory",
                "Resident memory.",
                [('sum by (service) (process_resident_memory_bytes{job="kaiser"})', "{{service}}")],
                "bytes",
            )
        )
        .with_panel(
            graph(
                "Starts",
                "Starts of processes in each quarter of an hour.",
                [('sum by (service) (changes(process_start_time_seconds{job="kaiser"}[15m]))', "{{service}}")],
            )
        )
        .with_panel(
            graph(
                "Versions",
                "Processes by version; two at a time while an upgrade runs.",
                [("count by (exported_service, version) (kaiser_build_info)", "{{exported_service}} {{version}}")],
            )
        )
        .with_panel(
            graph(
                "Requests over the bus, p99",
                "Time to answer, by method.",
                [
                    (
                        "histogram_quantile(0.99, sum by (method, le)"
                        " (rate(kaiser_rpc_seconds_bucket[$__rate_interval])))",
                        "{{method}}",
                    )
                ],
                "s",
            )
        )
        .with_panel(
            graph(
                "Requests over the bus",
                "A second, by method and result.",
                [
                    (
                        "sum by (method, result) (rate(kaiser_rpc_seconds_count[$__rate_interval]))",
                        "{{method}} {{result}}",
                    )
                ],
                "reqps",
            )
        )
        .with_panel(
            graph(
                "REST, p99",
                "Time to answer, by route.",
                [
                    (
                        "histogram_quantile(0.99, sum by (method, route, le)"
                        " (rate(kaiser_gateway_request_seconds_bucket[$__rate_interval])))",
                        "{{method}} {{route}}",
                    )
                ],
                "s",
            )
        )
        .with_panel(
            graph(
                "REST",
                "Requests a second, by status.",
                [("sum by (status) (rate(kaiser_gateway_request_seconds_count[$__rate_interval]))", "{{status}}")],
                "reqps",
            )
        )
        .with_panel(
            graph(
                "WebSocket clients",
                "Connected, and closed by us (each quarter of an hour, by code).",
                [
                    ("sum(kaiser_gateway_clients)", "connected"),
                    ("sum by (code) (increase(kaiser_gateway_closed_clients_total[15m]))", "closed {{code}}"),
                ],
            )
        )
        .with_panel(
            graph(
                "Frames",
                "Sent, and events that newer ones replaced before a client took them.",
                [
                    ("sum(rate(kaiser_gateway_sent_frames_total[$__rate_interval]))", "sent"),
                    ("sum(rate(kaiser_gateway_conflated_events_total[$__rate_interval]))", "conflated"),
                ],
                "cps",
            )
        )
    )
