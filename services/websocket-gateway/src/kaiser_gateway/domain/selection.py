"""Which messages a viewer gets: those of a level and of topic filters; pure."""

from collections.abc import Iterable, Sequence

from kaiser_factory_dialect.filters import fault
from kaiser_factory_dialect.priorities import shown_at
from kaiser_factory_dialect.subjects import consumer_subjects

from kaiser_gateway.domain.topic_tree import TopicTree

_MOST_TOPICS = 10_000
_MOST_FILTERS, _LONGEST_FILTERS = 50, 4096
"""Filters, and characters of all of them together: each is compared with every other."""


class WrongFilter(ValueError):
    """A topic filter is invalid, or there are too many; the text has the reason."""


class TopicSelection:
    """Decides by topic, and remembers its decisions for at most 10,000 topics.

    filters: without any, the level alone decides. WrongFilter: one of them is invalid, or there are too many.
    """

    def __init__(self, level: int, filters: Sequence[str], interfaces: Iterable[str]) -> None:
        if len(filters) > _MOST_FILTERS or sum(map(len, filters)) > _LONGEST_FILTERS:
            raise WrongFilter(f"there may be {_MOST_FILTERS} filters, with {_LONGEST_FILTERS} characters together")
        for one in filters:
            if (why := fault(one)) is not None:
                raise WrongFilter(f"{one!r}: {why}")
        self._of_level = shown_at(level, interfaces)
        self._filters = tuple(filters)
        self._shown, self._wanted = TopicTree(self._of_level), TopicTree(self._filters)
        self._known: dict[str, bool] = {}

    def admits(self, topic: str) -> bool:
        """Whether the messages of a topic are shown."""
        known = self._known.get(topic)
        if known is None:
            known = self._shown.matches(topic) and (not self._filters or self._wanted.matches(topic))
            if len(self._known) < _MOST_TOPICS:
                self._known[topic] = known
        return known

    def subject(self, env: str) -> str:
        """The narrowest subject filter that has all of it; `admits` decides on each."""
        subjects = consumer_subjects(env, self._filters or self._of_level)
        return subjects[0] if len(subjects) == 1 else f"topic.{env}.>"
