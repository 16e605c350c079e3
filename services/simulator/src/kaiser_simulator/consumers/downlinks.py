"""Messages that MQTT delivered for mocks, from the durable consumer `simulator`."""

from collections import defaultdict
from collections.abc import Sequence

from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.errors import Rejected
from kaiser_common.contract.schemas.device import Downlink
from kaiser_common.contract.topics import BROADCAST, Topic, parse
from kaiser_common.runtime.consume import Unreadable
from pydantic import ValidationError

from kaiser_simulator import metrics
from kaiser_simulator.domain.actuators import Reaction
from kaiser_simulator.domain.device import MockDevice, Publication
from kaiser_simulator.domain.reactions import react
from kaiser_simulator.publish import Sender
from kaiser_simulator.store.changes import Clock, Mocks

_SENT_WITHIN_S = 8.0

Heard = tuple[Topic, str]
"""A message's topic, taken apart, and its payload."""


class MockDownlinks:
    """Lets mocks react: saved, then answered, then acknowledged. Killed in between: the message is delivered again and
    the mock answers as before. A slow answer is the exception: its message is acknowledged immediately, so the answer
    is lost with the process."""

    def __init__(self, mocks: Mocks, sender: Sender, clock: Clock) -> None:
        self._mocks = mocks
        self._sender = sender
        self._clock = clock

    async def on_messages(self, deliveries: Sequence[Delivery]) -> Unreadable:
        """Let each mock react to what it was sent, in order; what cannot be read."""
        heard, unreadable = self._sorted(deliveries)
        metrics.RECEIVED.inc(sum(map(len, heard.values())))

        def change(device: MockDevice) -> Reaction:
            return self._react(device, heard[device.esp_id])

        await self._mocks.change_all(heard, change, answering=True)
        await self._sender.until_sent(_SENT_WITHIN_S)
        return unreadable

    def _sorted(self, deliveries: Sequence[Delivery]) -> tuple[dict[str, list[Heard]], list[tuple[Delivery, str]]]:
        """The messages by mock, a broadcast for every mock; and the unreadable messages, with the reason."""
        heard: dict[str, list[Heard]] = defaultdict(list)
        unreadable: list[tuple[Delivery, str]] = []
        world, now_ms = self._mocks.world, self._clock()
        for delivery in deliveries:
            try:
                downlink = Downlink.model_validate_json(delivery.body)
                topic = parse(downlink.topic)
            except ValidationError as error:
                unreadable.append((delivery, str(error.errors(include_url=False)[0]["msg"])))
                continue
            except Rejected as error:
                unreadable.append((delivery, str(error)))
                continue
            everyone = downlink.esp_id == BROADCAST
            for esp_id in [device.esp_id for device in world] if everyone else [downlink.esp_id]:
                if esp_id in world:
                    heard[esp_id].append((topic, downlink.payload))
                    world.hear(esp_id, downlink.topic, downlink.payload, now_ms)
        return heard, unreadable

    def _react(self, device: MockDevice, heard: Sequence[Heard]) -> Reaction:
        said: list[Publication] = []
        for topic, payload in heard:
            reaction = react(device, topic, payload, self._clock(), self._mocks.world.measure)
            device = reaction.device
            said += reaction.publications
        return Reaction(device, tuple(said))
