"""Applies the bus declarations of contract/subjects.py to a NATS server; only the migrate step does this."""

import asyncio
import json
from typing import Any

import structlog
from nats.errors import Error as NatsError

from kaiser_common.bus.connection import Bus
from kaiser_common.contract.subjects import BUCKETS, CONSUMERS, MIB, STREAMS, Bucket, DurableConsumer, Stream

log = structlog.get_logger()

_NOT_FOUND = 404
_STARTING = 503
_MOST_FOLLOWERS = 256
"""Of a bucket: each process that mirrors it has one, and what a killed process had stays for a minute."""
_UNUSED_S = 300.0
_RETAINED = "$MQTT_rmsgs"
"""The stream in which a NATS that is the MQTT broker keeps retained messages; NATS makes it with the first client."""
MOST_RETAINED_BYTES = 256 * MIB


class DeclarationRefused(Exception):
    """NATS refused a declaration; the text names it and the server's reason."""


async def apply(bus: Bus, replicas: int = 1) -> list[str]:
    """Create what is missing and update what differs; the names of what was changed. Never deletes anything. If NATS is
    the MQTT broker too, its retained messages get a limit: NATS sets none, and they share the disk with all streams.

    `replicas`: copies of each stream and bucket on a cluster, at least; more than that stay.
    """
    changed = []
    for wanted in (*map(stream_config, STREAMS), *map(bucket_config, BUCKETS)):
        if await _apply_stream(bus, wanted["name"], {**wanted, "num_replicas": replicas}):
            changed.append(wanted["name"].removeprefix("KV_"))
    for consumer in CONSUMERS:
        if await _apply_consumer(bus, consumer):
            changed.append(f"{consumer.stream}/{consumer.name}")
    if await _limit_retained(bus):
        changed.append(_RETAINED)
    return changed


def stream_config(stream: Stream) -> dict[str, Any]:
    """The stream as JetStream's API takes it (times in ns)."""
    return {
        "name": stream.name,
        "subjects": list(stream.subjects),
        "retention": stream.retention,
        "storage": stream.storage,
        "discard": stream.discard,
        "max_bytes": stream.max_bytes,
        "max_age": int((stream.max_age_s or 0) * 1e9),
        "max_msgs_per_subject": stream.most_per_subject or -1,
        "duplicate_window": int(stream.duplicate_window_s * 1e9),
        "allow_atomic": stream.atomic,
        "allow_rollup_hdrs": stream.rollup,
        "allow_direct": True,
        "max_consumers": stream.max_consumers,
        "consumer_limits": _consumer_limits(stream.unused_s),
        "num_replicas": 1,
    }


def bucket_config(bucket: Bucket) -> dict[str, Any]:
    """The stream behind a KV bucket as nats clients expect it (ADR-8 of NATS)."""
    ttl_ns = int((bucket.ttl_s or 0) * 1e9)
    return {
        "name": f"KV_{bucket.name}",
        "subjects": [f"$KV.{bucket.name}.>"],
        "retention": "limits",
        "storage": bucket.storage,
        "discard": "new",
        "max_bytes": bucket.max_bytes,
        "max_msgs_per_subject": 1,
        "max_age": ttl_ns,
        "duplicate_window": min(ttl_ns, int(120e9)) if ttl_ns else int(120e9),
        "allow_rollup_hdrs": True,
        "deny_delete": True,
        "allow_direct": True,
        "max_consumers": _MOST_FOLLOWERS,
        "consumer_limits": _consumer_limits(_UNUSED_S),
        "num_replicas": 1,
    }


def _consumer_limits(unused_s: float | None) -> dict[str, Any]:
    return {} if unused_s is None else {"inactive_threshold": int(unused_s * 1e9)}


