"""Routes of AGVs across the layout: the shortest path, and where the AGV turns along it.

Source: docs/factory-dialect.md, "Routes".
"""

import heapq
import itertools
from collections.abc import Mapping
from typing import Literal

from kaiser_factory_dialect.ccu_messages import FactoryLayout, LayoutRoad
from kaiser_factory_dialect.layout import road_between

Turn = Literal["LEFT", "RIGHT", "BACK"]
_HEADINGS = {"NORTH": 0, "EAST": 90, "SOUTH": 180, "WEST": 270}
_TURNS: Mapping[int, Turn] = {90: "RIGHT", 180: "BACK", 270: "LEFT"}


def shortest_path(layout: FactoryLayout, start: str, end: str) -> tuple[str, ...] | None:
    """The nodes from start to end, both among them; None: no way.

    Shortest by length; of equally long ones the one whose list of names is the smallest. Modules stand at the ends
    only: an AGV does not drive through one.
    """
    modules = {module.serial for module in layout.modules}
    waiting: list[tuple[float, tuple[str, ...]]] = [(0, (start,))]
    done: set[str] = set()
    while waiting:
        length, path = heapq.heappop(waiting)
        node = path[-1]
        if node == end:
            return path
        if node in done or (node in modules and node != start):
            continue
        done.add(node)
        for road in layout.roads:
            if node in {road.start, road.end}:
                other = road.end if road.start == node else road.start
                if other not in done:
                    heapq.heappush(waiting, (length + road.length, (*path, other)))
    return None


def turn_at(layout: FactoryLayout, before: str, node: str, after: str) -> Turn | None:
    """How an AGV turns at a node on the way from `before` to `after`; None: it goes straight on.

    ValueError: no road joins two of them, or its direction is not a point of the compass.
    """
    change = (heading(layout, node, after) - heading(layout, before, node)) % 360
    return _TURNS.get(change)


def heading(layout: FactoryLayout, start: str, end: str) -> int:
    """The heading of an AGV on the road between two nodes, in degrees clockwise from north. ValueError: no road."""
    road = road_between(layout, start, end)
    if road is None or road.direction not in _HEADINGS:
        raise ValueError(f"no road with a direction joins {start} and {end}")
    degrees = _HEADINGS[road.direction]
    return degrees if road.start == start else (degrees + 180) % 360


def roads_of(layout: FactoryLayout, path: tuple[str, ...]) -> list[LayoutRoad]:
    """The roads of a path, in its order."""
    found = [road_between(layout, one, other) for one, other in itertools.pairwise(path)]
    return [road for road in found if road is not None]
