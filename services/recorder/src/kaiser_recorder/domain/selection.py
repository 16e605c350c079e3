"""Which messages of TOPICS belong to a recording; pure."""

import re
from collections.abc import Iterable

from kaiser_factory_dialect.filters import fault, matches, minimal_cover

_SPAN = re.compile(r"-([1-9][0-9]{0,5})([smhd])\Z")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
LONGEST_S = 7 * 86_400
"""TOPICS keeps nothing for longer."""
_MOST_TOPICS = 10_000
_DEVICES = "kaiser/"


def seconds_back(span: str) -> int:
    """The seconds of a span such as "-10m". ValueError: it is none, or longer than TOPICS keeps messages."""
    found = _SPAN.match(span)
    if found is None:
        raise ValueError(f'{span!r} is not a span: write "-10m", with s, m, h or d')
    seconds = int(found[1]) * _UNIT_S[found[2]]
    if seconds > LONGEST_S:
        raise ValueError(f"{span} is longer than messages are kept: at most -7d")
    return seconds


def chosen(filters: Iterable[str]) -> tuple[str, ...]:
    """The fewest filters that match the same topics. ValueError: one is no filter, with the reason."""
    wanted = tuple(filters)
    for one in wanted:
        if (why := fault(one)) is not None:
            raise ValueError(f"{one!r}: {why}")
    return minimal_cover(wanted)


class Selection:
    """Decides by topic, and remembers of at most 10,000 topics what it decided."""

    def __init__(self, filters: Iterable[str], dialects: Iterable[str]) -> None:
        self._filters = tuple(filters)
        self._dialects = frozenset(dialects)
        self._known: dict[str, bool] = {}

    def has(self, topic: str) -> bool:
        """Whether a topic belongs to the recording."""
        known = self._known.get(topic)
        if known is None:
            dialect = "esp" if topic.startswith(_DEVICES) else "factory"
            known = dialect in self._dialects and any(matches(one, topic) for one in self._filters)
            if len(self._known) < _MOST_TOPICS:
                self._known[topic] = known
        return known
