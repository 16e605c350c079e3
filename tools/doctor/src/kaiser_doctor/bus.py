"""NATS: is a message on disk before its acknowledgement, is all as declared, do consumers progress, who can connect."""

import asyncio
import json
import re
import time
from datetime import datetime
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from kaiser_common.bus.connection import Bus, connect
from kaiser_common.bus.declare import bucket_config, consumer_config, differs, stream_config
from kaiser_common.contract.pack import MOST_READ_BYTES
from kaiser_common.contract.subjects import BUCKETS, CONSUMERS, OPTIONAL_SERVICES, STREAMS, is_packed
from kaiser_common.runtime.settings import CommonSettings
from nats.errors import Error as NatsError

from kaiser_doctor.clock import of_clock
from kaiser_doctor.findings import Finding, green, in_bytes, red, unseen, yellow
from kaiser_doctor.settings import LOOPBACK, DoctorSettings

ABOUT = "NATS"
_MIGRATE = "run kaiser-migrate"
_ANSWER_S = 5.0
_FULL = 0.7
_HALF = 0.4
_MUCH_LAG = 10_000
_MANY_PACKS = 200
"""Of the largest size these are 200,000 readings, six seconds of work; of a backlog in small packs less."""
_STUCK_S = 60.0
LEAST_PAYLOAD = MOST_READ_BYTES + 64 * 1024
"""The largest pack with its headers, in bytes."""


async def look(settings: DoctorSettings) -> list[Finding]:
    """Everything that NATS itself can say."""
    try:
        async with asyncio.timeout(_ANSWER_S), connect(settings, "doctor") as bus:
            await bus.round_trip()
    except TimeoutError:
        return [
            red(
                ABOUT,
                f"{_host(settings)} does not answer or refuses us",
                "start it; KAISER_NATS_URL, _USER, _PASSWORD_FILE",
            )
        ]
    findings = [green(ABOUT, "answers")]
    async with connect(settings, "doctor") as bus:
        findings += of_payload(bus.client.max_payload)
        findings += await _streams(bus, settings)
        findings += await _consumers(bus)
    findings += await asyncio.to_thread(_server, settings)
    findings += await _anonymous(settings)
    return findings


async def _streams(bus: Bus, settings: DoctorSettings) -> list[Finding]:
    findings: list[Finding] = []
    wanted = [stream_config(stream) for stream in STREAMS] + [bucket_config(bucket) for bucket in BUCKETS]
    reserved = 0
    for config in wanted:
        asked_at = time.time()
        answer = await _ask(bus, f"STREAM.INFO.{config['name']}")
        if answer is not None and config is wanted[0] and "ts" in answer:
            findings += of_clock(ABOUT, datetime.fromisoformat(answer["ts"]).timestamp(), asked_at, time.time())
        findings += of_stream({**config, "num_replicas": settings.nats_replicas}, answer)
        reserved += config["max_bytes"] if config["storage"] == "file" else 0
    account = await _ask(bus, "INFO")
    if account is not None and 0 < account.get("limits", {}).get("max_storage", -1) < reserved:
        most = in_bytes(account["limits"]["max_storage"])
        text = f"its account may store {most}, the streams together may need {in_bytes(reserved)}"
        findings.append(red(ABOUT, text, "raise max_file_store (and the account's limit)"))
    return findings


async def _consumers(bus: Bus) -> list[Finding]:
    findings: list[Finding] = []
    for consumer in CONSUMERS:
        answer = await _ask(bus, f"CONSUMER.INFO.{consumer.stream}.{consumer.name}")
        packed = any(map(is_packed, consumer.filters))
        findings += of_consumer(consumer.name, consumer_config(consumer), answer, time.time(), packed=packed)
    for stream in STREAMS:
        if stream.retention != "limits":
            answer = await _ask(bus, f"CONSUMER.NAMES.{stream.name}")
            names = set((answer or {}).get("consumers") or ())
            findings += of_strangers(stream.name, names, {one.name for one in CONSUMERS if one.stream == stream.name})
    return findings


