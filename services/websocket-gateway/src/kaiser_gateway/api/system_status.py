"""The state of the whole system: every process answers over the bus, and JetStream says how much waits."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from kaiser_common.bus.connection import Bus, BusUnavailable
from kaiser_common.contract.schemas.api.system import (
    ConsumerLag,
    ReplicaStatus,
    ServiceStatus,
    StreamStatus,
    SystemStatus,
)
from kaiser_common.contract.subjects import (
    CONSUMERS,
    OPTIONAL_SERVICES,
    SERVICES,
    STATUS_SUBJECT,
    STREAMS,
    DurableConsumer,
)
from kaiser_common.runtime.clock import now_ms
from kaiser_common.runtime.service import Service
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import ConsumerInfo, StreamInfo
from pydantic import ValidationError

_ROUND_TRIP_S = 0.5
_WITHIN_S = 1.2
_GRACE_S = 0.15
"""Once each service has answered, so much longer is waited for further replicas."""
_KEPT_S = 1.0
_MOST_REPLICAS = 500

InfoT = TypeVar("InfoT")


class Status:
    """Answers how the system does within 2 s, asking at most once a second however many want to know."""

    def __init__(self, bus: Bus, service: Service, events_behind: Callable[[int], int]) -> None:
        self._bus = bus
        self._service = service
        self._events_behind = events_behind
        """Given the last sequence number of EVENTS: how many events this gateway has yet to read."""
        self._last: SystemStatus | None = None
        self._asked_at = 0.0
        self._lock = asyncio.Lock()

    async def current(self) -> SystemStatus:
        """The status, at most a second old."""
        async with self._lock:
            if self._last is None or time.monotonic() - self._asked_at > _KEPT_S:
                self._last = await self._ask()
                self._asked_at = time.monotonic()
            return self._last

    async def _ask(self) -> SystemStatus:
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(self._service.status())
            reason = await self._unreachable()
            if reason:
                return summary(now_ms(), reason, [await asking], {}, {}, None)
            replicas, consumers, streams = await asyncio.gather(self._replicas(), self._consumers(), self._streams())
            own = await asking
        replicas[_key(own)] = own
        events = streams.get("EVENTS")
        behind = None if events is None else self._events_behind(events.state.last_seq)
        return summary(now_ms(), "ok", replicas.values(), consumers, streams, behind)

    async def _unreachable(self) -> str:
        try:
            await self._bus.round_trip(_ROUND_TRIP_S)
        except BusUnavailable as error:
            return str(error)
        return ""

    async def _replicas(self) -> dict[str, ReplicaStatus]:
        """The answers of all processes within 1.2 s, or earlier once each service has answered."""
        found: dict[str, ReplicaStatus] = {}
        complete = asyncio.Event()

        async def on_answer(message: Msg) -> None:
            try:
                replica = ReplicaStatus.model_validate_json(message.data)
            except ValidationError:
                return
            if len(found) < _MOST_REPLICAS:
                found[_key(replica)] = replica
            if {one.service for one in found.values()} >= set(SERVICES):
                complete.set()

        inbox = self._bus.client.new_inbox()
        try:
            subscription = await self._bus.client.subscribe(inbox, cb=on_answer)
            try:
                await self._bus.client.publish(STATUS_SUBJECT, reply=inbox)
                async with asyncio.timeout(_WITHIN_S):
                    await complete.wait()
                await asyncio.sleep(_GRACE_S)
            except TimeoutError:
                pass  # some service is down: the others' answers count
            finally:
                await subscription.unsubscribe()
        except NatsError:
            return found
        return found

    async def _consumers(self) -> dict[str, ConsumerInfo]:
        """JetStream's description of each durable consumer; without those it does not describe in time."""
        ask = self._bus.jetstream.consumer_info
        found = await asyncio.gather(*(_in_time(ask, one.stream, one.name) for one in CONSUMERS))
        return {one.name: info for one, info in zip(CONSUMERS, found, strict=True) if info is not None}

    async def _streams(self) -> dict[str, StreamInfo]:
        """JetStream's description of each stream; without those it does not describe in time."""
        found = await asyncio.gather(*(_in_time(self._bus.jetstream.stream_info, one.name) for one in STREAMS))
        return {one.name: info for one, info in zip(STREAMS, found, strict=True) if info is not None}


