"""Builds a mock factory from an operator's settings, and its view in the API."""

from collections.abc import Iterable
from typing import Any

import msgspec
from kaiser_common.contract.schemas.api.mock_factory import CreateMockFactory, MockFactory, MockFactoryFaults
from kaiser_factory_dialect.ccu_messages import FactoryLayout
from kaiser_factory_dialect.reading import Arrival, FactoryAccepted, read

from kaiser_simulator.domain.plant.plant import BAYS, default_setup, new_plant
from kaiser_simulator.domain.plant.state import OrderPlan, Plant, PlantFaults

_COLOURS = ("WHITE", "RED", "BLUE")
_NEEDED = ("HBW", "DPS")
_MOST_NODES = 100


def build_plant(wanted: CreateMockFactory, seed: str) -> Plant:
    """A factory as it is wanted, switched off. ValueError: it cannot be so."""
    setup = default_setup(seed, wanted.speed)
    if wanted.layout is not None:
        layout = _layout(wanted.layout)
        setup.modules = list(layout.modules)
        setup.intersections, setup.roads = list(layout.intersections), list(layout.roads)
    types = [one.type for one in setup.modules]
    if any(types.count(kind) != 1 for kind in _NEEDED):
        raise ValueError("the layout must have one HBW and one DPS")
    setup.flows |= {of: list(steps) for of, steps in wanted.flows.items()}
    setup.flows = {of: [step for step in steps if step in types] for of, steps in setup.flows.items()}
    setup.orders = [OrderPlan(**order.model_dump()) for order in wanted.orders]
    setup.refill, setup.parallel = wanted.refill, wanted.parallel
    stock = (
        [(at, kind, "") for at, kind in zip(BAYS, (one for one in _COLOURS for _ in range(3)), strict=True)]
        if wanted.stock is None
        else [(one.location, one.type, one.id or "") for one in wanted.stock]
    )
    plant = new_plant(setup, stock)
    if wanted.agvs:
        places = {one.type or "": one.serial for one in setup.modules} | {
            one.serial: one.serial for one in setup.modules
        }
        unknown = [agv.at for agv in wanted.agvs if agv.at not in places]
        if unknown:
            raise ValueError(f"the layout has no module {unknown[0]}")
        plant = new_plant(setup, stock, [(agv.serial, places[agv.at], agv.battery) for agv in wanted.agvs])
    plant.faults = faults_of(plant, wanted.faults)
    for serial in plant.faults.battery_low:
        if serial in plant.agvs:
            plant.agvs[serial].battery = 8.0
    return plant


def _layout(payload: dict[str, Any]) -> FactoryLayout:
    verdict = read(Arrival("ccu/state/layout", msgspec.json.encode(payload), 0))
    if not isinstance(verdict, FactoryAccepted) or not isinstance(verdict.message, FactoryLayout):
        raise ValueError(f"the layout cannot be read: {verdict}")
    layout = verdict.message
    if len(layout.modules) + len(layout.intersections) > _MOST_NODES or len(layout.roads) > 4 * _MOST_NODES:
        raise ValueError(f"the layout has more than {_MOST_NODES} nodes")
    return layout


def faults_of(plant: Plant, wanted: MockFactoryFaults) -> PlantFaults:
    """The faults by serials. ValueError: a module or AGV is not in this factory."""
    types = [(one.type or "", one.serial) for one in plant.setup.modules]
    serials = {serial for _, serial in types} | set(plant.agvs)

    def found(names: Iterable[str]) -> list[str]:
        return list(dict.fromkeys(_serial(name) for name in names))

    def _serial(name: str) -> str:
        if name in serials:
            return name
        of_type = [serial for kind, serial in types if kind == name]
        if len(of_type) != 1:
            raise ValueError(f"this factory has no module or AGV {name}")
        return of_type[0]

    return PlantFaults(
        offline=found(wanted.offline),
        silent=found(wanted.silent),
        pick_failed=found(wanted.pick_failed),
        node_unknown=found(wanted.node_unknown),
        battery_low=found(wanted.battery_low),
        quality_failed=wanted.quality_failed,
        slow=wanted.slow,
        duplicate=wanted.duplicate,
        clock_offset_s={
            name if name in {"ccu", "txt"} else _serial(name): offset for name, offset in wanted.clock_offset_s.items()
        },
        ccu_mute=wanted.ccu_mute,
    )


def to_mock_factory(plant: Plant, env: str, epoch: int) -> MockFactory:
    """The factory as the API shows it."""
    return MockFactory(
        env=env,
        epoch=epoch,
        speed=plant.setup.speed,
        modules=[one.serial for one in plant.setup.modules],
        agvs=list(plant.agvs),
        active=len(plant.active),
        shipped=plant.shipped,
        failed=plant.failed,
        faults=MockFactoryFaults.model_validate(msgspec.to_builtins(plant.faults)),
    )
