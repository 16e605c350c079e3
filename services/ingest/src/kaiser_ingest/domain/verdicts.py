"""The verdict on a message of a device in words, from its outcomes; pure."""

from collections.abc import Iterable

from kaiser_common.contract.schemas.api.messages import CheckedMessage

from kaiser_ingest.domain.taps import Fate
from kaiser_ingest.domain.validate import Accepted, Outcome, Rejection, word_of


def verdict_of(outcomes: tuple[Outcome, ...]) -> Fate:
    """The verdict on a message that came: of a batch the first rejection, else the first reading, else why it was
    ignored."""
    for one in outcomes:
        if isinstance(one, Rejection):
            kind = None if one.kind is None else one.kind.value
            return Fate("rejected", kind, int(one.code), one.field, one.detail)
    for one in outcomes:
        if isinstance(one, Accepted):
            return Fate("accepted", one.kind.value)
    return Fate("ignored", reason=word_of(outcomes))


def judged(outcomes: Iterable[Outcome]) -> CheckedMessage:
    """The same as the answer to who asks for it, with all readings of a batch as they would be stored."""
    every = tuple(outcomes)
    fate = verdict_of(every)
    if fate.word == "rejected":
        return CheckedMessage(verdict="reject", kind=fate.kind, code=fate.code, field=fate.field, reason=fate.reason)
    if fate.word == "ignored":
        return CheckedMessage(verdict="ignore", reason=fate.reason)
    accepted = [one for one in every if isinstance(one, Accepted)]
    normalised = [one.message.model_dump(mode="json", exclude_none=True) for one in accepted]
    return CheckedMessage(
        verdict="accept",
        kind=fate.kind,
        normalised=normalised[0] if len(normalised) == 1 else normalised,
        warnings=[f"tolerated: {name}" for one in accepted for name in one.odd],
    )
