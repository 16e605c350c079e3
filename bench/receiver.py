"""A bare MQTT receiver, the minimum in Python: paho, QoS 1, each message acknowledged manually, nothing else.

It runs as its own process: `python -m bench.receiver HOST PORT FILTER COUNT` prints when the last message arrived.
"""

import json
import sys
import threading
import time
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

_WITHIN_S = 300.0


def main(host: str, port: int, topic_filter: str, count: int) -> None:
    received = 0
    done = threading.Event()

    def on_message(client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:
        nonlocal received
        client.ack(message.mid, message.qos)
        received += 1
        if received == count:
            done.set()

    def on_subscribe(*arguments: Any) -> None:
        print(json.dumps("ready"), flush=True)

    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="bench-receiver", manual_ack=True)
    client.on_message = on_message
    client.on_subscribe = on_subscribe
    client.connect(host, port)
    client.subscribe(topic_filter, qos=1)
    client.loop_start()
    done.wait(_WITHIN_S)
    print(json.dumps({"received": received, "at": time.time()}), flush=True)
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