async def _in_time(ask: Callable[..., Awaitable[InfoT]], *names: str) -> InfoT | None:
    """The answer; None: none in time, or a refusal."""
    try:
        async with asyncio.timeout(_WITHIN_S):
            return await ask(*names)
    except (NatsError, OSError, TimeoutError):
        return None


def summary(
    at: int,
    bus: str,
    replicas: Iterable[ReplicaStatus],
    consumers: Mapping[str, ConsumerInfo],
    streams: Mapping[str, StreamInfo],
    events_behind: int | None,
) -> SystemStatus:
    """The status out of what the processes and JetStream's API answered."""
    answered = sorted(replicas, key=lambda replica: (replica.service, replica.started_at, replica.replica))
    services = [
        _service(
            name,
            [replica for replica in answered if replica.service == name],
            [_lag(one, consumers[one.name]) for one in CONSUMERS if one.service == name and one.name in consumers],
            events_behind if name == "websocket-gateway" else None,
        )
        for name in (*SERVICES, *(name for name in OPTIONAL_SERVICES if any(one.service == name for one in answered)))
    ]
    return SystemStatus(
        at=at,
        status="ok" if bus == "ok" and all(service.ready for service in services) else "degraded",
        bus=bus,
        services=services,
        streams=[
            StreamStatus(
                stream=stream.name,
                messages=streams[stream.name].state.messages,
                bytes=streams[stream.name].state.bytes,
                max_bytes=stream.max_bytes,
                last_seq=streams[stream.name].state.last_seq,
            )
            for stream in STREAMS
            if stream.name in streams
        ],
    )


def _service(
    name: str, replicas: list[ReplicaStatus], consumers: Sequence[ConsumerLag], behind: int | None
) -> ServiceStatus:
    errors = [replica.last_error for replica in replicas if replica.last_error is not None]
    waiting = sum(consumer.pending + consumer.unacknowledged for consumer in consumers) if consumers else behind
    return ServiceStatus(
        service=name,
        up=bool(replicas),
        ready=bool(replicas) and all(replica.ready for replica in replicas),
        version=replicas[-1].version if replicas else None,
        lag=waiting,
        last_error=max(errors, key=lambda error: error.at) if errors else None,
        replicas=replicas,
        consumers=list(consumers),
    )


def _lag(consumer: DurableConsumer, info: ConsumerInfo) -> ConsumerLag:
    return ConsumerLag(
        consumer=consumer.name,
        stream=consumer.stream,
        pending=info.num_pending or 0,
        unacknowledged=info.num_ack_pending or 0,
        redelivered=info.num_redelivered or 0,
        delivered=info.delivered.consumer_seq if info.delivered is not None else 0,
    )


def _key(replica: ReplicaStatus) -> str:
    return f"{replica.service} {replica.replica}"


def without_reasons(status: SystemStatus) -> SystemStatus:
    """The status without sign-in: without the texts of errors, which may name hosts and accounts."""
    services = [
        service.model_copy(
            update={
                "last_error": service.last_error and service.last_error.model_copy(update={"message": None}),
                "replicas": [_anonymous(replica) for replica in service.replicas],
            }
        )
        for service in status.services
    ]
    return status.model_copy(update={"services": services, "bus": _state(status.bus)})


def _anonymous(replica: ReplicaStatus) -> ReplicaStatus:
    return replica.model_copy(
        update={
            "checks": {name: _state(state) for name, state in replica.checks.items()},
            "last_error": replica.last_error and replica.last_error.model_copy(update={"message": None}),
        }
    )


def _state(state: str) -> str:
    return "ok" if state == "ok" else "not ok"