def of_stream(wanted: dict[str, Any], answer: dict[str, Any] | None) -> list[Finding]:
    """A stream against its declaration, and how full it is."""
    name = wanted["name"]
    about = f"stream {name}"
    if answer is None or "error" in answer:
        return [_absent(about, answer, "$JS.API.STREAM.INFO.>")]
    current = answer["config"]
    findings = _unlike(about, current, wanted)
    copies = current.get("num_replicas", 1)
    if copies < wanted["num_replicas"]:
        text = f"has {copies} copies of {wanted['num_replicas']} that KAISER_NATS_REPLICAS asks for"
        findings.append(red(about, text, _MIGRATE))
    limit = current.get("max_bytes", -1)
    share = answer["state"]["bytes"] / limit if limit > 0 else 0.0
    if current.get("discard") == "new" and share > _HALF:
        text = f"is {share:.0%} full of {in_bytes(limit)}; full, it takes nothing more"
        fix = "bring back the consumer that lags (below); to gain time raise max_bytes in subjects.py"
        findings.append((red if share > _FULL else yellow)(about, text, fix))
    return findings or [
        green(about, f"as declared, {answer['state']['messages']} messages, {in_bytes(answer['state']['bytes'])}")
    ]


def _absent(about: str, answer: dict[str, Any] | None, subject: str) -> Finding:
    """The finding on a stream or consumer that NATS does not describe."""
    if answer is None:
        return unseen(about, "NATS does not tell us about it", f"allow the user {subject}")
    return red(about, f"is not there: {answer['error'].get('description', '')}", _MIGRATE)


def _unlike(about: str, current: dict[str, Any], wanted: dict[str, Any]) -> list[Finding]:
    """Findings about values of a configuration that are not as declared."""
    names = sorted(key for key, value in wanted.items() if differs(current, {key: value}))
    text = ", ".join(f"{key} is {current.get(key)!r}, declared {wanted[key]!r}" for key in names)
    return [red(about, text, _MIGRATE)] if names else []


def of_payload(most: int) -> list[Finding]:
    """Whether NATS takes the largest pack, whose headers count too."""
    if most < LEAST_PAYLOAD:
        text = f"takes messages of {in_bytes(most)} at most, a pack of events may be larger and is then rejected"
        return [red(ABOUT, text, f"set max_payload to {LEAST_PAYLOAD} or more (4 MB in deploy/nats)")]
    return [green(ABOUT, f"takes messages of {in_bytes(most)}, so every pack")]


def of_consumer(
    name: str, wanted: dict[str, Any], answer: dict[str, Any] | None, now: float, *, packed: bool = False
) -> list[Finding]:
    """A consumer against its declaration, its lag and when it last got on. `now` in seconds since the epoch.

    packed: its messages are packs of up to 1,000 readings.
    """
    about = f"consumer {name}"
    if answer is None or "error" in answer:
        return [_absent(about, answer, "$JS.API.CONSUMER.INFO.>")]
    current = answer["config"]
    findings = _unlike(about, current, wanted)
    waits = answer["num_pending"] + answer["num_ack_pending"]
    last = answer.get("ack_floor", {}).get("last_active")
    silent_s = now - datetime.fromisoformat(last or answer["created"]).timestamp()
    if waits and silent_s > _STUCK_S:
        text = f"{waits} messages wait and none was acknowledged for {silent_s:.0f} s"
        findings.append(red(about, text, "look at the log of its service: what does it wait for?"))
    elif answer["num_pending"] > (_MANY_PACKS if packed else _MUCH_LAG):
        kind = "packs of up to 1,000 readings" if packed else "messages"
        text = f"lags by {answer['num_pending']} {kind}"
        findings.append(yellow(about, text, "see whether it shrinks; else more replicas of its service"))
    elif not waits and not answer.get("num_waiting", 1) and not _is_optional(name):
        findings.append(yellow(about, "nobody reads it", "start its service; a stream fills while nobody reads"))
    return findings or [green(about, f"as declared, {waits} {'packs' if packed else 'messages'} wait")]


def _is_optional(name: str) -> bool:
    """Whether a site may do without the consumer: then it may stand still as long as nothing waits for it."""
    return any(service in name.split("-") for service in OPTIONAL_SERVICES)


