"""The messages that the central control (CCU) publishes: its orders, its machines, its store and its settings."""

from typing import Any

from kaiser_factory_dialect.catalogue import FactoryKind
from kaiser_factory_dialect.topics import build

from kaiser_simulator.domain.plant import ccu_forms
from kaiser_simulator.domain.plant.saying import Turn


def say(turn: Turn, topic: str, payload: Any, *, retain: bool = False) -> None:
    """Publish what the CCU says; nothing by the fault `ccu_mute`."""
    if not turn.plant.faults.ccu_mute:
        turn.say(topic, payload, retain=retain)


def boot(turn: Turn) -> None:
    """Everything that the CCU keeps retained."""
    plant = turn.plant
    say(turn, build(FactoryKind.CCU_LAYOUT), ccu_forms.layout(plant), retain=True)
    say(turn, build(FactoryKind.CCU_CONFIG), ccu_forms.config(plant), retain=True)
    say(turn, build(FactoryKind.CCU_FLOWS), {of: {"steps": s} for of, s in plant.setup.flows.items()}, retain=True)
    say_stock(turn)
    say_active(turn)
    say_completed(turn)
    say_pairing(turn)


def say_active(turn: Turn) -> None:
    """Publish the orders that are not done."""
    orders = [ccu_forms.order_payload(turn, order) for order in turn.plant.active]
    say(turn, build(FactoryKind.CCU_ACTIVE), orders, retain=True)


def say_completed(turn: Turn) -> None:
    """Publish the orders that are done."""
    orders = [ccu_forms.order_payload(turn, order) for order in turn.plant.completed]
    say(turn, build(FactoryKind.CCU_COMPLETED), orders, retain=True)


def say_pairing(turn: Turn) -> None:
    """Publish what the CCU knows of modules and AGVs."""
    say(turn, build(FactoryKind.CCU_PAIRING), ccu_forms.pairing(turn), retain=True)


def say_stock(turn: Turn) -> None:
    """Publish the bays of the store."""
    stock = ccu_forms.stock(turn)
    say(turn, build(FactoryKind.CCU_STOCK), stock, retain=True)
    say(turn, build(FactoryKind.OBSERVED, "1", name="stock"), stock, retain=True)