def consumer_config(consumer: DurableConsumer) -> dict[str, Any]:
    """The durable consumer as JetStream's API takes it (times in ns)."""
    config: dict[str, Any] = {
        "durable_name": consumer.name,
        "name": consumer.name,
        "deliver_policy": consumer.deliver,
        "ack_policy": "explicit",
        "ack_wait": int(consumer.ack_wait_s * 1e9),
        "max_deliver": -1,
        "max_ack_pending": consumer.max_ack_pending,
        "replay_policy": "instant",
    }
    if len(consumer.filters) == 1:
        config["filter_subject"] = consumer.filters[0]
    else:
        config["filter_subjects"] = list(consumer.filters)
    return config


async def _apply_stream(bus: Bus, name: str, wanted: dict[str, Any]) -> bool:
    answer = await _ask(bus, f"STREAM.INFO.{name}", {})
    if _code(answer) == _NOT_FOUND:
        _raise_on_error(await _ask(bus, f"STREAM.CREATE.{name}", wanted), f"stream {name}")
        return True
    _raise_on_error(answer, f"stream {name}")
    current = answer["config"]
    copies = current.get("num_replicas", 1)
    if not differs(current, wanted) and copies >= wanted["num_replicas"]:
        return False
    # A cluster's operator may have raised the number of replicas: that stays.
    merged = {**current, **wanted, "num_replicas": max(copies, wanted["num_replicas"])}
    _raise_on_error(await _ask(bus, f"STREAM.UPDATE.{name}", merged), f"stream {name}")
    return True


async def _limit_retained(bus: Bus) -> bool:
    """Beyond the limit NATS delivers a message and does not retain it; what it retains already stays."""
    answer = await _ask(bus, f"STREAM.INFO.{_RETAINED}", {})
    if _code(answer) == _NOT_FOUND:
        return False
    _raise_on_error(answer, f"stream {_RETAINED}")
    wanted = {"max_bytes": MOST_RETAINED_BYTES, "discard": "new"}
    if not differs(answer["config"], wanted):
        return False
    merged = {**answer["config"], **wanted}
    _raise_on_error(await _ask(bus, f"STREAM.UPDATE.{_RETAINED}", merged), f"stream {_RETAINED}")
    return True


async def _apply_consumer(bus: Bus, consumer: DurableConsumer) -> bool:
    answer = await _ask(bus, f"CONSUMER.INFO.{consumer.stream}.{consumer.name}", {})
    wanted = consumer_config(consumer)
    if _code(answer) != _NOT_FOUND:
        _raise_on_error(answer, f"consumer {consumer.name}")
        if not differs(answer["config"], wanted):
            return False
    request = {"stream_name": consumer.stream, "config": wanted}
    _raise_on_error(
        await _ask(bus, f"CONSUMER.DURABLE.CREATE.{consumer.stream}.{consumer.name}", request),
        f"consumer {consumer.name}",
    )
    return True


def differs(current: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether the server's configuration is not what is declared; an absent field counts as its zero value."""
    return any(current.get(key, type(value)()) != value for key, value in wanted.items() if key != "num_replicas")


async def _ask(bus: Bus, method: str, request: dict[str, Any]) -> dict[str, Any]:
    """A JetStream API call, repeated while JetStream is starting. Not nats-py's: a field of the server's configuration
    that it does not know would be lost by an update."""
    body = json.dumps(request).encode() if request else b""
    while True:
        try:
            reply = await bus.client.request(f"$JS.API.{method}", body, timeout=5.0)
        except (NatsError, TimeoutError) as error:
            log.warning("jetstream_not_ready", request=method, error=str(error) or type(error).__name__)
        else:
            answer: dict[str, Any] = json.loads(reply.data)
            if _code(answer) != _STARTING:
                return answer
        await asyncio.sleep(0.3)


def _code(answer: dict[str, Any]) -> int:
    return int(answer.get("error", {}).get("code", 0))


def _raise_on_error(answer: dict[str, Any], what: str) -> None:
    if "error" in answer:
        raise DeclarationRefused(f"{what}: {answer['error'].get('description', answer['error'])}")
