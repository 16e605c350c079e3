"""The requests to all services in one table. It imports every model, so only code that needs all of them imports it."""

from kaiser_common.contract.methods import actuator, alarm, factory, health, ingest, logic, recorder, sensor, simulator
from kaiser_common.contract.rpc import RpcMethod

_SERVICES = (ingest, sensor, actuator, health, logic, alarm, simulator, factory, recorder)

METHODS: tuple[RpcMethod, ...] = tuple(row for each in _SERVICES for row in each.METHODS)


def calls_of(caller: str) -> dict[str, list[str]]:
    """The methods that a service may call: their names, by the service that answers, or a further name of it."""
    found: dict[str, list[str]] = {}
    for row in METHODS:
        for service in (row.service, *row.also) if caller in row.callers else ():
            found.setdefault(service, []).append(row.name)
    return found
