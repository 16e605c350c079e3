"""Whether REST and WebSocket are served: a check of /readyz."""

import time
from collections.abc import Callable

from kaiser_common.runtime.service import HttpServer

_SIGN_IN_WITHIN_S = 5.0


class Served:
    """Sign-in is waited for as well, but for 5 s only: without the database the gateway serves what it can."""

    def __init__(self, sign_in_ready: Callable[[], bool]) -> None:
        self._sign_in_ready = sign_in_ready
        self._started_at = time.monotonic()
        self.server: HttpServer | None = None

    async def check(self) -> None:
        """Raises ConnectionError with the reason while it is not."""
        if self.server is None or not self.server.started:
            raise ConnectionError("REST and WebSocket are not served yet")
        if not self._sign_in_ready() and time.monotonic() - self._started_at < _SIGN_IN_WITHIN_S:
            raise ConnectionError("sign-in is not ready yet; without the database it is not waited for")
