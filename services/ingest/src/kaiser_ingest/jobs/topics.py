"""Has the broker send its retained messages once more after the stream TOPICS was created again.

The state of the factory is built from TOPICS. Machines publish their presence and their abilities only when they
connect, as retained messages, so a new stream would lack them. Killed at any point: the next holder of the session
subscribes when it connects, and the broker sends the same messages.
"""

from collections.abc import Awaitable, Callable

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.pull import ask
from kaiser_common.contract.subjects import TOPICS
from kaiser_common.runtime.loops import every

log = structlog.get_logger()

_EVERY_S = 5.0


class TopicsWatch:
    """Looks at the stream every few seconds while the lease is held."""

    def __init__(self, bus: Bus, ask_again: Callable[[], Awaitable[bool]]) -> None:
        """ask_again: has the broker send its retained messages, and takes each as new; False: it could not be asked."""
        self._bus = bus
        self._ask_again = ask_again
        self._created = ""

    async def run(self) -> None:
        """Look until cancelled."""
        await every(_EVERY_S, self.look, "topics_not_watched")

    async def look(self) -> None:
        """Ask again where the stream is another one than at the look before. NATS away, or no such stream: nothing."""
        found = await ask(self._bus, f"$JS.API.STREAM.INFO.{TOPICS.name}", {})
        created = str(found.get("created", ""))
        if not created:
            return
        if not self._created:
            log.info("topics_found", created=created)
        elif created != self._created:
            log.warning("topics_created_anew", next="the broker is asked for what it retains")
            if not await self._ask_again():
                return
        self._created = created
