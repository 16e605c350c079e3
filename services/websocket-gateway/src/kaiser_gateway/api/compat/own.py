"""Calls Kaiser's own API inside this process, with the token and the address of the request being answered."""

from collections.abc import Mapping
from typing import Any

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from kaiser_gateway.domain.compat.common import Json, problem

_PASSED_ON = ("authorization", "user-agent", "x-request-id")
_PAGE = 1000
_MOST_PAGES = 20
_WITHIN_S = 60.0


class OwnRefusal(Exception):
    """Kaiser's API refused; `response` says so in AutomationOne's form."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"status {response.status_code}")
        self.response = response


class OwnApi:
    """Asks the API for one request of the frontend."""

    def __init__(self, request: Request) -> None:
        client = request.client
        transport = httpx.ASGITransport(
            request.app, raise_app_exceptions=False, client=(client.host, client.port) if client else ("127.0.0.1", 0)
        )
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        self._http = httpx.AsyncClient(
            transport=transport, base_url="http://own/api/v1", headers=headers, timeout=_WITHIN_S
        )

    async def ask(self, method: str, path: str, *, body: Any = None, query: Mapping[str, Any] | None = None) -> Json:
        """The answer, {} where it has no body. OwnRefusal: as the API refused."""
        given = {name: value for name, value in (query or {}).items() if value is not None}
        return _read(await self._http.request(method, path, json=body, params=given))

    async def form(self, path: str, fields: Mapping[str, str]) -> Json:
        """The answer to a form."""
        return _read(await self._http.post(path, data=fields))

    async def every(self, path: str, query: Mapping[str, Any] | None = None) -> list[Json]:
        """All items of a list, at most 20,000."""
        found: list[Json] = []
        asked: dict[str, Any] = {**(query or {}), "limit": _PAGE}
        for _ in range(_MOST_PAGES):
            page = await self.ask("GET", path, query=asked)
            found += page["items"]
            if page.get("next_cursor") is None:
                break
            asked["cursor"] = page["next_cursor"]
        return found

    async def zone_names(self) -> dict[str, str]:
        """The names of zones by their ids."""
        return {zone["zone_id"]: zone["name"] for zone in await self.every("/zones")}

    async def close(self) -> None:
        """Let go of it."""
        await self._http.aclose()


def _read(response: httpx.Response) -> Json:
    if response.is_success:
        return dict(response.json()) if response.content else {}
    try:
        document = response.json()
    except ValueError:
        document = {"detail": response.text[:200]}
    kept = {name: value for name, value in response.headers.items() if name in ("retry-after", "www-authenticate")}
    raise OwnRefusal(JSONResponse(problem(document), status_code=response.status_code, headers=kept))


def refused(status: int, detail: str) -> OwnRefusal:
    """A refusal of the router itself."""
    return OwnRefusal(JSONResponse(problem({"detail": detail}), status_code=status))


def install(app: FastAPI) -> None:
    """Have a refusal of Kaiser's API answered in AutomationOne's form."""

    async def answer(request: Request, error: Exception) -> Response:
        assert isinstance(error, OwnRefusal)
        return error.response

    app.add_exception_handler(OwnRefusal, answer)
