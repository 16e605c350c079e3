"""Refuses a change that is meant for another version of something than the one that is stored."""

from kaiser_common.bus.rpc import RpcError
from kaiser_common.contract.errors import Code


def check_version(expected: int | None, version: int, name: str) -> None:
    """RpcError 412 (5414) if the versions differ; None: the change is meant for any."""
    if expected not in (None, version):
        text = f"{name} was changed meanwhile: its version is {version}, not {expected}; read it again, then decide"
        raise RpcError(412, Code.STATE_CHANGED, text, "If-Match")
