"""Sends one reading over MQTT, QoS 1, as a device would, and waits for the broker's acknowledgement."""

import json
import time
from contextlib import suppress
from dataclasses import dataclass

import paho.mqtt.client as paho
from kaiser_stack.errors import NotReadyError
from paho.mqtt.enums import CallbackAPIVersion

_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class SentReading:
    """A reading that is sent."""

    kaiser_id: str
    esp_id: str
    gpio: int
    sensor_type: str
    value: float
    unit: str = ""


@dataclass(frozen=True, slots=True)
class AcknowledgedReading:
    """A reading that the broker has acknowledged; at_ms is the `ts` of the payload."""

    topic: str
    payload: str
    at_ms: int


def topic(reading: SentReading) -> str:
    """MQTT topic of a reading."""
    return f"kaiser/{reading.kaiser_id}/esp/{reading.esp_id}/sensor/{reading.gpio}/data"


def payload(reading: SentReading, at_ms: int) -> str:
    """MQTT payload of a reading taken at `at_ms`."""
    return json.dumps(
        {
            "ts": at_ms,
            "esp_id": reading.esp_id,
            "gpio": reading.gpio,
            "sensor_type": reading.sensor_type,
            "raw": round(reading.value * 100),
            "raw_value": reading.value,
            "raw_mode": False,
            "value": reading.value,
            "unit": reading.unit,
            "quality": "good",
        },
        ensure_ascii=False,
    )


def send(host: str, port: int, reading: SentReading, user: str = "", password: str = "") -> AcknowledgedReading:
    """Send it and wait up to 10 s for the acknowledgement. NotReadyError: none came.

    With a `user` the client signs in.
    """
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
    if user:
        client.username_pw_set(user, password)
    try:
        client.connect(host, port, keepalive=30)
    except OSError as error:
        raise NotReadyError(
            f"no MQTT broker at {host}:{port}: {error}; start it with `make run`, or set KAISER_MQTT_PORT"
        ) from error
    client.loop_start()
    at_ms = time.time_ns() // 1_000_000
    sent = AcknowledgedReading(topic(reading), payload(reading, at_ms), at_ms)
    try:
        message = client.publish(sent.topic, sent.payload, qos=1)
        message.wait_for_publish(_WITHIN_S)
    finally:
        client.disconnect()
        with suppress(AttributeError):  # paho 2.2.0 forgets its thread as it ends, also within loop_stop
            client.loop_stop()
    if not message.is_published():
        raise NotReadyError(f"the broker at {host}:{port} did not acknowledge {sent.topic} within {_WITHIN_S:g} s")
    return sent
