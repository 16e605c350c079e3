"""Sends one reading over MQTT as a device would, and shows whether it was stored or rejected."""

import json
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import click
import paho.mqtt.client as paho
from kaiser_client import Kaiser
from kaiser_client.calls import rejected, sensors
from kaiser_common.contract.bounds import MAX_GPIO
from kaiser_common.contract.schemas.api.rejected import RejectedItem
from kaiser_common.contract.schemas.api.sensors import ReadingItem
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from kaiser_cli.asking import options, signed_in
from kaiser_cli.commands.rejected import remedy
from kaiser_cli.completion import DEVICE
from kaiser_cli.exits import AWAY, FAILED, UNCONFIRMED, Stopped
from kaiser_cli.output import show_json
from kaiser_cli.times import duration

_BROKER_WITHIN_S = 10.0
_LOOK_EVERY_S = 0.02
_PAUSE_S = 0.25


@dataclass(frozen=True, slots=True)
class DeviceBroker:
    """Where devices publish."""

    host: str
    port: int
    username: str
    password: str
    tls: bool


@click.command(short_help="Send a reading as a device would, and follow it.")
@DEVICE
@click.option("--gpio", type=click.IntRange(0, MAX_GPIO), default=4, show_default=True, help="The pin.")
@click.option("--type", "sensor_type", default="DS18B20", show_default=True, help="The type of the sensor.")
@click.option("--value", type=float, default=21.5, show_default=True, help="The value.")
@click.option("--unit", default="°C", show_default=True, help="Its unit.")
@click.option("--site", default="god", show_default=True, help="The kaiser_id in the topic.")
@click.option("--mqtt-host", envvar="KAISER_MQTT_HOST", help="The broker; by default the host of the server.")
@click.option("--mqtt-port", envvar="KAISER_MQTT_PORT", type=int, default=1883, show_default=True, help="Its port.")
@click.option("--mqtt-user", envvar="KAISER_MQTT_USERNAME", default="", help="The device's user there.")
@click.option("--mqtt-password", envvar="KAISER_MQTT_PASSWORD", default="", help="Its password.")
@click.option("--mqtt-tls", is_flag=True, help="Connect by TLS.")
@click.option("--wait", "wait_s", type=duration, default="15s", show_default=True, help="Longest wait for its fate.")
@options
def send(
    esp_id: str,
    gpio: int,
    sensor_type: str,
    value: float,
    unit: str,
    site: str,
    mqtt_host: str | None,
    mqtt_port: int,
    mqtt_user: str,
    mqtt_password: str,
    mqtt_tls: bool,
    wait_s: float,
    server: str | None,
    as_json: bool,
) -> None:
    """Send one reading over MQTT as a device would, and wait until it is stored or rejected.

    Exit status: 0 stored, 1 rejected, 3 neither in time.

    \b
    Examples:
      kaiser send ESP_0A1B2C3D --value 21.5
      kaiser send ESP_0A1B2C3D --gpio 34 --type ph --value 6.8 --unit pH
    """
    ts = time.time_ns() // 1_000_000
    topic = f"kaiser/{site}/esp/{esp_id}/sensor/{gpio}/data"
    payload = {
        "ts": ts,
        "esp_id": esp_id,
        "gpio": gpio,
        "sensor_type": sensor_type,
        "raw": round(value * 100),
        "raw_value": value,
        "raw_mode": False,
        "value": value,
        "unit": unit,
        "quality": "good",
    }
    with signed_in(server) as kaiser:
        host = mqtt_host or urlsplit(kaiser.url).hostname or "127.0.0.1"
        _publish(DeviceBroker(host, mqtt_port, mqtt_user, mqtt_password, mqtt_tls), topic, json.dumps(payload))
        fate = _fate(kaiser, topic, payload, wait_s)
    if as_json:
        name = "stored" if isinstance(fate, ReadingItem) else "rejected" if fate else "unknown"
        show_json({"topic": topic, "fate": name, "entry": fate.model_dump() if fate else None})
    match fate:
        case ReadingItem():
            if not as_json:
                click.echo(f"stored: {topic} {value:g} {unit}")
        case RejectedItem():
            if as_json:
                raise SystemExit(FAILED)
            help_ = remedy(fate)
            raise Stopped(f"rejected: {fate.message} (code {fate.code})", FAILED, f"try: {help_}" if help_ else "")
        case None:
            if as_json:
                raise SystemExit(UNCONFIRMED)
            text = f"the broker has it, but it was neither stored nor rejected within {wait_s:g} s"
            raise Stopped(text, UNCONFIRMED, "does everything run? kaiser doctor")


def _publish(broker: DeviceBroker, topic: str, payload: str) -> None:
    """Publish with QoS 1 and wait for the acknowledgement. Stopped: there was none, or the broker refuses us."""
    client = paho.Client(CallbackAPIVersion.VERSION2, f"kaiser-cli-{secrets.token_hex(4)}", protocol=paho.MQTTv311)
    answers: list[ReasonCode] = []
    client.on_connect = lambda *arguments: answers.append(arguments[3])
    if broker.username:
        client.username_pw_set(broker.username, broker.password)
    if broker.tls:
        client.tls_set()
    place = f"{broker.host}:{broker.port}"
    try:
        client.connect(broker.host, broker.port, keepalive=30)
    except OSError as error:
        raise Stopped(f"no MQTT broker at {place}: {error}", AWAY, "another one: --mqtt-host, --mqtt-port") from error
    client.loop_start()
    deadline = time.monotonic() + _BROKER_WITHIN_S
    try:
        while not answers and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY_S)
        if answers and answers[0].is_failure:
            hint = "a device's user and password: --mqtt-user, --mqtt-password; `make run` shows where they are"
            raise Stopped(f"the broker at {place} refuses this client: {answers[0]}", AWAY, hint)
        is_taken = _is_acknowledged(client.publish(topic, payload, qos=1), deadline - time.monotonic())
    finally:
        client.disconnect()
        with suppress(AttributeError):  # paho 2.2.0 forgets its thread as it ends, also within loop_stop
            client.loop_stop()
    if not is_taken:
        raise Stopped(f"the broker at {place} did not take the message within {_BROKER_WITHIN_S:g} s", AWAY)


def _is_acknowledged(message: paho.MQTTMessageInfo, within_s: float) -> bool:
    try:
        message.wait_for_publish(max(within_s, 0.0))
        return message.is_published()
    except RuntimeError:  # paho's, if the connection is lost
        return False


def _fate(kaiser: Kaiser, topic: str, payload: dict[str, Any], wait_s: float) -> ReadingItem | RejectedItem | None:
    """The fate of the message, stored or rejected; None if it is not known in time."""
    deadline = time.monotonic() + wait_s
    while True:
        found = _stored(kaiser, payload) or _rejected(kaiser, topic, payload)
        if found is not None or time.monotonic() >= deadline:
            return found
        time.sleep(_PAUSE_S)


def _stored(kaiser: Kaiser, payload: dict[str, Any]) -> ReadingItem | None:
    ts = payload["ts"]
    query = sensors.list_readings(payload["esp_id"], gpio=payload["gpio"], from_ms=ts, to_ms=ts + 1)
    return next(iter(kaiser.each(query)), None)


def _rejected(kaiser: Kaiser, topic: str, payload: dict[str, Any]) -> RejectedItem | None:
    page = kaiser.ask(rejected.list_rejected(esp_id=payload["esp_id"], limit=20))
    return next((one for one in page.items if one.topic == topic and f'"ts": {payload["ts"]},' in one.payload), None)
