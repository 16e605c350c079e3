"""Sends one reading over MQTT, QoS 1, as a device would, and says whether the broker acknowledged it."""

import json
import time
from dataclasses import dataclass

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from kaiser_stack.errors import NotReadyError

_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What is sent."""

    kaiser_id: str
    esp_id: str
    gpio: int
    sensor_type: str
    value: float


def topic(reading: Reading) -> str:
    """MQTT topic of a reading."""
    return f"kaiser/{reading.kaiser_id}/esp/{reading.esp_id}/sensor/{reading.gpio}/data"


def payload(reading: Reading, at_ms: int) -> str:
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
            "quality": "good",
        }
    )


def send(host: str, port: int, reading: Reading, user: str = "", password: str = "") -> str:
    """Send it and wait up to 10 s for the acknowledgement; what happened, in words. NotReadyError if it did not.

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
    try:
        text = payload(reading, time.time_ns() // 1_000_000)
        message = client.publish(topic(reading), text, qos=1)
        message.wait_for_publish(_WITHIN_S)
    finally:
        client.disconnect()
        client.loop_stop()
    if not message.is_published():
        raise NotReadyError(f"the broker at {host}:{port} did not acknowledge {topic(reading)} within {_WITHIN_S:g} s")
    return (
        f"{topic(reading)}\n{text}\nacknowledged by the broker at {host}:{port}\n"
        "if it does not show: the terminal of `make run` and the console's page Rejected say why"
    )
