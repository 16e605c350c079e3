"""A client of the broker that only listens, as a device or a display does."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as paho
from harness import Stack
from leaving import leave
from paho.mqtt.enums import CallbackAPIVersion

Heard = list[tuple[str, dict[str, Any]]]
"""Topic and body of what a device heard."""


@contextmanager
def listening(stack: Stack, topic_filter: str) -> Iterator[Heard]:
    """A device that only listens."""
    heard: Heard = []
    subscribed = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
    client.on_message = lambda _client, _data, message: heard.append((message.topic, json.loads(message.payload)))
    client.on_connect = lambda client, *_: client.subscribe(topic_filter, 1)
    client.on_subscribe = lambda *_: subscribed.set()
    client.reconnect_delay_set(1, 2)
    client.connect(stack.addresses["mqtt_host"], stack.addresses["mqtt_port"])
    client.loop_start()
    try:
        assert subscribed.wait(60.0)
        yield heard
    finally:
        leave(client)
