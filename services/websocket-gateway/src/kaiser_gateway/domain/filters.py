"""Which events a client wants, and which clients want an event, pure."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar

from kaiser_common.contract.schemas.event import EventType
from pydantic import BaseModel, ConfigDict, Field, field_validator

from kaiser_gateway.domain.topic_tree import TopicTree

_MOST = 1000
_MOST_TOPICS = 100


class Filters(BaseModel):
    """Lists combine with AND; an empty list means all. `topics` are MQTT topic filters with + and #."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    types: list[EventType] = Field(default=[], max_length=_MOST)
    esp_ids: list[str] = Field(default=[], max_length=_MOST)
    sensor_types: list[str] = Field(default=[], max_length=_MOST)
    topics: list[str] = Field(default=[], max_length=_MOST_TOPICS)

    @field_validator("topics")
    @classmethod
    def _topic_filters(cls, topics: list[str]) -> list[str]:
        for topic in topics:
            if not is_topic_filter(topic):
                raise ValueError(f"invalid topic filter: {topic!r}")
        return topics

    def admits(self, event: "Matchable") -> bool:
        """Whether an event passes every list."""
        return (
            self.may_admit(event.type, event.esp_id)
            and (not self.sensor_types or event.data().get("sensor_type") in self._sensor_types)
            and (not self.topics or self._admits_topic(event.data().get("topic")))
        )

    def may_admit(self, kind: str, esp_id: str) -> bool:
        """Whether an event of this type and device passes the lists of types and devices."""
        return (not self.types or kind in self._types) and (not self.esp_ids or esp_id in self._esp_ids)

    def _admits_topic(self, topic: object) -> bool:
        """An event without a topic is admitted by no filter."""
        return isinstance(topic, str) and self._topics.matches(topic)

    @cached_property
    def _types(self) -> frozenset[str]:
        return frozenset(self.types)

    @cached_property
    def _esp_ids(self) -> frozenset[str]:
        return frozenset(self.esp_ids)

    @cached_property
    def _sensor_types(self) -> frozenset[str]:
        return frozenset(self.sensor_types)

    @cached_property
    def _topics(self) -> TopicTree:
        return TopicTree(self.topics)

    def without(self, others: "Filters") -> "Filters | None":
        """The filters without some values; None if a list that had values has none left."""
        left: dict[str, list[Any]] = {}
        for name in Filters.model_fields:
            own, taken = getattr(self, name), frozenset(getattr(others, name))
            left[name] = [value for value in own if value not in taken]
            if own and not left[name]:
                return None
        return Filters(**left)


class Matchable(Protocol):
    """The fields that filters compare."""

    type: str
    esp_id: str

    def data(self) -> dict[str, Any]:
        """The event's data, decoded when first asked for."""
        ...


def is_topic_filter(text: str) -> bool:
    """Whether # stands alone at the end only, and + alone in its level."""
    levels = text.split("/")
    return (
        0 < len(text) <= 256
        and all(level in ("+", "#") or not ({"+", "#"} & set(level)) for level in levels)
        and "#" not in levels[:-1]
    )


ClientT = TypeVar("ClientT")


class Index(Generic[ClientT]):
    """Clients by device, those without devices by event type: an event finds those that may want it.

    A client has as many places as its longer list, not their product: changing filters costs little.
    """

    def __init__(self) -> None:
        self._clients: dict[tuple[str | None, str | None], dict[ClientT, None]] = {}
        self._keys: dict[ClientT, list[tuple[str | None, str | None]]] = {}

    def put(self, client: ClientT, filters: Filters | None) -> None:
        """Set what a client wants; None means nothing."""
        self.remove(client)
        if filters is None:
            return
        keys: list[tuple[str | None, str | None]]
        if filters.esp_ids:
            keys = [(None, esp_id) for esp_id in dict.fromkeys(filters.esp_ids)]
        else:
            keys = [(kind, None) for kind in dict.fromkeys(filters.types)] or [(None, None)]
        self._keys[client] = keys
        for key in keys:
            self._clients.setdefault(key, {})[client] = None

    def remove(self, client: ClientT) -> None:
        """Forget a client."""
        for key in self._keys.pop(client, ()):
            clients = self._clients[key]
            clients.pop(client, None)
            if not clients:
                del self._clients[key]

    def wants(self, kind: str, esp_id: str) -> bool:
        """Whether some client may want an event of this type and device."""
        clients = self._clients
        return (None, None) in clients or (kind, None) in clients or (None, esp_id) in clients

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, client: ClientT) -> bool:
        return client in self._keys

    def of(self, kind: str, esp_id: str) -> Iterator[ClientT]:
        """The clients that may want an event of this type and device, each once."""
        for key in ((kind, None), (None, esp_id), (None, None)):
            yield from self._clients.get(key, ())
