"""nats-py's client with a short way for pulled messages: straight from the parser to a callback.

The usual way builds a message object, parses its headers and passes a queue and a task (docs/decisions/0001). What
nats-py must go on doing itself, reconnecting and subscribing again, it does.
"""

import asyncio

from nats.aio.client import Client
from nats.aio.subscription import Subscription

from kaiser_common.parser import Callback, DirectParser


class DirectClient(Client):
    """A client whose `divert`ed subscriptions bypass queue and task."""

    def __init__(self) -> None:
        super().__init__()
        self._diverted: dict[int, Callback] = {}
        self._ps = DirectParser(self, self._diverted)

    def divert(self, subscription: Subscription, callback: Callback) -> None:
        """Hand each message of the subscription to `callback` from now on."""
        self._diverted[subscription._id] = callback

    def restore(self, subscription: Subscription) -> None:
        """End what `divert` began."""
        self._diverted.pop(subscription._id, None)

    @property
    def is_reading(self) -> bool:
        """False once nats-py's reader has ended, as it does at an unexpected exception: nothing arrives any more."""
        return self._reading_task is not None and not self._reading_task.done()

    async def _process_pong(self) -> None:
        # Where whoever waited has given up, nats-py sets the result of a cancelled future: its reader ends by that.
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.Future()
        await super()._process_pong()


def parse_headers(raw: bytes | None) -> dict[str, str]:
    """Headers of a message by name; an inline status comes as Status and Description."""
    if not raw:
        return {}
    first, *lines = raw.decode("utf-8", "replace").split("\r\n")
    headers = {name: value.strip() for name, _, value in (line.partition(":") for line in lines) if name}
    status, _, description = first.removeprefix("NATS/1.0").strip().partition(" ")
    if status:
        headers |= {"Status": status, "Description": description}
    return headers
