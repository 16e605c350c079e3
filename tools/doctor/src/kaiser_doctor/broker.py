"""The MQTT broker: does it answer, does it keep what it takes, does it let anybody in."""

import asyncio
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from kaiser_doctor.findings import Finding, green, red, unseen, yellow
from kaiser_doctor.settings import LOOPBACK, DoctorSettings, secret_of

ABOUT = "MQTT broker"
_ANSWER_S = 4.0
_LISTEN_S = 1.0
_LEAST_QUEUE = 100_000
_LONGEST_AUTOSAVE_S = 60
_QUEUES = "max_queued_messages 1000000 and a max_queued_bytes that memory allows"


@dataclass(slots=True)
class BrokerView:
    """The broker as a connection saw it; `refused` is the reason if there was none."""

    refused: str = ""
    mqtt5: bool = True
    statistics: dict[str, str] = field(default_factory=dict)


async def look(settings: DoctorSettings) -> list[Finding]:
    """Connect as ingest does and without a name; read $SYS and the configuration file."""
    password = secret_of(settings.mqtt_password, settings.mqtt_password_file)
    seen = await asyncio.to_thread(_connect, settings, settings.mqtt_username, password)
    if seen.refused:
        where = f"{settings.mqtt_host}:{settings.mqtt_port}"
        fix = "start the broker, or set KAISER_MQTT_HOST, _PORT, _USERNAME, _PASSWORD_FILE to what it expects"
        return [red(ABOUT, f"{where} does not take us: {seen.refused}", fix)]
    findings = [green(ABOUT, f"answers, {'MQTT 5' if seen.mqtt5 else 'MQTT 3.1.1'}"), *of_statistics(seen)]
    if seen.mqtt5:
        findings += of_file(settings.doctor_mosquitto_conf)
    if settings.mqtt_username:
        nobody = await asyncio.to_thread(_connect, settings, "", "")
        findings += of_anonymous(not nobody.refused, settings.mqtt_host)
    else:
        findings += of_anonymous(True, settings.mqtt_host)
    return findings


def of_statistics(seen: BrokerView) -> list[Finding]:
    """Findings from the broker's own figures under $SYS."""
    if not seen.mqtt5:
        text = (
            "speaks MQTT 3.1.1, where a message has no expiry, and a will no delay: a device that keeps its session"
            " and leaves without a will gets a command however late; ingest has no will, so no device is informed that"
            " the server is offline (firmware B goes to its safe state 120 s after the last heartbeat ack)"
        )
        fix = "have devices connect with a clean session and a will, or use a broker with MQTT 5 (Mosquitto)"
        return [
            green(ABOUT, "NATS's own listener: sessions and queues are JetStream's"),
            yellow(ABOUT, text, fix),
        ]
    dropped = seen.statistics.get("$SYS/broker/publish/messages/dropped")
    if dropped is None and "$SYS/broker/version" in seen.statistics:
        return [green(ABOUT, "has dropped nothing within the last minute (older figures it forgets)")]
    if dropped is None:
        fix = "allow the user to read $SYS/broker/#"
        return [unseen(ABOUT, "it does not say what it dropped", fix)]
    if int(dropped):
        fix = f"set {_QUEUES}, and remove sessions of clients that never come back; a restart sets the count to 0"
        return [red(ABOUT, f"has dropped {dropped} messages since it started", fix)]
    return [green(ABOUT, "has dropped nothing since it started")]


def of_file(path: Path | None) -> list[Finding]:
    """Mosquitto's configuration file."""
    if path is None:
        return [unseen(ABOUT, "its configuration cannot be seen from here", "set KAISER_DOCTOR_MOSQUITTO_CONF")]
    try:
        return of_config(path.read_text())
    except OSError as error:
        return [unseen(ABOUT, f"its configuration cannot be read: {error}", "set KAISER_DOCTOR_MOSQUITTO_CONF")]


