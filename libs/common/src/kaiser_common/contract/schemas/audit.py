"""A change that somebody asked for, on its way to the audit log."""

from typing import Any, Literal

from pydantic import BaseModel

from kaiser_common.contract.bounds import Instant
from kaiser_common.contract.schemas import FROZEN

AuditOutcome = Literal["begun", "done", "refused", "failed"]
"""begun: asked for, and how it ended is not known (yet): its service was killed, or NATS was away at the end. refused:
detail says why. failed: an outage or a bug, so part of it may have been done."""


class AuditRecord(BaseModel):
    """A change: who asked for it, from which address, when (ms), what it was before and after. A change has two records
    of one key: one `begun` before it is done, and one with its outcome."""

    model_config = FROZEN

    key: str
    at: Instant
    service: str
    action: str
    target: str
    actor: str
    role: str
    address: str
    request_id: str = ""
    outcome: AuditOutcome
    detail: str = ""
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
