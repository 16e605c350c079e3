"""The verdict on a message of a device in words, from its outcomes; pure."""

from collections.abc import Iterable

from kaiser_common.contract.schemas.api.messages import CheckedMessage

from kaiser_ingest.domain.validate import Accepted, Outcome, Rejection


def judged(outcomes: Iterable[Outcome]) -> CheckedMessage:
    """The verdict on a message of a device; of a batch the first rejection, else all its readings."""
    every = list(outcomes)
    accepted = [one for one in every if isinstance(one, Accepted)]
    for one in every:
        if isinstance(one, Rejection):
            kind = None if one.kind is None else one.kind.value
            return CheckedMessage(verdict="reject", kind=kind, code=int(one.code), field=one.field, reason=one.detail)
    if not accepted:
        return CheckedMessage(verdict="ignore", reason=next((one.reason for one in every), "empty"))  # type: ignore[union-attr]
    normalised = [one.message.model_dump(mode="json", exclude_none=True) for one in accepted]
    return CheckedMessage(
        verdict="accept",
        kind=accepted[0].kind.value,
        normalised=normalised[0] if len(normalised) == 1 else normalised,
        warnings=[f"tolerated: {name}" for one in accepted for name in one.odd],
    )
