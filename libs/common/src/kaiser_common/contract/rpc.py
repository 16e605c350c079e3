"""The types behind requests to services: a method's row in the catalogue, roles, the problem of a refusal; pure."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from kaiser_common.contract.subjects import rpc_subject

Role = Literal["viewer", "operator", "admin"]
"""The rights of a user: read; act; or change users, broker profiles and channels."""
RANKS: dict[Role, int] = {"viewer": 1, "operator": 2, "admin": 3}
"""A role may do what every role of a lower rank may."""

GATEWAY = "websocket-gateway"
"""The service that asks on behalf of people: each of its routes is a method of another service."""


class Nothing(BaseModel):
    """A request or an answer without content."""


class Problem(BaseModel):
    """Why a request failed, as RFC 9457 needs it. `status` as in HTTP, `code` from the error codes."""

    model_config = ConfigDict(frozen=True)

    status: int
    code: int
    detail: str
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Audited:
    """How a change that a method makes stands in the audit log (kaiser_common.runtime.audit).

    action: its name there. target: fields of the request, or of the answer, that name what is changed. before: the
    method of the same service that reads it. of: the field of the answers that has it; of a list, the item of the same
    target. urgent: it is done before anything is recorded.
    """

    action: str
    target: tuple[str, ...] = ()
    before: str = ""
    of: str = ""
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class RpcMethod:
    """A method of a service, `rpc.<service>.<name>`: the models of its request and its answer.

    least: the role that a caller needs at least. callers: the services that may ask for it. also: further names under
    which the service is asked, as an ingest that speaks the factory's dialect alone. audited: how the change that it
    makes stands in the audit log; None of a method that changes nothing.
    """

    service: str
    name: str
    request: type[BaseModel]
    answer: type[BaseModel]
    least: Role = "viewer"
    callers: tuple[str, ...] = (GATEWAY,)
    also: tuple[str, ...] = ()
    audited: Audited | None = None

    @property
    def subject(self) -> str:
        """Subject of a request."""
        return rpc_subject(self.service, self.name)
