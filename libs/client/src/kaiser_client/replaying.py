"""The steps of the replay of all rejected messages of a cause; pure."""

from kaiser_common.contract.schemas.api.rejected import CauseReplay, RejectedCause, ReplayedCause


def first_step(cause: RejectedCause) -> CauseReplay:
    """The first step; pydantic's ValidationError: the cause names nothing."""
    return CauseReplay.model_validate(cause.model_dump())


def step_after(step: CauseReplay, done: ReplayedCause) -> CauseReplay | None:
    """The step after one that is done; None after the last."""
    if done.next_cursor is None:
        return None
    return step.model_copy(update={"after": int(done.next_cursor), "through": done.through})
