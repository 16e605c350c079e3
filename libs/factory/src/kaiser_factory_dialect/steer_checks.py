"""The circumstances of a steering request, its checks in order, and the refusal by the first check that fails."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, Protocol

from kaiser_common.contract.errors import Code, Rejected

from kaiser_factory_dialect.catalogue import DEFAULT_INTERFACES
from kaiser_factory_dialect.txt_readings import EnvironmentKind

PER_MINUTE = 60
"""Commands that one installation takes in a minute."""
SteerRole = Literal["viewer", "operator", "admin"]


class FreshIds(Protocol):
    """Where new ids come from; lower-case hexadecimal."""

    def uuid(self) -> str:
        """A new UUID."""

    def digits(self, count: int) -> str:
        """That many new hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """The caller and time of a request, and the commands that Kaiser has sent before. now: ms since 1970.

    order_ids: of each order id of Kaiser's own the next update id; it only grows. last_minute: commands sent in it.
    unanswered: serials that have not answered an order of Kaiser yet. header_ids: of each topic of a VDA 5050 vehicle
    the number of the next message. interfaces: names of VDA 5050 interfaces.
    """

    now: int
    fresh: FreshIds
    env_kind: EnvironmentKind = "live"
    armed: bool = False
    role: SteerRole = "operator"
    order_ids: Mapping[str, int] = field(default_factory=dict)
    last_minute: int = 0
    unanswered: frozenset[str] = frozenset()
    header_ids: Mapping[str, int] = field(default_factory=dict)
    interfaces: tuple[str, ...] = DEFAULT_INTERFACES


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a request and how it went. status: of HTTP, where it was refused."""

    ok: bool
    text: str
    code: Code | None = None
    status: int | None = None


class Refusal(Exception):
    """Steering is refused: nothing is sent. field: of the request, where one is at fault."""

    def __init__(self, status: int, code: Code, text: str, field: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.text = text
        self.field = field


@dataclass(slots=True)
class Checks:
    """The checks of a request in their order; the first that fails raises Refusal."""

    passed: list[Check] = field(default_factory=list)

    def need(self, ok: bool, text: str, status: int, code: Code, otherwise: str) -> None:
        """Note that `text` holds, or refuse with `otherwise`."""
        if not ok:
            raise Refusal(status, code, otherwise)
        self.passed.append(Check(True, text))


def read_request(read: Callable[[], Any]) -> Any:
    """The value that `read` takes from a request. Refusal (422): a field is missing, or has the wrong form."""
    try:
        return read()
    except Rejected as rejected:
        raise Refusal(422, rejected.code, rejected.detail, rejected.field) from rejected


def refuse_request(code: Code, text: str, field: str | None = None) -> NoReturn:
    """Refuse a request that is wrong in itself (422)."""
    raise Refusal(422, code, text, field)
