"""The services: who answers, are they of one version, and has ingest kept its MQTT session."""

import asyncio
import re
from urllib.error import URLError
from urllib.request import urlopen

from kaiser_common.bus.connection import Bus, BusUnavailable, connect
from kaiser_common.contract.schemas.api.system import FACTORY_CHECK, ReplicaStatus, SystemStatus
from kaiser_common.contract.subjects import SERVICES, STATUS_SUBJECT
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from pydantic import ValidationError

from kaiser_doctor.findings import Finding, green, red, unseen, yellow
from kaiser_doctor.settings import DoctorSettings

_ANSWER_S = 1.5


async def look(settings: DoctorSettings) -> list[Finding]:
    """Ask every process over the bus how it does, or else the gateway; and ingest for its figures."""
    findings = await _status(settings)
    return [*findings, *await asyncio.to_thread(_ingest, settings.doctor_ingest_url)]


async def _status(settings: DoctorSettings) -> list[Finding]:
    try:
        async with asyncio.timeout(5.0 + _ANSWER_S), connect(settings, "doctor") as bus:
            replicas = await _asked(bus)
    except (TimeoutError, NatsError, BusUnavailable):
        return [unseen("services", "NATS does not answer, so nobody can be asked", "see NATS")]
    if not replicas and settings.doctor_gateway_url:
        told = await asyncio.to_thread(_gateway, settings.doctor_gateway_url)
        if told is None:
            fix = "start it, or set KAISER_DOCTOR_GATEWAY_URL"
            return [red("service websocket-gateway", f"{settings.doctor_gateway_url} does not answer", fix)]
        replicas = told
    elif not replicas and settings.nats_user:
        fix = "set KAISER_DOCTOR_GATEWAY_URL, such as http://websocket-gateway:8000"
        return [unseen("services", f"nobody answers; {settings.nats_user} may not be allowed to ask", fix)]
    return of_replicas(replicas)


async def _asked(bus: Bus) -> list[ReplicaStatus]:
    """The status of every process that answers on the bus in time; none if our user may not ask."""
    replicas: list[ReplicaStatus] = []

    async def on_answer(message: Msg) -> None:
        try:
            replicas.append(ReplicaStatus.model_validate_json(message.data))
        except ValidationError:
            return

    inbox = bus.client.new_inbox()
    await bus.client.subscribe(inbox, cb=on_answer)
    await bus.client.publish(STATUS_SUBJECT, reply=inbox)
    await asyncio.sleep(_ANSWER_S)
    return replicas


def _gateway(url: str) -> list[ReplicaStatus] | None:
    """The status of every process as the gateway reports it; None if the gateway does not answer."""
    try:
        with urlopen(f"{url}/api/v1/system/status", timeout=5.0) as answer:
            status = SystemStatus.model_validate_json(answer.read())
    except (URLError, OSError, ValidationError):
        return None
    return [replica for service in status.services for replica in service.replicas]


def of_replicas(replicas: list[ReplicaStatus]) -> list[Finding]:
    """The findings of each service: one without any answer is down, or not part of this site."""
    findings: list[Finding] = []
    for name in SERVICES:
        of_service = [replica for replica in replicas if replica.service == name]
        if not of_service and name == "simulator":
            fix = "start it if you have mock devices (MOCK_...)"
            findings.append(yellow(f"service {name}", "no process answers: mock devices stand still", fix))
        elif not of_service:
            text = "no process answers" if name == "ingest" else "no process answers: what it consumes waits"
            findings.append(red(f"service {name}", text, "start it and read its log"))
        for replica in of_service:
            why = ", ".join(f"{check}: {state}" for check, state in replica.checks.items() if state != "ok")
            if not replica.ready:
                findings.append(
                    red(f"service {name}", f"is not ready: {why or 'it is stopping'}", "repair what it waits for")
                )
    sites = sorted({check for replica in replicas for check in replica.checks if check.startswith(FACTORY_CHECK)})
    if len(sites) > 1:
        text = f"more than one speaks the factory's dialect: {', '.join(sites)}"
        findings.append(red("ingest", text, 'KAISER_MQTT_DIALECTS of all sites but one must be ["esp"]'))
    versions = sorted({replica.version for replica in replicas})
    if len(versions) > 1:
        text = f"{', '.join(versions)} run beside each other"
        findings.append(
            yellow("services", text, "finish the upgrade: neighbouring versions work together, older ones may not")
        )
    ready = sum(replica.ready for replica in replicas)
    return [green("services", f"{ready} processes are ready"), *findings] if ready else findings


def _ingest(url: str) -> list[Finding]:
    if not url:
        return [unseen("MQTT session", "ingest's figures cannot be seen from here", "set KAISER_DOCTOR_INGEST_URL")]
    try:
        with urlopen(f"{url}/metrics", timeout=3.0) as answer:
            return of_ingest(answer.read().decode())
    except (URLError, OSError) as error:
        return [unseen("MQTT session", f"{url} does not answer: {error}", "set KAISER_DOCTOR_INGEST_URL")]


def of_ingest(metrics: str) -> list[Finding]:
    """ingest's metrics as text."""
    figures = dict(re.findall(r"^(kaiser_\w+) ([0-9.e+-]+)$", metrics, re.MULTILINE))

    def figure(name: str) -> float:
        return float(figures.get(f"kaiser_{name}", 0))

    about = "MQTT session"
    if not figure("lease_held"):
        return [green(about, "this ingest stands by; another holds the session")]
    if not figure("ingest_connected"):
        return [red(about, "ingest has no connection", "its log says why: mqtt_unreachable, mqtt_lost")]
    findings = []
    if figure("ingest_sessions_lost_total"):
        text = "the broker forgot ingest's session, and what it had queued is gone"
        findings.append(
            red(about, text, "give the broker persistence true and a volume; a restart of ingest sets the count to 0")
        )
    dropped = figure("ingest_broker_dropped_messages_total")
    if dropped:
        fix = "set max_queued_messages and max_queued_bytes; remove sessions of clients that never come back"
        findings.append(red(about, f"ingest has heard that the broker dropped {dropped:.0f} messages", fix))
    oldest_s = figure("ingest_oldest_unacknowledged_seconds")
    if oldest_s > 30:
        text = f"a message has not been stored for {oldest_s:.0f} s, all later ones wait"
        findings.append(red(about, text, "is NATS up, is a stream full? ingest's log: not_stored_yet"))
    return findings or [green(about, "is there, and everything received is stored")]
