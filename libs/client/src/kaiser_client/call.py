"""A request as a value: what to ask for, and the type of the answer. Pure; `Kaiser` and `AsyncKaiser` send it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar, cast
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from kaiser_client.problems import UnexpectedAnswer

AnswerT_co = TypeVar("AnswerT_co", covariant=True)
ItemT_co = TypeVar("ItemT_co", covariant=True)

USUAL_S = 30.0
"""Longest time for an answer."""


class Paged(Protocol[ItemT_co]):
    """A page of a list. next_cursor: where the next one begins, None at the end."""

    @property
    def items(self) -> Sequence[ItemT_co]:
        """The items of this page."""
        ...

    @property
    def next_cursor(self) -> str | None:
        """The cursor of the next page."""
        ...


@dataclass(frozen=True, slots=True)
class Call(Generic[AnswerT_co]):
    """A request. path: as in the OpenAPI document, with its parameters in braces; answer: the type of the answer.

    parameters and query hold what is given; None is left out. within_s: how long the answer may
    take. is_open: it needs no token.
    """

    method: str
    path: str
    answer: type[AnswerT_co]
    parameters: Mapping[str, object] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    body: BaseModel | None = None
    form: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    within_s: float = USUAL_S
    is_open: bool = False

    def url(self) -> str:
        """The path with its parameters in it."""
        path = self.path
        for name, value in self.parameters.items():
            path = path.replace(f"{{{name}}}", quote(str(value), safe=""))
        return path

    def asked(self) -> dict[str, Any]:
        """The query without what was not given."""
        return {name: value for name, value in self.query.items() if value is not None}

    def text(self) -> bytes | None:
        """The body as JSON; of a PATCH only the fields that the caller has set."""
        if self.body is None:
            return None
        return self.body.model_dump_json(by_alias=True, exclude_unset=self.method == "PATCH").encode()

    def page(self, cursor: str) -> "Call[AnswerT_co]":
        """The same list from a cursor on."""
        return replace(self, query={**self.query, "cursor": cursor})

    def read(self, content: bytes) -> AnswerT_co:
        """The answer. UnexpectedAnswer: it has another form, as that of a much older or newer server may."""
        if self.answer is bytes:
            return cast("AnswerT_co", content)
        if self.answer is type(None):
            return None
        assert issubclass(self.answer, BaseModel)
        try:
            return self.answer.model_validate_json(content)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "the whole"
            raise UnexpectedAnswer(
                f"the answer to {self.method} {self.path} is not understood ({place}: {first['msg']}):"
                " client and server may be of different versions"
            ) from error
