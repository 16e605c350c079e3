"""Speaks REST to a running stack as its administrator."""

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from kaiser_stack import report
from kaiser_stack.errors import NotReadyError, SetupError
from kaiser_stack.settings import StackSettings

_WITHIN_S = 40.0


class Refused(Exception):
    """The API answered with a problem; the text is its detail."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status


class Rest:
    """An administrator's session."""

    def __init__(self, http_url: str, user: str, password: str) -> None:
        self.http_url = http_url
        self._token = ""
        form = urllib.parse.urlencode({"username": user, "password": password}).encode()
        answer = self._send("POST", "/api/v1/auth/token", form, "application/x-www-form-urlencoded")
        self._token = str(answer["access_token"])

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON. Refused for a problem, NotReadyError where nobody answers."""
        return self._send(method, path, None if body is None else json.dumps(body).encode(), "application/json")

    def _send(self, method: str, path: str, data: bytes | None, kind: str) -> Any:
        headers = {"Content-Type": kind, **({"Authorization": f"Bearer {self._token}"} if self._token else {})}
        request = urllib.request.Request(self.http_url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=_WITHIN_S) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise Refused(error.code, _detail(error.read())) from error
        except OSError as error:
            raise NotReadyError(f"{self.http_url} does not answer: {error}; start it with `make run`") from error
        return json.loads(text) if text else None


def sign_in(settings: StackSettings) -> Rest:
    """A session with the stack that runs on these settings. NotReadyError: none does."""
    path = report.addresses_file(settings)
    try:
        addresses = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise NotReadyError(f"no stack is ready on {settings.state_dir}: start it with `make run`") from error
    try:
        return Rest(addresses["http_url"], settings.admin_user, _password(settings))
    except Refused as error:
        raise SetupError(f"cannot sign in as {settings.admin_user}: {error}; set KAISER_ADMIN_PASSWORD") from error


def _password(settings: StackSettings) -> str:
    if settings.admin_password:
        return settings.admin_password
    return (settings.admin_password_file or settings.state_dir / "admin-password").read_text().strip()


def _detail(body: bytes) -> str:
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode(errors="replace")
