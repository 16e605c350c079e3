"""Steers a simulated factory through the service, and waits for the ends in its journal."""

from collections.abc import Callable
from typing import Any

from kaiser_common.contract.schemas.api.factory import FactoryCommandId, FactoryModules, SteerAnswer, SteerRequest
from kaiser_common.contract.schemas.factory import FactoryCommandEntry
from simulated_factory import AGV, MODULE, STORE, SimulatedFactory


async def is_known(plant: Any, factory: SimulatedFactory) -> bool:
    """Say again that every machine is there, and whether each is shown as ready."""
    factory.stand()  # what is said before ingest has subscribed is heard by nobody
    found = await plant.answers("modules", None, FactoryModules)
    states = {} if found is None else {each.serial: each.availability for each in found.items}
    return {MODULE, STORE, AGV} <= {serial for serial, state in states.items() if state == "READY"}


async def steer(
    plant: Any, key: str | None = None, role: str = "operator", **request: Any
) -> list[FactoryCommandEntry]:
    """The commands of a request."""
    answer = await plant.ask("steer", SteerRequest(request=request, idempotency_key=key), SteerAnswer, role)
    return list(answer.commands)


async def ended(plant: Any, until: Callable[..., Any], command_id: str, *states: str) -> FactoryCommandEntry:
    """A command, once it is in one of these states."""

    async def there() -> FactoryCommandEntry | None:
        found = await plant.answers("command", FactoryCommandId(command_id=command_id), FactoryCommandEntry)
        return found if found is not None and found.state in states else None

    found: FactoryCommandEntry = await until(there)
    return found


def sent_to(factory: SimulatedFactory, topic: str) -> list[dict[str, Any]]:
    """The payloads that came to a topic."""
    return [each for each in factory.orders if each["topic"] == topic]
