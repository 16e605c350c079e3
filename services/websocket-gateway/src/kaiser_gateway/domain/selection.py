"""Which messages a viewer gets: those of a level and of topic filters; pure."""

from collections.abc import Iterable, Sequence

from kaiser_factory_dialect.filters import fault, matches
from kaiser_factory_dialect.priorities import shown_at
from kaiser_factory_dialect.subjects import consumer_subjects

_MOST_TOPICS = 10_000


class WrongFilter(ValueError):
    """A topic filter that is none, with the reason."""


class TopicSelection:
    """Decides by topic, and remembers of at most 10,000 topics what it decided.

    filters: without any the level alone decides. WrongFilter: one of them is none.
    """

    def __init__(self, level: int, filters: Sequence[str], interfaces: Iterable[str]) -> None:
        for one in filters:
            if (why := fault(one)) is not None:
                raise WrongFilter(f"{one!r}: {why}")
        self._of_level = shown_at(level, interfaces)
        self._filters = tuple(filters)
        self._known: dict[str, bool] = {}

    def admits(self, topic: str) -> bool:
        """Whether the messages of a topic are shown."""
        known = self._known.get(topic)
        if known is None:
            known = any(matches(one, topic) for one in self._of_level) and (
                not self._filters or any(matches(one, topic) for one in self._filters)
            )
            if len(self._known) < _MOST_TOPICS:
                self._known[topic] = known
        return known

    def subject(self, env: str) -> str:
        """The narrowest subject filter that has all of it; `admits` decides on each."""
        subjects = consumer_subjects(env, self._filters or self._of_level)
        return subjects[0] if len(subjects) == 1 else f"topic.{env}.>"