def of_config(text: str) -> list[Finding]:
    """Findings about a configuration of Mosquitto with which messages would be lost."""
    pairs = [line.split(None, 1) for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    options = {pair[0]: pair[1].strip() if len(pair) > 1 else "" for pair in pairs}
    findings = []
    if options.get("persistence") != "true":
        findings.append(red(ABOUT, "keeps sessions and queues in memory only", "set persistence true, on a volume"))
    if options.get("queue_qos0_messages") != "true":
        text = "drops what devices send at QoS 0 while ingest is away; firmware A sends everything so"
        findings.append(red(ABOUT, text, "set queue_qos0_messages true"))
    queue = int(options.get("max_queued_messages", "1000"))
    if 0 < queue < _LEAST_QUEUE:
        text = f"drops silently what exceeds {queue} messages while ingest is away"
        findings.append(red(ABOUT, text, f"set {_QUEUES}"))
    if queue == 0 or int(options.get("max_queued_bytes", "0")) == 0:
        findings.append(yellow(ABOUT, "its queue has no bound of bytes: memory is", f"set {_QUEUES}"))
    if int(options.get("memory_limit", "0")) == 0:
        text = "takes memory without a bound: retained messages of one device can fill it"
        findings.append(yellow(ABOUT, text, "set memory_limit below the container's limit, above max_queued_bytes"))
    autosave = int(options.get("autosave_interval", "1800"))
    if autosave == 0 or autosave > _LONGEST_AUTOSAVE_S:
        when = "only when it ends" if autosave == 0 else f"every {autosave} s"
        text = f"writes its queues {when}: killed in between, it loses what it had acknowledged"
        findings.append(yellow(ABOUT, text, "set autosave_interval 10"))
    return findings or [green(ABOUT, "keeps sessions and queues on disk, within raised limits")]


def of_anonymous(gets_in: bool, host: str) -> list[Finding]:
    """Whether a client without a password is accepted, and from where."""
    if not gets_in:
        return [green(ABOUT, "lets nobody in without a password")]
    if host in LOOPBACK:
        return [green(ABOUT, "lets anybody on this machine in (it is asked by loopback)")]
    fix = "set allow_anonymous false, a password_file and an acl_file"
    return [red(ABOUT, f"lets anybody who reaches {host} in, without a password", fix)]


def _connect(settings: DoctorSettings, username: str, password: str) -> BrokerView:
    """One connection with MQTT 5, or 3.1.1 where that is refused; it listens to $SYS for a moment."""
    seen = _attempt(settings, username, password, MQTTProtocolVersion.MQTTv5)
    if "protocol version" in seen.refused.lower():
        seen = _attempt(settings, username, password, MQTTProtocolVersion.MQTTv311)
        seen.mqtt5 = False
    return seen


def _attempt(settings: DoctorSettings, username: str, password: str, protocol: MQTTProtocolVersion) -> BrokerView:
    seen = BrokerView(refused=f"no answer within {_ANSWER_S:g} s")
    client = paho.Client(CallbackAPIVersion.VERSION2, f"kaiser-doctor-{secrets.token_hex(4)}", protocol=protocol)
    if username:
        client.username_pw_set(username, password)
    answered: list[str] = []
    client.on_connect = lambda *arguments: answered.append(str(arguments[3]))
    client.on_message = lambda _, __, message: seen.statistics.update({message.topic: message.payload.decode()})
    try:
        if settings.mqtt_tls:
            client.tls_set(None if settings.mqtt_tls_ca_file is None else str(settings.mqtt_tls_ca_file))
        client.connect(settings.mqtt_host, settings.mqtt_port, keepalive=10)
        client.loop_start()
        deadline = time.monotonic() + _ANSWER_S
        while not answered and time.monotonic() < deadline:
            time.sleep(0.02)
        if answered:
            seen.refused = "" if answered[0] == "Success" else answered[0]
        if not seen.refused:
            client.subscribe("$SYS/broker/#", 0)
            time.sleep(_LISTEN_S)
    except (OSError, ValueError) as error:
        seen.refused = str(error)
    finally:
        client.disconnect()
        with suppress(AttributeError):  # paho 2.2.0 forgets its thread as it ends, also within loop_stop
            client.loop_stop()
    return seen
