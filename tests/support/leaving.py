"""Ends a client of paho whose loop runs in a thread."""

from contextlib import suppress

import paho.mqtt.client as paho


def leave(client: paho.Client) -> None:
    """Send DISCONNECT and wait for the client's thread.

    paho 2.2.0 forgets that thread as it ends: between loop_stop's look at it and its join that is an AttributeError.
    """
    client.disconnect()
    with suppress(AttributeError):
        client.loop_stop()
