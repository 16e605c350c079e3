"""Checks a change of a stored object: its version, and whether the changed object is valid."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from kaiser_common.bus.rpc import RpcError
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.api.patches import MergePatch, merged
from kaiser_common.contract.wording import reason_of

ModelT = TypeVar("ModelT", bound=BaseModel)


def check_version(expected: int | None, version: int, name: str) -> None:
    """RpcError 412 (5414) if the versions differ; None: the change is meant for any."""
    if expected not in (None, version):
        text = f"{name} was changed meanwhile: its version is {version}, not {expected}; read it again, then decide"
        raise RpcError(412, Code.STATE_CHANGED, text, "If-Match")


def patched(model: type[ModelT], before: BaseModel, patch: MergePatch) -> ModelT:
    """The settings of `before`, which may have more fields, after a merge patch. RpcError 422 (5207) if they do not fit
    together."""
    settings = before.model_dump(mode="json", include=set(model.model_fields))
    try:
        return model.model_validate(merged(settings, patch.model_dump(mode="json")))
    except ValidationError as error:
        raise RpcError(422, Code.VALUE_OUT_OF_RANGE, reason_of(error.errors()[0])) from error
