"""The parts that FastStream needs of a subscriber, for subscribers of our own: configuration and list of handlers."""

from collections import UserList
from typing import Any

from faststream.nats import ConsumerConfig
from faststream.nats.configs import NatsBrokerConfig
from faststream.nats.subscriber.config import NatsSubscriberConfig


class Calls(UserList[Any]):
    """The handlers that are registered on a subscriber. FastStream's class for them has no public name."""

    name: str | None = None
    """The subscriber's name in FastStream's logs; None: the word "Subscriber"."""
    description: str | None = None

    def add_call(self, call: Any) -> None:
        """FastStream calls this when a handler is registered."""
        self.append(call)


def subscriber_config(
    frame: NatsBrokerConfig, subject: str, consumer: ConsumerConfig, *, no_reply: bool = False
) -> NatsSubscriberConfig:
    """The configuration of a subscriber of the broker whose own configuration is `frame`.

    `_outer_config` is the one name with an underscore that is used of FastStream: its subscribers take the broker's
    configuration under no other (tests/test_common_private.py).
    """
    return NatsSubscriberConfig(subject=subject, sub_config=consumer, no_reply=no_reply, _outer_config=frame)
