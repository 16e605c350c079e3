"""Requests and answers about the factory. Times are ms since 1970."""

from pydantic import BaseModel

from kaiser_common.schemas import FROZEN
from kaiser_common.schemas.factory import EnvironmentKind


class EnvironmentStatus(BaseModel):
    """The environment in force and the connection to its broker; connected_since None: there is none now."""

    model_config = FROZEN

    env: str
    kind: EnvironmentKind
    epoch: int
    broker: str
    since: int
    connected_since: int | None = None
    client_id: str
    session_present: bool | None = None
    profiles: list[str] = []
