"""The public HTTP server: its port, its limits, and which proxy headers it trusts."""

import logging
import resource
import socket
import sys
import time

import structlog
import uvicorn
from fastapi import FastAPI

from kaiser_gateway.domain.limits import Limiter
from kaiser_gateway.http.connections import Connections
from kaiser_gateway.http.limited_http import limited_http
from kaiser_gateway.http.limited_websocket import LimitedWebSocket
from kaiser_gateway.settings import GatewaySettings

log = structlog.get_logger()

_LINGER_S = 5.0
_WARN_EVERY_S = 10.0
_OTHER_CONNECTIONS = 8000
"""Beside the WebSocket clients; further ones are answered 503. Clients without a token have half of them at most."""
_MOST_FILES = 65_536


def http_config(app: FastAPI, settings: GatewaySettings) -> uvicorn.Config:
    """How uvicorn serves the application."""
    logging.getLogger("uvicorn.error").addFilter(OncePer())
    connections = Connections(
        settings.http_per_address, settings.trusted_proxies, settings.http_header_s, raise_file_limit()
    )
    return uvicorn.Config(
        app,
        http=limited_http(connections),
        log_config=None,
        log_level="warning",  # uvicorn's info lines hold the query string, and so the token
        access_log=False,
        lifespan="off",
        ws=LimitedWebSocket,
        proxy_headers=bool(settings.trusted_proxies),  # uvicorn believes 127.0.0.1 by default
        forwarded_allow_ips=settings.trusted_proxies,
        limit_concurrency=settings.ws_max_clients + _OTHER_CONNECTIONS,
        ws_max_size=65_536,
        ws_ping_interval=20.0,
        ws_ping_timeout=20.0,
        ws_per_message_deflate=settings.ws_compression,
        timeout_graceful_shutdown=4,
        server_header=False,
    )


def raise_file_limit() -> int:
    """Let this process open as many files as it may, 65,536 at most; how many that are. Each connection is one, and a
    user's shell often allows 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return _MOST_FILES if soft == resource.RLIM_INFINITY else soft


class OncePer(logging.Filter):
    """A warning of uvicorn's passes once in ten seconds, however many clients cause it; errors all pass."""

    def __init__(self) -> None:
        super().__init__()
        self._lines = Limiter(1 / _WARN_EVERY_S, 1, keys=100)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        return record.levelno > logging.WARNING or self._lines.wait_s(str(record.msg), time.monotonic()) == 0


def listen(settings: GatewaySettings) -> socket.socket:
    """The bound public port, logged. A port in use ends the process with status 2."""
    family = socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sys.platform == "linux":  # inherited by each connection: the kernel ends one whose peer takes nothing
        within_ms = int((settings.ws_stalled_s + _LINGER_S) * 1000)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, within_ms)
    try:
        listener.bind((settings.http_host, settings.http_port))
    except OSError as error:
        log.error("port_in_use", port=settings.http_port, set="KAISER_HTTP_PORT", error=str(error))
        sys.exit(2)
    log.info("listening", address=f"http://{settings.http_host}:{listener.getsockname()[1]}")
    return listener
