"""Servers of chat in tests that speak HTTP as the real ones do: ntfy, and a Matrix homeserver."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

USER, PASSWORD = "kaiser", "a password of tests"
Answer = tuple[int, dict[str, Any]]


@dataclass(slots=True)
class NtfyServer:
    """A topic that one user may publish to, as ntfy answers: https://docs.ntfy.sh/publish/#publish-as-json. taken: the
    messages of each topic."""

    address: str = ""
    password: str = PASSWORD
    taken: list[dict[str, Any]] = field(default_factory=list)

    def url(self, topic: str) -> str:
        """The channel that publishes to a topic."""
        return f"ntfy://{USER}:{PASSWORD.replace(' ', '%20')}@{self.address}/{topic}"

    def answer(self, method: str, path: str, authorization: str, body: Any) -> Answer:
        """The answer of ntfy to a request."""
        if method != "POST" or path != "/" or not isinstance(body, dict):
            return 404, {"code": 40401, "http": 404, "error": "page not found"}
        expected = base64.b64encode(f"{USER}:{self.password}".encode()).decode()
        if authorization != f"Basic {expected}":
            return 401, {"code": 40101, "http": 401, "error": "unauthorized"}
        self.taken.append(body)
        return 200, {"id": f"m{len(self.taken)}", "event": "message", **body}


@dataclass(slots=True)
class MatrixServer:
    """One user and one room, `#ops:test`, as the client-server API answers: https://spec.matrix.org/v1.11/client-server-api/.
    A transaction id that an access token has used makes no other message."""

    address: str = ""
    taken: list[dict[str, Any]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    _logins: int = 0
    _joined: bool = False
    _transactions: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The channel that writes into the room."""
        return f"matrix://{USER}:{PASSWORD.replace(' ', '%20')}@{self.address}/#ops:test"

    def answer(self, method: str, path: str, authorization: str, body: Any) -> Answer:
        """The answer of the homeserver to a request."""
        parts = [unquote(part) for part in path.removeprefix("/_matrix/client/v3/").split("/")]
        if (method, parts) == ("POST", ["login"]):
            return self._login(body)
        token = authorization.removeprefix("Bearer ")
        if token not in self.tokens:
            return 401, {"errcode": "M_UNKNOWN_TOKEN", "error": "unknown token"}
        match method, parts:
            case "POST", ["join", "#ops:test" | "!ops:test"]:
                self._joined = True
                return 200, {"room_id": "!ops:test"}
            case "PUT", ["rooms", "!ops:test", "send", "m.room.message", transaction]:
                return self._send(token, transaction, body)
            case "POST", ["logout"]:
                self.tokens.discard(token)
                return 200, {}
        return 404, {"errcode": "M_UNRECOGNIZED", "error": f"{method} {path}"}

    def _login(self, body: Any) -> Answer:
        if (body["identifier"]["user"], body["password"]) != (USER, PASSWORD):
            return 403, {"errcode": "M_FORBIDDEN", "error": "invalid username or password"}
        self._logins += 1
        self.tokens.add(f"token-{self._logins}")
        return 200, {"user_id": f"@{USER}:test", "access_token": f"token-{self._logins}", "device_id": "D"}

    def _send(self, token: str, transaction: str, body: Any) -> Answer:
        if not self._joined:
            return 403, {"errcode": "M_FORBIDDEN", "error": "not in the room"}
        if (token, transaction) not in self._transactions:
            self.taken.append(body)
            self._transactions[token, transaction] = f"$event{len(self.taken)}"
        return 200, {"event_id": self._transactions[token, transaction]}


@contextmanager
def ntfy_server() -> Iterator[NtfyServer]:
    """Listen while the block runs."""
    server = NtfyServer()
    with _listening(server.answer) as server.address:
        yield server


@contextmanager
def matrix_server() -> Iterator[MatrixServer]:
    """Listen while the block runs."""
    server = MatrixServer()
    with _listening(server.answer) as server.address:
        yield server


@contextmanager
def _listening(answer: Callable[[str, str, str, Any], Answer]) -> Iterator[str]:
    """An HTTP server, one request after the other; gives its host and port."""
    one_by_one = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def _respond(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or b"null")
            with one_by_one:
                path = urlsplit(self.path).path
                status, found = answer(self.command, path, self.headers["Authorization"] or "", body)
            text = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_POST(self) -> None:
            self._respond()

        def do_PUT(self) -> None:
            self._respond()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
