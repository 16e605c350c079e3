"""Figures of a window, each worked out by hand."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kaiser_common.contract.schemas.api.factory import FactoryFigures, MachineFigures
from kaiser_factory.domain.figures import AgvTime, figures

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
END = START + timedelta(hours=1)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def found(**given: Any) -> FactoryFigures:
    nothing: dict[str, Any] = {
        **{"availability": [], "nodes": [], "actions": [], "samples": [], "checks": (0, 0)},
        **{"checkers": frozenset(), "ends": [], "planned_s": {}},
    }
    return figures(START, END, **(nothing | given))


def machine(**given: Any) -> MachineFigures:
    [one] = found(**given).machines
    return one


def agv(minutes: float, battery: float | None = None, **state: bool) -> AgvTime:
    words = {"driving": False, "waiting": False, "charging": False} | state
    return AgvTime("5iO4", at(minutes), words["driving"], words["waiting"], words["charging"], battery)


def test_availability_is_the_share_of_the_window_in_which_a_machine_was_not_blocked():
    words = [("S1", at(-90), "READY", None), ("S1", at(15), "BLOCKED", None), ("S1", at(30), "BUSY", None)]
    assert machine(availability=words).availability == 0.75


def test_performance_is_the_fastest_tenth_of_each_command_over_what_was_needed():
    actions = [("S1", "PICK", 10.0)] * 2 + [("S1", "PICK", 20.0)] + [("S1", "MILL", 60.0)]
    assert machine(actions=actions).performance == 90 / 100


def test_oee_is_the_product_and_only_a_checker_has_a_quality_below_one():
    given = {
        "availability": [(serial, at(-1), "READY", None) for serial in ("AIQS1", "MILL1")],
        "actions": [(serial, "PICK", 10.0) for serial in ("AIQS1", "MILL1")],
        "checks": (4, 3),
        "checkers": frozenset({"AIQS1"}),
    }
    assert [(one.serial, one.quality, one.oee) for one in found(**given).machines] == [
        ("AIQS1", 0.75, 0.75),
        ("MILL1", 1.0, 1.0),
    ]


def test_an_agv_drives_waits_and_charges_for_shares_of_the_sampled_time():
    samples = [agv(0), agv(15, driving=True), agv(30, waiting=True), agv(45, charging=True)]
    one = machine(samples=samples)
    assert (one.driving, one.waiting, one.charging) == (0.25, 0.25, 0.25)


@pytest.mark.parametrize(
    ("samples", "slope"),
    [
        ([agv(0, 80), agv(30, 75), agv(45, 72.5)], -10),
        ([agv(0, 20), agv(10, 30, charging=True), agv(15, 80), agv(45, 70)], -20),
        ([agv(0, 80)], None),
        ([agv(0), agv(30)], None),
        ([agv(0, 80), agv(30, charging=True)], None),
    ],
)
def test_the_battery_falls_by_so_much_an_hour_since_it_was_charged(samples: list[AgvTime], slope: float | None):
    assert machine(samples=samples).battery_percent_per_h == (None if slope is None else pytest.approx(slope))


def test_metres_are_those_of_the_roads_in_the_window():
    nodes = [("5iO4", at(-5), "1", 360.0), ("5iO4", at(5), "2", 360.0), ("5iO4", at(6), "HBW", 380.0)]
    assert machine(nodes=nodes).metres == pytest.approx(0.74)


def test_the_line_has_orders_an_hour_a_yield_and_lead_times_by_type():
    ends = [("FINISHED", "WHITE", 300_000), ("FINISHED", "WHITE", 400_000), ("FINISHED", "RED", 280_000)]
    ends += [("ERROR", "WHITE", 100_000)]
    line = found(ends=ends, planned_s={"WHITE": 300, "BLUE": 320})
    assert (line.orders, line.orders_per_hour, line.yield_share) == (3, 3.0, 0.75)
    assert (line.lead_ms_p50, line.lead_ms_p90) == (300_000, 400_000)
    assert [(one.type, one.orders, one.lead_ms_p90, one.planned_ms) for one in line.types] == [
        ("RED", 1, 280_000, None),
        ("WHITE", 2, 400_000, 300_000),
    ]


def test_of_a_window_in_which_nothing_was_there_are_no_figures():
    line = found()
    assert (line.machines, line.orders, line.yield_share, line.lead_ms_p50, line.types) == ([], 0, None, None, [])
