"""Speaks REST to a running stack as its administrator."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from kaiser_stack import report
from kaiser_stack.errors import NotReadyError, SetupError
from kaiser_stack.settings import StackSettings

_WITHIN_S = 40.0


class RestRefused(Exception):
    """The API answered with a problem; the text is its detail. code: Kaiser's (docs/errors.md), None if it has none."""

    def __init__(self, status: int, detail: str, code: int | None) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.code = code


class Rest:
    """An administrator's session."""

    def __init__(self, client: httpx.Client, http_url: str, user: str, password: str) -> None:
        self.http_url = http_url
        self._client = client
        form = {"username": user, "password": password}
        token = self._json(client.build_request("POST", "/api/v1/auth/token", data=form))["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON. RestRefused: the API refused; NotReadyError: it does not answer."""
        return self._json(self._client.build_request(method, path, json=body))

    def send_file(self, path: str, file: Path) -> Any:
        """POST a file as the body; the answer's JSON. OSError: it cannot be read."""
        headers = {"Content-Type": "application/octet-stream"}
        with file.open("rb") as body:
            return self._json(self._client.build_request("POST", path, content=body, headers=headers))

    def _json(self, request: httpx.Request) -> Any:
        try:
            answer = self._client.send(request)
        except httpx.TransportError as error:
            raise NotReadyError(f"{self.http_url} does not answer: {error}; start it with `make run`") from error
        if answer.is_error:
            raise RestRefused(answer.status_code, *_problem(answer.content))
        return answer.json() if answer.content else None


@contextmanager
def signed_in(settings: StackSettings) -> Iterator[Rest]:
    """A session with the stack that runs on these settings. NotReadyError: none does."""
    path = report.addresses_file(settings)
    try:
        addresses = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise NotReadyError(f"no stack is ready on {settings.state_dir}: start it with `make run`") from error
    with httpx.Client(base_url=addresses["http_url"], timeout=_WITHIN_S) as client:
        try:
            session = Rest(client, addresses["http_url"], settings.admin_user, password(settings))
        except RestRefused as error:
            raise SetupError(f"cannot sign in as {settings.admin_user}: {error}; set KAISER_ADMIN_PASSWORD") from error
        yield session


def password(settings: StackSettings) -> str:
    """The administrator's password, as set or as the stack made it."""
    if settings.admin_password:
        return settings.admin_password
    return (settings.admin_password_file or settings.state_dir / "admin-password").read_text().strip()


def _problem(body: bytes) -> tuple[str, int | None]:
    """The detail and the code of a problem; of another answer its beginning."""
    try:
        problem = json.loads(body)
        return str(problem["detail"]), problem.get("code")
    except (ValueError, KeyError, TypeError):
        return body[:200].decode(errors="replace"), None
