"""The naive way, for comparison: one process with a callback that does one INSERT per message.

`python -m bench.naive HOST PORT FILTER DATABASE_URL COUNT` prints how many messages it stored, and when it had
finished.
"""

import json
import subprocess
import sys
import threading
import time
from typing import Any

import paho.mqtt.client as paho
import psycopg
from paho.mqtt.enums import CallbackAPIVersion

from bench import sender
from bench.bed import Bed

_WITHIN_S = 300.0


def main(host: str, port: int, topic_filter: str, database_url: str, count: int) -> None:
    stored = 0
    done = threading.Event()
    connection = psycopg.connect(database_url, autocommit=True)

    def on_message(client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:
        nonlocal stored
        reading = json.loads(message.payload)
        connection.execute(
            "INSERT INTO bench_naive (time, esp_id, gpio, sensor_type, raw, value, unit, quality)"
            " VALUES (to_timestamp(%s), %s, %s, %s, %s, %s, %s, %s)",
            [
                reading["ts"] / 1000,
                reading["esp_id"],
                reading["gpio"],
                reading["sensor_type"],
                reading["raw"],
                reading["value"],
                reading["unit"],
                reading["quality"],
            ],
        )
        stored += 1
        if stored == count:
            done.set()

    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="bench-naive")
    client.on_message = on_message
    client.on_subscribe = lambda *arguments: print(json.dumps("ready"), flush=True)
    client.connect(host, port)
    client.subscribe(topic_filter, qos=1)
    client.loop_start()
    done.wait(_WITHIN_S)
    print(json.dumps({"stored": stored, "at": time.time()}), flush=True)


def naive(bed: Bed, count: int) -> int:
    """Readings a second of the naive way, on the same servers."""
    with bed.connect() as connection:
        connection.execute("DROP TABLE IF EXISTS bench_naive")
        connection.execute(
            "CREATE TABLE bench_naive (time timestamptz, esp_id text, gpio smallint, sensor_type text, raw float8,"
            " value float8, unit text, quality text, PRIMARY KEY (esp_id, gpio, sensor_type, time))"
        )
    job = bed.job(count, devices=1000, prefix=sender.BARE)
    arguments = [job.host, str(job.port), f"{sender.BARE}/#", bed.stack.addresses["database_url"], str(count)]
    command = [sys.executable, "-m", "bench.naive", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process, sender.start(job) as sending:
        assert process.stdout
        try:
            process.stdout.readline()
            sending.go()
            sent = sending.result()
            last = json.loads(process.stdout.readline())
        finally:
            process.kill()
    assert last["stored"] == count, f"{last['stored']} of {count} are stored"
    return round(count / float(last["at"] - sent["started"]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5]))
