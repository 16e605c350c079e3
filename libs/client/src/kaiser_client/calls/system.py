"""The system as a whole, and the audit log."""

from kaiser_common.contract.schemas.api.devices import AuditPage
from kaiser_common.contract.schemas.api.system import SystemStatus

from kaiser_client.call import Call


def read_system_status() -> Call[SystemStatus]:
    """Every service and stream."""
    return Call("GET", "/api/v1/system/status", SystemStatus)


def list_audit_entries(
    *,
    actor: str | None = None,
    service: str | None = None,
    action: str | None = None,
    target: str | None = None,
    outcome: str | None = None,
    from_ms: int | None = None,
    to_ms: int | None = None,
    cursor: str | None = None,
    limit: int | None = None,
) -> Call[AuditPage]:
    """The audit log, newest first."""
    query = {
        "actor": actor,
        "service": service,
        "action": action,
        "target": target,
        "outcome": outcome,
        "from_ms": from_ms,
        "to_ms": to_ms,
        "cursor": cursor,
        "limit": limit,
    }
    return Call("GET", "/api/v1/audit", AuditPage, query=query)
