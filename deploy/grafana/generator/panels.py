"""The few forms of panel that Kaiser's dashboards are made of."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders.common import GraphThresholdsStyleConfig, VizLegendOptions, VizTooltipOptions
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import (
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

PROMETHEUS = DataSourceRef("prometheus", "${datasource}")
DATABASE = DataSourceRef("grafana-postgresql-datasource", "${database}")
"""Variables of each board, so that it can be imported into any Grafana."""

SCOPE = 'namespace="$namespace",site="$site"'
"""Which Kaiser: one Prometheus may scrape several. Where a label is missing its variable is empty, and that matches."""

_METRIC = re.compile(r'(?<![\w:"])((?:\w+:)?kaiser_\w+(?::\w+)*|kaiser:[\w:]+|up|ALERTS|process_\w+)\b(?:\{([^}]*)\})?')

Legend = tuple[str, str]
"""A PromQL expression and how its series are named, such as `{{stage}}`."""


def board(
    uid: str, title: str, description: str, since: str = "now-1h", *, metrics: bool = True, sql: bool = False
) -> dashboard.Dashboard:
    """An empty dashboard with the variables of its data sources. sql: it has panels of the database."""
    made = _board(uid, title, description, since)
    if metrics:
        made = made.with_variable(dashboard.DatasourceVariable("datasource").label("Metrics").type("prometheus"))
        made = made.with_variable(_label_variable("namespace", "Namespace", "kaiser_build_info"))
        made = made.with_variable(_label_variable("site", "Site", 'kaiser_build_info{namespace="$namespace"}'))
        made = _marked(made)
    if sql:
        kind = str(DATABASE.type_val)
        made = made.with_variable(dashboard.DatasourceVariable("database").label("Database").type(kind))
        console = dashboard.TextBoxVariable("console").label("Console").default_value("http://127.0.0.1:8000")
        made = made.with_variable(console)
    return made


def scoped(expr: str) -> str:
    """A PromQL expression in which each metric is that of the Kaiser that was chosen."""
    return _METRIC.sub(lambda found: f"{found[1]}{{{','.join(filter(None, (SCOPE, found[2])))}}}", expr)


def _label_variable(name: str, label: str, metric: str) -> dashboard.QueryVariable:
    """A choice of the values of a label."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(PROMETHEUS)
        .query(f"label_values({metric}, {name})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )


def _marked(made: dashboard.Dashboard) -> dashboard.Dashboard:
    """A mark on every chart where a process started, and while an emergency stop was in force."""
    marks = (
        ("Starts of processes", "blue", 'changes(process_start_time_seconds{job="kaiser"}[2m]) > 0'),
        ("Emergency stops", "red", "max(kaiser_actuator_active_emergencies) > 0"),
    )
    for name, color, expr in marks:
        mark = dashboard.AnnotationQuery().name(name).datasource(PROMETHEUS).icon_color(color).enable(True)
        made = made.annotation(mark.expr(scoped(expr)))
    return made


def _board(uid: str, title: str, description: str, since: str) -> dashboard.Dashboard:
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["kaiser"])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .refresh("30s")
        .time(since, "now")
        .timezone("browser")
        .link(
            dashboard.DashboardLink("Kaiser")
            .type(DashboardLinkType.DASHBOARDS)
            .tags(["kaiser"])
            .as_dropdown(True)
            .keep_time(True)
        )
    )


def number(
    title: str, description: str, expr: str, unit: str = "short", *, alarm: float | None = None, low: bool = False
) -> stat.Panel:
    """One figure; red from `alarm` on, or below it where `low` says that little is bad."""
    steps = [Threshold(None, "red" if low else "green")]
    if alarm is not None:
        steps.append(Threshold(alarm, "green" if low else "red"))
    elif low:
        steps = [Threshold(None, "green")]
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .span(4)
        .height(4)
        .unit(unit)
        .thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
        .with_target(prometheus.Dataquery().expr(scoped(expr)).instant().ref_id("A").datasource(PROMETHEUS))
    )


