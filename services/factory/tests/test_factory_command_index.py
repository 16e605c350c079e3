"""The index finds every command that a message moves, of the handed vectors and of a row of commands of each kind."""

import json
from pathlib import Path
from typing import Any

import msgspec
from kaiser_factory.domain.command_index import CommandIndex
from kaiser_factory_dialect.commands import FactoryCommand
from kaiser_factory_dialect.journal import queue, sent, settle
from kaiser_factory_dialect.messages import FactoryMessage
from kaiser_factory_dialect.reading import Arrival, FactoryAccepted, read

VECTORS = json.loads((Path(__file__).parents[3] / "tests/golden/factory-messages.json").read_text())
AT = 1_771_000_000_000
OTHERS = 500
"""Commands of other serials, none of which is to be looked at for a state of one."""


def message(topic: str, payload: Any, at: int, retain: bool = False) -> FactoryMessage | None:
    text = payload if isinstance(payload, str) else json.dumps(payload)
    verdict = read(Arrival(topic, text.encode(), at, 1, retain), ("uagv",))
    return verdict.message if isinstance(verdict, FactoryAccepted) else None


def command(given: dict[str, Any]) -> FactoryCommand:
    return msgspec.convert({name: value for name, value in given.items() if name != "sent"}, FactoryCommand)


COMMANDS = {
    str(number): (command(one["command"]), one["command"]["sent"]) for number, one in enumerate(VECTORS["journal"])
}
AGV = {"serialNumber": "A", "charging": True, "pairedSince": AT}
MESSAGES = [
    found
    for one in VECTORS["journal"]
    for each in one["messages"]
    if (found := message(each["topic"], each["payload"], each["at"], each["retain"])) is not None
] + [
    found
    for topic, payload in (
        ("ccu/global", {"type": "reset"}),
        ("ccu/pairing/state", {"modules": [], "transports": [AGV]}),
        ("ccu/order/completed", [{"orderId": "o", "type": "RED", "state": "CANCELLED", "productionSteps": []}]),
    )
    if (found := message(topic, payload, AT)) is not None
]


def indexed(commands: dict[str, FactoryCommand]) -> CommandIndex:
    index = CommandIndex()
    for command_id, one in commands.items():
        index.add(command_id, one)
    return index


def test_every_command_that_a_message_moves_is_found() -> None:
    more = {
        "charge": FactoryCommand(what="ccu.set", name="charge", serial="A", charge=True),
        "pair": FactoryCommand(what="ccu.pair", serial="A"),
        "cancel": FactoryCommand(what="ccu.cancel", order_ids=("o",)),
        "reset": FactoryCommand(what="ccu.set", name="reset"),
    }
    commands = {name: one for name, (one, _) in COMMANDS.items()} | more
    at = {name: sent_at for name, (_, sent_at) in COMMANDS.items()}
    index, moved = indexed(commands), set()
    for one in MESSAGES:
        for name, each in commands.items():
            entry = sent(queue(each, at.get(name, AT)), at.get(name, AT))
            if settle(entry, one) is not entry:
                moved.add(name)
                assert name in index.about(one), (name, one)
    assert moved >= more.keys()
    assert len(moved) > len(COMMANDS) / 2


def test_for_a_state_only_the_commands_of_its_machine_are_looked_at() -> None:
    machines = {str(number): FactoryCommand(what="module.order", serial=f"S{number}") for number in range(OTHERS)}
    index = indexed(machines | {"order": FactoryCommand(what="ccu.request", type="RED")})
    said = message("module/v1/ff/S7/state", {"serialNumber": "S7"}, AT)
    assert said is not None
    assert index.about(said) == ("7",)
    active = message("ccu/order/active", [], AT)
    assert active is not None
    assert index.about(active) == ("order",)
    stock = message("ccu/state/stock", {"stockItems": []}, AT)
    assert stock is not None
    assert index.about(stock) == ()


def test_a_command_that_was_removed_is_found_no_longer() -> None:
    index = indexed({"a": FactoryCommand(what="module.order", serial="S7"), "b": FactoryCommand(what="ccu.cancel")})
    reset = message("ccu/global", {"type": "reset"}, AT)
    assert reset is not None
    assert index.about(reset) == ("a", "b")
    for name in ("a", "a", "unknown", "b"):
        index.remove(name)
    assert index.about(reset) == ()
