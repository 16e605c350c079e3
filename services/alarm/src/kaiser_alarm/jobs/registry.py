"""Compares alarms with the registry of devices: clears those of removed devices, and corrects `device_offline`.

`device_offline` is raised or cleared where it has differed from the registry for two minutes. Events arrive sooner, and
are correct when they are published (health publishes them after the commit). The registry may still differ, for example
after the database was restored from a backup.
"""

from collections.abc import Callable, Mapping

import structlog
from kaiser_common.contract.schemas.device import DeviceRecord

from kaiser_alarm.consumers.events import EventReading
from kaiser_alarm.domain import reconcile
from kaiser_alarm.domain.board import Board
from kaiser_alarm.domain.life import Key

log = structlog.get_logger()

_AFTER_MS = 120_000
"""Longer than a message waits that a killed health had taken (10 s and more): until then the registry may be behind."""


class RegistryLook:
    """A difference counts once it has lasted for two minutes."""

    def __init__(
        self,
        events: EventReading,
        board: Board,
        devices: Mapping[str, DeviceRecord],
        is_removed: Callable[[str], bool],
        clock_ms: Callable[[], int],
    ) -> None:
        self._events = events
        self._board = board
        self._devices = devices
        self._is_removed = is_removed
        self._clock_ms = clock_ms
        self._differ_since: dict[Key, int] = {}

    async def look(self) -> None:
        """Clear and raise what differs. Killed before the commit: a later look does it."""
        async with self._events.in_turn:
            at = self._clock_ms()
            findings = list(reconcile.of_removed(self._board.alarms.values(), self._is_removed, at))
            now = list(reconcile.of_registry(self._devices.values(), self._board.alarms, at))
            self._differ_since = {finding.key: self._differ_since.get(finding.key, at) for finding in now}
            differ = [finding for finding in now if at - self._differ_since[finding.key] >= _AFTER_MS]
            for finding in differ:
                log.warning("alarm_differed_from_registry", source=finding.key.source)
            await self._events.find([(finding, f"registry-{at}") for finding in (*findings, *differ)])
