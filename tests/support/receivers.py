"""Where notifications go in tests: an HTTP receiver that accepts, refuses or never answers, and a mail server."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller


class HttpReceiver:
    """taken: the bodies of the requests that were accepted. status: what it answers; None: it never answers."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.status: int | None = 200
        self._ended = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if outer.status is None:
                    outer._ended.wait(60)
                    return
                if outer.status == 200:
                    outer.taken.append(body)
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"json://127.0.0.1:{self._server.server_port}/hook"

    def references(self) -> list[str]:
        """The reference of each message, in order."""
        return [one["message"].rpartition("Reference: ")[2].strip() for one in self.taken]

    def end(self) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def http_receiver() -> Iterator[HttpReceiver]:
    """Listen while the block runs."""
    receiver = HttpReceiver()
    try:
        yield receiver
    finally:
        receiver.end()


class Mailbox:
    """A mail server that keeps what it is given. url: where notifications reach it."""

    def __init__(self, url: str) -> None:
        self.mails: list[str] = []
        self.url = url

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.mails.append(envelope.content.decode())
        return "250 taken"


@contextmanager
def mail_server(port: int, tls: ssl.SSLContext | None = None) -> Iterator[Mailbox]:
    """Listen while the block runs; with `tls` only mails over STARTTLS are taken."""
    scheme, mode = ("mailto", "insecure") if tls is None else ("mailtos", "starttls")
    mailbox = Mailbox(f"{scheme}://127.0.0.1:{port}/?from=kaiser@example.com&to=ops@example.com&mode={mode}")
    controller = Controller(mailbox, hostname="127.0.0.1", port=port, tls_context=tls, require_starttls=tls is not None)
    controller.start()
    try:
        yield mailbox
    finally:
        controller.stop()