def of_strangers(stream: str, names: set[str], declared: set[str]) -> list[Finding]:
    """An undeclared consumer keeps every message of an interest stream, and the stream fills up."""
    return [
        red(
            f"consumer {name}",
            f"is on {stream} and no service's: what it does not acknowledge is never deleted",
            f"delete it: nats consumer rm {stream} {name}",
        )
        for name in sorted(names - declared)
    ]


def of_server(jetstream: dict[str, Any], reserved: int) -> list[Finding]:
    """Findings from JetStream's part of /varz."""
    findings = []
    config = jetstream.get("config", {})
    if not config.get("sync_always"):
        every = config.get("sync_interval", 0) / 1e9
        text = f"acknowledges up to {every:.0f} s before its disk has a message"
        findings.append(red(ABOUT, text, "set sync_interval: always in its jetstream block, and restart it"))
    most, used = config.get("max_storage", 0), jetstream.get("stats", {}).get("storage", 0)
    if 0 < most < reserved:
        text = f"may store {in_bytes(most)}, the streams together may need {in_bytes(reserved)}"
        findings.append(red(ABOUT, text, "raise max_file_store"))
    if most and used / most > _FULL:
        findings.append(
            red(ABOUT, f"its store is {used / most:.0%} full", "raise max_file_store, see which stream it is")
        )
    return findings or [green(ABOUT, "has a message on disk before it acknowledges, and room for every stream")]


def of_config(text: str) -> list[Finding]:
    """The same from a configuration file, where there is no monitoring."""
    bare = re.sub(r"#.*", "", text)
    if re.search(r"sync_interval\s*[:=]?\s*\"?always\b", bare):
        return [green(ABOUT, "has a message on disk before it acknowledges")]
    fix = "set sync_interval: always in its jetstream block, and restart it"
    return [red(ABOUT, "acknowledges up to 2 minutes before its disk has a message", fix)]


def of_anonymous(gets_in: bool, host: str) -> list[Finding]:
    """Whether a client without a password is accepted, and from where."""
    if not gets_in:
        return [green(ABOUT, "lets nobody in without a password")]
    if host in LOOPBACK:
        return [green(ABOUT, "lets anybody on this machine in (it is asked by loopback)")]
    fix = "give each service its user and rights (deploy/nats)"
    return [red(ABOUT, f"lets anybody who reaches {host} in: they may command actuators", fix)]


def _server(settings: DoctorSettings) -> list[Finding]:
    reserved = sum(stream.max_bytes for stream in STREAMS if stream.storage == "file")
    if settings.doctor_nats_monitor_url:
        try:
            with urlopen(f"{settings.doctor_nats_monitor_url}/varz", timeout=_ANSWER_S) as answer:
                return of_server(json.load(answer).get("jetstream", {}), reserved)
        except (URLError, OSError, ValueError) as error:
            return [unseen(ABOUT, f"its monitoring does not answer: {error}", "set KAISER_DOCTOR_NATS_MONITOR_URL")]
    native = settings.state_dir / "nats" / "nats.conf"
    if native.exists():
        return of_config(native.read_text())
    return [unseen(ABOUT, "whether it syncs before it acknowledges", "set KAISER_DOCTOR_NATS_MONITOR_URL")]


async def _anonymous(settings: DoctorSettings) -> list[Finding]:
    nobody = CommonSettings(nats_url=_without_user(settings.nats_address), nats_user="")
    try:
        async with asyncio.timeout(2.0), connect(nobody, "doctor-nobody") as bus:
            await bus.round_trip()
    except TimeoutError:
        return of_anonymous(False, _host(settings))
    return of_anonymous(True, _host(settings))


def _without_user(address: str) -> str:
    """The address without user and password: with them everybody is let in."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


async def _ask(bus: Bus, method: str) -> dict[str, Any] | None:
    try:
        reply = await bus.client.request(f"$JS.API.{method}", b"", timeout=2.0)
    except (NatsError, OSError, TimeoutError):
        return None
    answer: dict[str, Any] = json.loads(reply.data)
    return answer


def _host(settings: DoctorSettings) -> str:
    return urlsplit(settings.nats_address).hostname or ""
