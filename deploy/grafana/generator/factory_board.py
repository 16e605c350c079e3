"""The dashboard Factory: what its machines do, how long orders take, and how commands end."""

from grafana_foundation_sdk.builders.dashboard import Dashboard
from kaiser_factory_dialect.oddities import EVERYDAY
from panels import board, graph, number, sql_graph, sql_states, sql_table

_ODDITIES = f'kaiser_ingest_factory_oddities_total{{odd!~"{"|".join(EVERYDAY)}"}}'
AVAILABILITY = {-1: ("UNKNOWN", "text"), 0: ("BLOCKED", "red"), 1: ("BUSY", "blue"), 2: ("READY", "green")}


def factory() -> Dashboard:
    """Modules and AGVs, orders, what was tolerated, commands."""
    return (
        board(
            "kaiser-factory", "Kaiser / Factory", "What machines do, how long orders take, how commands end.", sql=True
        )
        .with_panel(
            number("Ready", "Modules and AGVs.", 'sum(kaiser_factory_machines{availability="READY"}) or vector(0)')
        )
        .with_panel(number("Busy", "Now.", 'sum(kaiser_factory_machines{availability="BUSY"}) or vector(0)'))
        .with_panel(
            number(
                "Blocked",
                "Not online, paused, with a fatal error, or charging.",
                'sum(kaiser_factory_machines{availability="BLOCKED"}) or vector(0)',
            )
        )
        .with_panel(
            number("Silent", "Modules whose heartbeat is missing.", "max(kaiser_factory_silent_machines)", alarm=1)
        )
        .with_panel(
            number(
                "Orders under way",
                "Of the central control.",
                'sum(kaiser_factory_orders{state!~"FINISHED|CANCELLED|ERROR"}) or vector(0)',
            )
        )
        .with_panel(number("Epoch", "It grows with each switch of the environment.", "max(kaiser_factory_epoch)"))
        .with_panel(
            sql_states(
                "Modules' states",
                "Availability of each module and AGV.",
                """SELECT time, serial AS metric, CASE value WHEN 'READY' THEN 2 WHEN 'BUSY' THEN 1
                   WHEN 'BLOCKED' THEN 0 ELSE -1 END AS value FROM factory.transitions
                   WHERE $__timeFilter(time) AND what = 'availability' ORDER BY time""",
                AVAILABILITY,
            )
        )
        .with_panel(
            sql_graph(
                "Lead times",
                "Start to end of each order that was finished, by the clock of the central control.",
                """SELECT changed_at AS time, coalesce(type, 'none') AS metric, lead_ms / 1000.0 AS value
                   FROM factory.orders WHERE $__timeFilter(changed_at) AND state = 'FINISHED' AND lead_ms IS NOT NULL
                   ORDER BY changed_at""",
                "s",
            )
        )
        .with_panel(
            graph(
                "Commands",
                "By how they ended, each interval.",
                [
                    ("sum by (state) (increase(kaiser_factory_command_ends_total[$__rate_interval]))", "{{state}}"),
                    (
                        "sum by (outcome) (increase(kaiser_ingest_factory_sent_total[$__rate_interval]))",
                        "ingest: {{outcome}}",
                    ),
                ],
            )
        )
        .with_panel(
            graph(
                "Messages",
                "By their outcome, a second.",
                [("sum by (result) (rate(kaiser_ingest_factory_messages_total[$__rate_interval]))", "{{result}}")],
                "cps",
            )
        )
        .with_panel(
            graph(
                "Oddities",
                "What was tolerated, without everyday forms, each interval; a new one may be a new firmware.",
                [
                    (f"sum by (odd) (increase({_ODDITIES}[$__rate_interval])) > 0 or vector(0)", "tolerated: {{odd}}"),
                    (
                        "sum by (kind) (increase(kaiser_ingest_factory_unknown_fields_total[$__rate_interval])) > 0"
                        " or vector(0)",
                        "not read: {{kind}}",
                    ),
                ],
            )
        )
        .with_panel(
            graph(
                "Receipt to event, p99",
                "From the receipt of a message on MQTT until its event was published.",
                [
                    (
                        "histogram_quantile(0.99, sum by (le) (rate(kaiser_factory_event_seconds_bucket[$__range])))",
                        "event",
                    ),
                    ("sum(rate(kaiser_factory_events_dropped_total[$__range]))", "events dropped a second"),
                ],
                "s",
            )
        )
        .with_panel(
            graph(
                "Stored",
                "Rows a second, by table.",
                [("sum by (table) (rate(kaiser_factory_stored_total[$__rate_interval]))", "{{table}}")],
                "cps",
            )
        )
        .with_panel(
            sql_table(
                "Last commands",
                "What Kaiser sent to the factory, and how it ended.",
                """SELECT queued_at, username, request->'request'->>'do' AS "do", serial, topic, state,
                   entry->>'result' AS result FROM factory.commands ORDER BY queued_at DESC LIMIT 100""",
            )
        )
    )
