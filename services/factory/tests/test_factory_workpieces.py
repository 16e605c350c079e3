"""The stations of a workpiece out of its orders' steps, and what two packages must agree on."""

from typing import get_args

from kaiser_common.contract.schemas import factory as bus
from kaiser_common.contract.schemas.api.factory import FactoryStep, FactoryTimeline
from kaiser_common.contract.schemas.factory import FactoryOrder
from kaiser_factory.domain.workpieces import checked_between, stations
from kaiser_factory_dialect import journal, txt_readings


def timeline(order_id: str, *steps: tuple[str, str, str, int]) -> FactoryTimeline:
    """An order with steps of (module type, command, state, time of their end)."""
    made = [
        FactoryStep(
            n=n,
            id=f"{order_id}-{n}",
            state=state,
            command=command,
            module_type=kind,
            serial=f"S-{kind}",
            running_at=at - 5,
            finished_at=at if state in {"FINISHED", "ERROR"} else None,
            result="FAILED" if state == "ERROR" else "PASSED",
        )
        for n, (kind, command, state, at) in enumerate(steps)
    ]
    return FactoryTimeline(order=FactoryOrder(env="live", order_id=order_id, state="FINISHED", ts=0), steps=made)


STORAGE = timeline("s", ("DPS", "DROP", "FINISHED", 100), ("HBW", "PICK", "FINISHED", 200))
PRODUCTION = timeline(
    "p",
    ("HBW", "DROP", "FINISHED", 1000),
    ("DRILL", "PICK", "FINISHED", 1100),
    ("DRILL", "DRILL", "FINISHED", 1200),
    ("DRILL", "DROP", "FINISHED", 1300),
    ("MILL", "MILL", "FINISHED", 1400),
    ("AIQS", "CHECK_QUALITY", "ERROR", 1500),
    ("DPS", "PICK", "CANCELLED", 0),
)


def test_a_workpiece_has_passed_the_stations_whose_steps_ended() -> None:
    found = stations([PRODUCTION, STORAGE])
    assert [(one.code, one.what, one.at, one.order_id) for one in found] == [
        (100, "delivered", 100, "s"),
        (300, "stored", 200, "s"),
        (400, "retrieved", 1000, "p"),
        (700, "drilled", 1200, "p"),
        (600, "milled", 1400, "p"),
        (200, "checked", 1500, "p"),
    ]
    assert found[-1].result == "FAILED"


def test_a_check_is_looked_for_when_its_action_ran() -> None:
    assert checked_between([STORAGE]) == []
    assert checked_between([PRODUCTION]) == [(1495 - 2000, 1500 + 10_000)]


def test_the_bus_and_the_dialect_know_the_same_states_of_commands_and_kinds_of_environments() -> None:
    """libs/factory imports no model of the bus, so each of these stands in both."""
    assert get_args(bus.JournalState) == get_args(journal.JournalState)
    assert get_args(bus.EnvironmentKind) == get_args(txt_readings.EnvironmentKind)