def series_table(title: str, description: str, expr: str, *, without: Sequence[str], span: int = 24) -> table.Panel:
    """The labels of series from Prometheus, as rows; `without`: columns that are not shown."""
    target = prometheus.Dataquery().expr(scoped(expr)).instant().format(PromQueryFormat.TABLE)
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .span(span)
        .height(7)
        .no_value("none")
        .with_target(target.ref_id("A").datasource(PROMETHEUS))
    )
    for name in without:
        panel = panel.override_by_name(name, [DynamicConfigValue("custom.hidden", True)])
    return panel


def graph(
    title: str,
    description: str,
    queries: Sequence[Legend],
    unit: str = "short",
    *,
    span: int = 12,
    alarm: float | None = None,
) -> timeseries.Panel:
    """Figures over time from Prometheus; `alarm` is drawn as a line."""
    panel = _timeseries(title, description, unit, span).datasource(PROMETHEUS).min(0)
    if alarm is not None:
        steps = [Threshold(None, "green"), Threshold(alarm, "red")]
        panel = panel.thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
        panel = panel.thresholds_style(GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    for place, (expr, legend) in enumerate(queries):
        panel = panel.with_target(
            prometheus.Dataquery()
            .expr(scoped(expr))
            .range()
            .legend_format(legend)
            .ref_id(chr(ord("A") + place))
            .datasource(PROMETHEUS)
        )
    return panel


def sql_graph(title: str, description: str, sql: str, unit: str = "short", *, span: int = 12) -> timeseries.Panel:
    """Figures over time from the database: columns time, metric (text) and value."""
    return (
        _timeseries(title, description, unit, span)
        .datasource(DATABASE)
        .with_target(SqlBuilder(SqlQuery(" ".join(sql.split()), "time_series")))
    )


def sql_states(
    title: str, description: str, sql: str, states: Mapping[int, tuple[str, str]], *, span: int = 24
) -> statetimeline.Panel:
    """States over time from the database: columns time, metric (text) and value, a number of `states`, each with the
    name and colour that is shown."""
    shown = {str(value): ValueMappingResult(text, color) for value, (text, color) in states.items()}
    return (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .datasource(DATABASE)
        .span(span)
        .height(10)
        .mappings([ValueMap(shown)])
        .with_target(SqlBuilder(SqlQuery(" ".join(sql.split()), "time_series")))
    )


def sql_table(
    title: str, description: str, sql: str, *, span: int = 24, links: Mapping[str, str] | None = None
) -> table.Panel:
    """Rows from the database. links: of a column, where in the console its cells lead."""
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(DATABASE)
        .span(span)
        .height(8)
        .with_target(SqlBuilder(SqlQuery(" ".join(sql.split()), "table")))
    )
    for name, page in (links or {}).items():
        link = {"title": "In the console", "url": f"${{console}}/#/{page}", "targetBlank": True}
        panel = panel.override_by_name(name, [DynamicConfigValue("links", [link])])
    return panel


def field(name: str) -> str:
    """A column's value of the row in a link."""
    return f"${{__data.fields.{name}}}"


def sql_variable(name: str, label: str, sql: str) -> dashboard.QueryVariable:
    """A choice whose values come from the database."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(DATABASE)
        .query(" ".join(sql.split()))
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )


@dataclass(frozen=True, slots=True)
class SqlQuery(Dataquery):
    """A query of the PostgreSQL data source, which the SDK has no type of."""

    sql: str
    form: Literal["time_series", "table"]
    ref_id: str = "A"

    def to_json(self) -> dict[str, Any]:
        """As Grafana keeps it."""
        return {
            "refId": self.ref_id,
            "datasource": DATABASE,
            "editorMode": "code",
            "rawQuery": True,
            "rawSql": self.sql,
            "format": self.form,
        }


@dataclass(frozen=True, slots=True)
class SqlBuilder(Builder[Dataquery]):
    """What the SDK asks for in place of a query."""

    query: SqlQuery

    def build(self) -> Dataquery:
        """The query."""
        return self.query


def _timeseries(title: str, description: str, unit: str, span: int) -> timeseries.Panel:
    return (
        timeseries.Panel()
        .title(title)
        .description(description)
        .span(span)
        .height(8)
        .unit(unit)
        .line_width(1)
        .fill_opacity(10)
        .legend(
            VizLegendOptions()
            .display_mode(LegendDisplayMode.TABLE)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["lastNotNull", "max"])
        )
        .tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
