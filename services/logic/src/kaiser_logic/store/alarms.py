"""Asks the service alarm for the open alarms of a kind."""

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import all_pages, call
from kaiser_common.contract.schemas.api.alarms import AlarmsPage, AlarmsQuery

from kaiser_logic.domain.alarms import AlarmInput
from kaiser_logic.store.latest import LOGIC

_WITHIN_S = 3.0
_AT_ONCE = 1000
_MOST_PAGES = 20


async def open_alarms(bus: Bus, kind: str) -> list[AlarmInput]:
    """The open alarms of a kind, the newest 20,000. RpcError: the service alarm does not answer."""

    async def ask(cursor: str | None) -> AlarmsPage:
        query = AlarmsQuery(kind=kind, limit=_AT_ONCE, cursor=cursor)
        return await call(bus, "alarm", "list", query, AlarmsPage, caller=LOGIC, timeout_s=_WITHIN_S)

    return [
        AlarmInput(one.alarm_id, one.step, one.kind, one.source, one.severity, one.state, one.esp_id)
        for one in await all_pages(ask, _MOST_PAGES)
    ]
