"""Leaves out the ends of conditions that an owner said to hold later; pure except for its memory."""

from collections.abc import Iterable, Mapping, Sequence

from kaiser_alarm.domain.board import Found
from kaiser_alarm.domain.life import Clear, Finding, Key, Raise


class Answers:
    """The conditions that owners said to hold, each with the event up to which its end was known to its owner.

    Without it an alarm of a condition that holds would be cleared by an event from before the answer, and raised again
    by a later one. Kept in memory only: after a kill that is what happens, and the alarms end as the devices are.
    """

    def __init__(self) -> None:
        self._known_to: dict[Key, int] = {}

    def note(self, findings: Iterable[Finding], last_event: int) -> None:
        """Take an answer. last_event: the stream's last sequence before its owner was asked."""
        self._known_to |= {finding.key: last_event for finding in findings if isinstance(finding, Raise)}

    def without_older_ends(self, findings: Sequence[Found], sequences: Mapping[str, int]) -> list[Found]:
        """The findings without the ends of conditions that an owner knew of when it said that they hold.

        sequences: the place in the stream of each event that the findings come from.
        """
        return [
            (finding, origin)
            for finding, origin in findings
            if not (isinstance(finding, Clear) and sequences.get(origin, 0) <= self._known_to.get(finding.key, -1))
        ]

    def read_to(self, sequence: int) -> None:
        """Forget what no event can be older than any more."""
        if self._known_to:
            self._known_to = {key: known_to for key, known_to in self._known_to.items() if known_to > sequence}

    def forget(self) -> None:
        """Begin with another stream."""
        self._known_to.clear()

    def __bool__(self) -> bool:
        return bool(self._known_to)
