"""The few forms of panel that Kaiser's dashboards are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders.common import VizLegendOptions, VizTooltipOptions
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import (
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
    VariableRefresh,
    VariableSort,
)

PROMETHEUS = DataSourceRef("prometheus", "kaiser-prometheus")
DATABASE = DataSourceRef("grafana-postgresql-datasource", "kaiser-database")

Legend = tuple[str, str]
"""A PromQL expression and how its series are named, such as `{{stage}}`."""


def board(uid: str, title: str, description: str, since: str = "now-1h") -> dashboard.Dashboard:
    """An empty dashboard."""
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
    steps = [Threshold("green" if not low else "red", None)]
    if alarm is not None:
        steps.append(Threshold("green" if low else "red", alarm))
    elif low:
        steps = [Threshold("green", None)]
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .span(4)
        .height(4)
        .unit(unit)
        .thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
        .with_target(prometheus.Dataquery().expr(expr).instant().ref_id("A").datasource(PROMETHEUS))
    )


def graph(
    title: str, description: str, queries: Sequence[Legend], unit: str = "short", *, span: int = 12
) -> timeseries.Panel:
    """Figures over time from Prometheus."""
    panel = _timeseries(title, description, unit, span).datasource(PROMETHEUS).min(0)
    for place, (expr, legend) in enumerate(queries):
        panel = panel.with_target(
            prometheus.Dataquery()
            .expr(expr)
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


def sql_table(title: str, description: str, sql: str, *, span: int = 24) -> table.Panel:
    """Rows from the database."""
    return (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(DATABASE)
        .span(span)
        .height(8)
        .with_target(SqlBuilder(SqlQuery(" ".join(sql.split()), "table")))
    )


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
