"""The system as a whole in the API: the state of every service and stream, and the MQTT broker profiles."""

from typing import Literal

from pydantic import BaseModel, Field

from kaiser_common.contract.schemas import FROZEN


class SwitchProfile(BaseModel):
    """Make another MQTT broker profile the active one. Answered once it is up: allow 60 s.

    arm: the name of the profile once more, to let commands go out in an environment of kind replay until the next
    switch; without it they do not.
    """

    model_config = {**FROZEN, "extra": "forbid", "json_schema_extra": {"examples": [{"profile": "live"}]}}

    profile: str = Field(min_length=1, max_length=64)
    arm: str | None = Field(default=None, max_length=64)


class MqttProfiles(BaseModel):
    """The MQTT broker profiles, the active one and the address of its broker."""

    model_config = FROZEN

    active: str
    address: str | None = None
    profiles: list[str]


class LastError(BaseModel):
    """The newest log line of level error: its event's name, when (ms), and its text."""

    model_config = FROZEN

    event: str
    at: int
    message: str | None = None


FACTORY_CHECK = "factory dialect of site "
"""Begins the name of a check that an ingest with the factory's dialect has: its site follows."""


class ReplicaStatus(BaseModel):
    """One process of a service. started_at in ms; checks: each dependency's state, "ok" or why not."""

    model_config = FROZEN

    service: str
    replica: str
    version: str
    started_at: int
    ready: bool
    checks: dict[str, str] = {}
    last_error: LastError | None = None


class ServiceStart(BaseModel):
    """When a process of a service started (ms)."""

    model_config = FROZEN

    service: str
    replica: str
    version: str
    started_at: int


class ServiceStarts(BaseModel):
    """The newest starts of a span of time, oldest first. left_out: there are older ones."""

    model_config = FROZEN

    items: list[ServiceStart]
    left_out: bool


class ConsumerLag(BaseModel):
    """The backlog of a durable consumer, in messages. pending: not delivered yet. unacknowledged: delivered, not
    acknowledged. redelivered: of those, delivered more than once. delivered: delivered since the consumer was created;
    the difference of two answers is the throughput.
    """

    model_config = FROZEN

    consumer: str
    stream: str
    pending: int
    unacknowledged: int
    redelivered: int
    delivered: int


class ServiceStatus(BaseModel):
    """A service: up when a replica answered, ready when all that answered have what they need.

    lag: messages that wait for it, None where that is not known or means nothing; version: of its newest replica.
    """

    model_config = FROZEN

    service: str
    up: bool
    ready: bool
    version: str | None = None
    lag: int | None = None
    last_error: LastError | None = None
    replicas: list[ReplicaStatus] = []
    consumers: list[ConsumerLag] = []


class StreamStatus(BaseModel):
    """A stream of the bus: how full it is, in bytes, and its last sequence number, which grows with each message."""

    model_config = FROZEN

    stream: str
    messages: int
    bytes: int
    max_bytes: int
    last_seq: int


class SystemStatus(BaseModel):
    """Every service and stream at a time (ms). status: `ok` when all services are ready; bus: "ok" or why not."""

    model_config = FROZEN

    at: int
    status: Literal["ok", "degraded"]
    bus: str
    services: list[ServiceStatus]
    streams: list[StreamStatus] = []
