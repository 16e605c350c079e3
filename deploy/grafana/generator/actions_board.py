"""The dashboard Actions: what actuators, rules and mock devices do."""

from grafana_foundation_sdk.builders.dashboard import Dashboard
from panels import board, field, graph, number, sql_table


def actions() -> Dashboard:
    """Commands, emergency stops, executions of rules, mock devices."""
    return (
        board("kaiser-actions", "Kaiser / Actions", "What actuators, rules and mock devices do.", sql=True)
        .with_panel(
            number("Emergency stops", "In force now.", "max(kaiser_actuator_active_emergencies)", alarm=1),
        )
        .with_panel(number("Rules", "Rules that are enabled.", "max(kaiser_logic_rules)"))
        .with_panel(
            number("Executions", "Executions of rules that have begun.", "sum(kaiser_logic_running_executions)")
        )
        .with_panel(number("Mocks", "Mock devices that run.", 'max(kaiser_simulator_mocks{running="yes"})'))
        .with_panel(
            number(
                "Given up",
                "Events and executions of rules given up because too many waited for NATS.",
                "sum(kaiser_logic_unpublished_total)",
                alarm=1,
            )
        )
        .with_panel(
            number("Guard", "OFF sent because a duration was over.", "sum(kaiser_actuator_guard_offs_total)"),
        )
        .with_panel(
            graph(
                "Commands",
                "By how they ended, each interval.",
                [("sum by (result) (increase(kaiser_actuator_commands_total[$__rate_interval]))", "{{result}}")],
            )
        )
        .with_panel(
            graph(
                "Times of commands, p99",
                "Request to the device's answer; request of a stop until it is on disk; rule fired until accepted.",
                [
                    (
                        "histogram_quantile(0.99, sum by (le)"
                        " (rate(kaiser_actuator_round_trip_seconds_bucket[$__range])))",
                        "command and answer",
                    ),
                    (
                        "histogram_quantile(0.99, sum by (le) (rate(kaiser_actuator_stop_seconds_bucket[$__range])))",
                        "emergency stop",
                    ),
                    (
                        "histogram_quantile(0.99, sum by (le) (rate(kaiser_logic_command_seconds_bucket[$__range])))",
                        "rule to command",
                    ),
                ],
                "s",
            )
        )
        .with_panel(
            graph(
                "Emergency stops sent and alerts of devices",
                "Each interval; why a stop was sent, and the type of an alert.",
                [
                    ("sum by (why) (increase(kaiser_actuator_stops_total[$__rate_interval]))", "stop: {{why}}"),
                    (
                        "sum by (alert_type) (increase(kaiser_actuator_alerts_total[$__rate_interval]))",
                        "alert: {{alert_type}}",
                    ),
                ],
            )
        )
        .with_panel(
            graph(
                "Executions of rules",
                "By how they ended, each interval; suppressed ones by why.",
                [
                    ("sum by (outcome) (increase(kaiser_logic_executions_total[$__rate_interval]))", "{{outcome}}"),
                    (
                        "sum by (reason) (increase(kaiser_logic_suppressed_total[$__rate_interval])) or vector(0)",
                        "suppressed: {{reason}}",
                    ),
                ],
            )
        )
        .with_panel(
            graph(
                "Mock devices",
                "Messages a second that mocks sent and heard.",
                [
                    ("sum(rate(kaiser_simulator_published_messages_total[$__rate_interval]))", "sent"),
                    ("sum(rate(kaiser_simulator_received_messages_total[$__rate_interval]))", "received"),
                    (
                        "sum(rate(kaiser_simulator_skipped_messages_total[$__rate_interval])) or vector(0)",
                        "left out",
                    ),
                ],
                "cps",
            )
        )
        .with_panel(
            graph(
                "Readings that rules looked at",
                "By their outcome, a second.",
                [("sum by (verdict) (rate(kaiser_logic_readings_total[$__rate_interval]))", "{{verdict}}")],
                "cps",
            )
        )
        .with_panel(
            graph(
                "Actuators by state",
                "The state is unknown while the device is offline, and after its return until it is reported.",
                [("max by (state) (kaiser_actuator_actuators)", "{{state}}")],
                span=24,
            )
        )
        .with_panel(
            sql_table(
                "Actuators",
                "As devices reported them last.",
                """SELECT esp_id, gpio, state, value, reported_at, last_error, guard_due_at
                   FROM actuator.actuators ORDER BY reported_at DESC NULLS LAST LIMIT 200""",
                links={"gpio": f"actuators/{field('esp_id')}/{field('gpio')}", "esp_id": f"devices/{field('esp_id')}"},
            )
        )
    )
