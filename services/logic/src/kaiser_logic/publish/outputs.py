"""The ways by which the effects of a rule leave logic."""

from typing import NamedTuple

from kaiser_logic.publish.commands import Commands
from kaiser_logic.publish.events import EventPublisher
from kaiser_logic.publish.webhooks import Webhooks


class Outputs(NamedTuple):
    """Commands to actuators, webhooks, and the events and records on the bus."""

    commands: Commands
    webhooks: Webhooks
    events: EventPublisher
