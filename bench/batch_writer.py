"""A batch writer as Telegraf's mqtt_consumer with its PostgreSQL output: collects, copies, then acknowledges.

`python -m bench.batch_writer HOST PORT FILTER DATABASE_URL TABLE` says "ready" and writes until it is killed. As there,
a batch is a thousand readings, or what came within a tenth of a second; readings are acknowledged once they are stored.
"""

import json
import queue
import sys
from datetime import UTC, datetime
from typing import Any

import paho.mqtt.client as paho
import psycopg
from paho.mqtt.enums import CallbackAPIVersion

_BATCH = 1_000
_FLUSH_S = 0.1
_MOST_WAITING = 20_000
_COLUMNS = ("esp_id", "gpio", "sensor_type", "raw", "value", "unit", "quality")


def main(host: str, port: int, topic_filter: str, database_url: str, table: str) -> None:
    waiting: queue.Queue[paho.MQTTMessage] = queue.Queue(_MOST_WAITING)
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="bench-batch-writer", manual_ack=True)
    client.on_message = lambda client, userdata, message: waiting.put(message)
    client.on_subscribe = lambda *_: print(json.dumps("ready"), flush=True)
    client.connect(host, port)
    client.subscribe(topic_filter, qos=1)
    client.loop_start()
    with psycopg.connect(database_url, autocommit=True) as connection:
        while True:
            batch = _batch(waiting)
            _store(connection, table, [json.loads(message.payload) for message in batch])
            for message in batch:
                client.ack(message.mid, message.qos)


def _batch(waiting: "queue.Queue[paho.MQTTMessage]") -> list[paho.MQTTMessage]:
    """A thousand messages, or those that come before a tenth of a second passes without one."""
    batch = [waiting.get()]
    while len(batch) < _BATCH:
        try:
            batch.append(waiting.get(timeout=_FLUSH_S))
        except queue.Empty:
            break
    return batch


def _store(connection: "psycopg.Connection[Any]", table: str, readings: list[dict[str, Any]]) -> None:
    with connection.cursor().copy(f"COPY {table} (time, {', '.join(_COLUMNS)}) FROM STDIN") as copy:
        for reading in readings:
            at = datetime.fromtimestamp(reading["ts"] / 1000, UTC)
            copy.write_row((at, *(reading[name] for name in _COLUMNS)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5])
