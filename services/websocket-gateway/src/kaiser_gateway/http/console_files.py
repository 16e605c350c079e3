"""Serves the console: static files, with a Content-Security-Policy."""

from pathlib import Path

from fastapi import Response
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).parents[1] / "console"

_ALLOWED = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _ALLOWED,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_ASK_EACH_TIME = "no-cache"
_KEEP_A_YEAR = "public, max-age=31536000, immutable"
"""For vendor/, whose folders carry the version in their names."""


def routes() -> list[BaseRoute]:
    """The page at / and its files below /console; nothing there needs a token, as it holds no data."""
    return [Route("/", _page), Mount("/console", _ConsoleFiles(directory=FOLDER), name="console")]


async def _page(_: Request) -> Response:
    return _allowed(FileResponse(FOLDER / "index.html"), _ASK_EACH_TIME)


class _ConsoleFiles(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        return _allowed(response, _KEEP_A_YEAR if path.startswith("vendor/") else _ASK_EACH_TIME)


def _allowed(response: Response, caching: str) -> Response:
    response.headers.update(_HEADERS)
    response.headers["Cache-Control"] = caching
    return response
