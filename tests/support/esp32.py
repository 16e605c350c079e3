"""An ESP32: a scripted MQTT client that receives commands, carries them out, answers, and reports its state."""

import json
import queue
import threading
import time
from typing import Any

import paho.mqtt.client as paho
from devices import heartbeat
from harness import Stack, wait_until
from leaving import leave
from paho.mqtt.enums import CallbackAPIVersion


class Device:
    """An ESP32 as its firmware speaks: hears commands, does as its script says, reports status."""

    def __init__(self, stack: Stack, esp_id: str) -> None:
        self.esp_id = esp_id
        self.base = f"kaiser/god/esp/{esp_id}"
        self.heard: list[tuple[float, str, dict[str, Any]]] = []
        self.answers = True
        self.refuses = False
        self.answers_twice = False
        self.after_s = 0.0
        self.on: dict[int, bool] = {}
        self.stopped = False
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=esp_id, clean_session=False, protocol=paho.MQTTv311
        )
        self._client.on_message = self._on_message
        self._client.on_connect = self._on_connect
        self._stack = stack
        self._taken: queue.Queue[tuple[float, dict[str, Any], int] | None] = queue.Queue()
        """Commands and when they are due: one after the other, as a device does them."""

    def __enter__(self) -> "Device":
        self._client.reconnect_delay_set(1, 2)
        self._client.connect(self._stack.addresses["mqtt_host"], self._stack.addresses["mqtt_port"], keepalive=30)
        self._client.loop_start()
        threading.Thread(target=self._work, daemon=True).start()
        wait_until(self._client.is_connected, f"{self.esp_id} is connected")
        return self

    def __exit__(self, *_: object) -> None:
        self._taken.put(None)
        leave(self._client)

    def commands(self) -> list[tuple[int, str, int]]:
        """(gpio, command, duration in s) as they came."""
        return [
            (int(topic.split("/")[5]), body["command"], body["duration"])
            for _, topic, body in list(self.heard)
            if topic.endswith("/command")
        ]

    def emergencies(self) -> list[str]:
        return [body["command"] for _, topic, body in list(self.heard) if topic.endswith("/emergency")]

    def send(self, topic: str, body: dict[str, Any]) -> None:
        self._client.publish(f"{self.base}/{topic}", json.dumps(body), qos=1)

    def heartbeat(self) -> None:
        message = heartbeat(self.esp_id)
        self._client.publish(message.topic, message.payload, qos=1)

    def status(self, gpio: int) -> None:
        on = self.on.get(gpio, False)
        emergency = "active" if self.stopped else "normal"
        state = {"actuator_type": "pump", "state": on, "value": float(on), "emergency": emergency}
        self.send(f"actuator/{gpio}/status", {"ts": int(time.time() * 1000), "gpio": gpio, **state})

    def answer(self, body: dict[str, Any], gpio: int) -> None:
        said = {"command": body["command"], "success": not self.refuses, "correlation_id": body["correlation_id"]}
        message = {"message": "no water" if self.refuses else "done", "ts": int(time.time() * 1000)}
        self.send(f"actuator/{gpio}/response", {"esp_id": self.esp_id, "gpio": gpio, **said, **message})

    def _on_connect(self, client: paho.Client, *_: Any) -> None:
        own = ("actuator/+/command", "actuator/emergency", "config")
        filters = (*(f"{self.base}/{each}" for each in own), "kaiser/broadcast/emergency")
        client.subscribe([(each, 1) for each in filters])
        self.heartbeat()

    def _on_message(self, client: paho.Client, _: Any, message: paho.MQTTMessage) -> None:
        body = json.loads(message.payload)
        self.heard.append((time.monotonic(), message.topic, body))
        if message.topic.endswith("/emergency"):
            self._on_emergency(body)
        elif self.answers and message.topic.endswith("/command"):
            self._taken.put((time.monotonic() + self.after_s, body, int(message.topic.split("/")[5])))

    def _work(self) -> None:
        while (taken := self._taken.get()) is not None:
            due, body, gpio = taken
            time.sleep(max(0.0, due - time.monotonic()))
            self._do(body, gpio)

    def _on_emergency(self, body: dict[str, Any]) -> None:
        self.stopped = body["command"] != "clear_emergency"
        for gpio in self.on:
            if self.stopped:
                self.on[gpio] = False
            self.status(gpio)

    def _do(self, body: dict[str, Any], gpio: int) -> None:
        if not self.refuses and not (self.stopped and body["command"] != "OFF"):
            self.on[gpio] = body["command"] != "OFF"
        for _ in range(2 if self.answers_twice else 1):
            self.answer(body, gpio)
        self.status(gpio)
