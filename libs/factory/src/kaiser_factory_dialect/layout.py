"""The layout of the factory: roads between modules and intersections, and the default until the CCU publishes one."""

from kaiser_factory_dialect.catalogue import FactoryKind
from kaiser_factory_dialect.ccu_messages import FactoryLayout, LayoutModule, LayoutRoad

DEFAULT_AGVS = ("5iO4", "leJ4")
DEFAULT_LAYOUT = FactoryLayout(
    kind=FactoryKind.CCU_LAYOUT,
    topic="ccu/state/layout",
    ts=0,
    modules=(
        LayoutModule("SVR3QA0022", "HBW"),
        LayoutModule("SVR4H76449", "DRILL"),
        LayoutModule("SVR3QA2098", "MILL"),
        LayoutModule("SVR4H76530", "AIQS"),
        LayoutModule("SVR4H73275", "DPS"),
        LayoutModule("CHRG0", "CHRG"),
    ),
    intersections=("1", "2", "3", "4"),
    roads=(
        LayoutRoad("1", "2", 360, "EAST"),
        LayoutRoad("3", "1", 360, "NORTH"),
        LayoutRoad("3", "4", 360, "EAST"),
        LayoutRoad("4", "2", 360, "NORTH"),
        LayoutRoad("SVR3QA0022", "1", 380, "EAST"),
        LayoutRoad("SVR4H76449", "3", 380, "EAST"),
        LayoutRoad("SVR3QA2098", "1", 380, "SOUTH"),
        LayoutRoad("SVR4H73275", "2", 380, "WEST"),
        LayoutRoad("SVR4H76530", "2", 380, "SOUTH"),
        LayoutRoad("CHRG0", "4", 430, "WEST"),
    ),
)
"""The installation as delivered. It is only a fallback: AGVs and modules are exchanged."""


def road_between(layout: FactoryLayout | None, one: str, other: str) -> LayoutRoad | None:
    """The road that joins two nodes, in either direction; None: no road does."""
    for road in (layout or DEFAULT_LAYOUT).roads:
        if {road.start, road.end} == {one, other}:
            return road
    return None
