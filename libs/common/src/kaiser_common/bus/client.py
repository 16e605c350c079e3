"""The NATS client: nats-py's with our options, changed where it would swallow a cancellation or lose a message."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from kaiser_common.bus import metrics
from kaiser_common.bus.settings import BusSettings
from kaiser_common.bus.waiting import cancellable

log = structlog.get_logger()

_CONNECT_TIMEOUT_S = 5.0


class BusUnavailable(Exception):
    """NATS did not acknowledge in time, or refused for a reason that may pass (stream full, no leader)."""


class KaiserClient(Client):
    """nats-py's client: its requests can be cancelled at any time, and its `flush` keeps the order on which nats-py's
    drains rely.

    Its own `flush` sends a PING past what is still queued, an UNSUB too: a drain could end before the server knew of
    it, and what came then was lost. A PONG that came after its timeout ended the reader.
    """

    confirm: Callable[[], Awaitable[None]] | None = None
    """A round trip behind all that is queued."""

    async def flush(self, timeout: int = 10) -> None:
        """Wait until the server has read what was queued. NATS away: return, there is nothing to wait for."""
        if self.confirm is None:
            await super().flush(timeout)
            return
        try:
            await self.confirm()
        except BusUnavailable as error:
            log.debug("flush_unconfirmed", reason=str(error))

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float = 0.5,
        old_style: bool = False,
        headers: dict[str, str] | None = None,
    ) -> Msg:
        """As nats-py's; JetStream's API, KV and publishing with acknowledgement come through here too."""
        with cancellable():
            return await super().request(subject, payload, timeout, old_style, headers)


async def open_client(settings: BusSettings, name: str) -> KaiserClient:
    """A connected client. NATS away: wait as long as it takes, with a log line at each failure."""
    wait_s = 0.2
    while True:
        client = KaiserClient()
        try:
            await client.connect(**_options(settings, name, client))
        except (NatsError, OSError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            log.warning("bus_unreachable", url=_without_secret(settings.nats_address), error=reason, retry_s=wait_s)
            await close_client(client)
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, 5.0)
        else:
            log.info("bus_connected", url=_without_secret(settings.nats_address))
            return client


async def close_client(client: Client) -> None:
    """Close a client, within 5 s."""
    try:
        async with asyncio.timeout(5.0):
            await client.close()
    # RuntimeError: uvloop's word for a write to a transport that is closed, while the connection is being lost.
    except (NatsError, OSError, TimeoutError, RuntimeError) as error:
        log.warning("bus_close_failed", error=str(error) or type(error).__name__)


def _options(settings: BusSettings, name: str, client: Client) -> dict[str, Any]:
    async def on_error(error: Exception) -> None:
        log.warning("bus_error", error=str(error) or type(error).__name__)

    async def on_disconnect() -> None:
        if client.is_closed:  # by ourselves, at a stop
            log.debug("bus_closed")
        else:
            log.warning("bus_disconnected")

    async def on_reconnect() -> None:
        metrics.BUS_RECONNECTS.inc()
        log.info("bus_reconnected")

    password = settings.nats_password.get_secret_value()
    if settings.nats_password_file is not None:
        password = settings.nats_password_file.read_text().strip()
    options: dict[str, Any] = {
        "servers": [settings.nats_address],
        "name": f"kaiser-{name}",
        "allow_reconnect": True,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 0.5,
        "connect_timeout": _CONNECT_TIMEOUT_S,
        "ping_interval": 10,
        "max_outstanding_pings": 2,
        "error_cb": on_error,
        "disconnected_cb": on_disconnect,
        "reconnected_cb": on_reconnect,
    }
    if settings.nats_inbox_prefix:
        options["inbox_prefix"] = settings.nats_inbox_prefix
    if settings.nats_address.startswith("tls://"):
        options["tls"] = ssl.create_default_context(cafile=settings.nats_tls_ca_file or None)
    if settings.nats_user:
        options |= {"user": settings.nats_user, "password": password}
    return options


def _without_secret(url: str) -> str:
    """The URL as it may be logged."""
    scheme, _, rest = url.rpartition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
