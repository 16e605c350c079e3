"""The parts that every route of the compatibility router takes: Kaiser's API, a page, an id."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Body, Depends, Path, Query, Request

from kaiser_gateway.api.compat.own import OwnApi
from kaiser_gateway.domain.compat.devices import mock_id


async def _own(request: Request) -> AsyncIterator[OwnApi]:
    api = OwnApi(request)
    try:
        yield api
    finally:
        await api.close()


Own = Annotated[OwnApi, Depends(_own)]
Given = Annotated[dict[str, Any], Body()]
OldId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""An id in a path, of characters that are no part of a path or a query themselves."""
PageNumber = Annotated[int, Query(ge=1, le=1_000_000)]
PageSize = Annotated[int, Query(ge=1, le=1000)]


def _mock(esp_id: OldId) -> str:
    return mock_id(esp_id)


MockName = Annotated[str, Depends(_mock)]
