"""Sends one reading over MQTT, as a device would."""

import json
import threading
import time

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from kaiser_stack.errors import SetupError

_WITHIN_S = 5.0


def reading(esp_id: str, gpio: int, sensor_type: str, value: float) -> tuple[str, str]:
    """Topic and payload of a reading that is taken now; raw is value × 100, as the firmware sends it."""
    payload = {
        "ts": int(time.time() * 1000),
        "esp_id": esp_id,
        "gpio": gpio,
        "sensor_type": sensor_type,
        "raw": round(value * 100),
        "raw_value": value,
        "raw_mode": False,
        "value": value,
        "quality": "good",
    }
    return f"kaiser/god/esp/{esp_id}/sensor/{gpio}/data", json.dumps(payload)


def send(host: str, port: int, topic: str, payload: str) -> float:
    """Publish at QoS 1 and wait for the broker's PUBACK; the time that took, in s. SetupError when none comes."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    try:
        client.connect(host, port, keepalive=10)
    except OSError as error:
        raise SetupError(
            f"no MQTT broker at {host}:{port} ({error}): is `make run` going? Else set KAISER_MQTT_PORT"
        ) from error
    client.loop_start()
    try:
        if not connected.wait(_WITHIN_S):
            raise SetupError(f"the MQTT broker at {host}:{port} does not answer a CONNECT")
        started = time.perf_counter()
        published = client.publish(topic, payload, qos=1)
        published.wait_for_publish(_WITHIN_S)
        if not published.is_published():
            raise SetupError(f"the MQTT broker at {host}:{port} did not acknowledge within {_WITHIN_S:g} s")
        return time.perf_counter() - started
    finally:
        client.disconnect()
        client.loop_stop()
