"""A stand-in for an image registry: the OCI distribution API for pulling by tag (token, HEAD and GET of manifests)."""

import hashlib
import json
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

INDEX = "application/vnd.oci.image.index.v1+json"
TOKEN = "only-for-this-repository"


@dataclass
class StandIn:
    """Its images, `library/nats:2.15.0` → manifest, its misbehaviour, and the requests that it got."""

    manifests: dict[str, bytes] = field(default_factory=dict)
    status: int = 200
    names_digest: bool = True
    digest: str = ""
    challenge: str = ""
    moved_to: str = ""
    token: str = json.dumps({"token": TOKEN})
    asked: list[str] = field(default_factory=list)
    url: str = ""


def digest(body: bytes) -> str:
    """As a registry names content."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


@contextmanager
def running() -> Iterator[StandIn]:
    """The registry on a free port of this machine."""
    registry = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(self, registry)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    registry.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(request: BaseHTTPRequestHandler, registry: StandIn) -> None:
    path, _, query = request.path.partition("?")
    registry.asked.append(f"{request.command} {request.path}")
    if path == "/token":
        scope = urllib.parse.parse_qs(query).get("scope", [""])[0]
        good = scope.startswith("repository:") and scope.endswith(":pull")
        _send(request, 200 if good else 400, registry.token.encode())
        return
    _, _, *repository, kind, tag = path.split("/")
    name = "/".join(repository)
    if registry.moved_to:
        _send(request, 307, b"", Location=registry.moved_to)
    elif request.headers.get("Authorization") != f"Bearer {TOKEN}":
        realm = f'Bearer realm="{registry.url}/token",service="stand-in",scope="repository:{name}:pull"'
        _send(request, 401, b"{}", **{"WWW-Authenticate": registry.challenge or realm})
    elif registry.status != 200:
        _send(request, registry.status, b"{}")
    elif kind != "manifests" or f"{name}:{tag}" not in registry.manifests or INDEX not in request.headers["Accept"]:
        _send(request, 404, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')
    else:
        body = registry.manifests[f"{name}:{tag}"]
        named = {"Docker-Content-Digest": registry.digest or digest(body)} if registry.names_digest else {}
        _send(request, 200, body, **{"Content-Type": INDEX}, **named)


def _send(request: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)
