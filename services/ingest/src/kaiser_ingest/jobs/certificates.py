"""Looks at the certificates that devices get from the broker: once one has ended, no device connects any more.

Once an hour, so a new one is seen within that time. Of a server that does not answer, what was seen last holds on.
Killed: the next process looks at its start.
"""

import asyncio
import itertools
import math
import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import structlog
from kaiser_common.contract.standing import CERTIFICATE_ENDING, ConditionKey, Seen
from kaiser_common.runtime.loops import every

log = structlog.get_logger()

_MINUTE_S = 60.0
_HOUR = 60
_FIRST_LOOKS = 10
"""A minute apart: a broker that starts together with ingest is not taken for one without TLS."""
_ANSWER_S = 5.0
_DAY_S = 86_400.0


class CertificateWatch:
    """The ends of the certificates at some addresses (host:port)."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses
        self._looks = 0
        self.ends: dict[str, datetime] = {}
        """By address, as last seen; an address at which no certificate was seen yet is missing."""

    @property
    def is_known(self) -> bool:
        """Whether each address has shown its certificate, or none within ten minutes."""
        return len(self.ends) == len(self._addresses) or self._looks >= _FIRST_LOOKS

    async def run(self) -> None:
        """Look until cancelled: each minute at first, then once an hour."""
        minutes = itertools.count()

        async def step() -> None:
            if next(minutes) % _HOUR == 0 or not self.is_known:
                await self.look()

        await every(_MINUTE_S, step, "certificates_not_watched")

    async def look(self) -> None:
        """Look at each address, one after the other."""
        self._looks += 1
        for address in self._addresses:
            try:
                self.ends[address] = await asyncio.to_thread(end_of, address)
            except (OSError, ValueError) as error:
                log.info("certificate_not_seen", address=address, reason=str(error))


def end_of(address: str) -> datetime:
    """The end of the certificate that a server shows to any client that speaks TLS, signed by any authority.

    Raises OSError (no answer within 5 s, no TLS there) and ValueError (no certificate of X.509).
    """
    host, _, port = address.rpartition(":")
    shown = ssl.get_server_certificate((host.strip("[]"), int(port)), timeout=_ANSWER_S)
    from cryptography import x509  # noqa: PLC0415 - 17 MB, only where a server speaks TLS

    return x509.load_pem_x509_certificate(shown.encode()).not_valid_after_utc


def certificates_seen(ends: Mapping[str, datetime], now: datetime, source: str) -> dict[ConditionKey, Seen]:
    """The days since the end of the certificate that ends first; where no server shows one, the condition is over."""
    key = ConditionKey(CERTIFICATE_ENDING, source)
    if not ends:
        return {key: Seen(-math.inf, "")}
    broker, end = min(ends.items(), key=lambda each: each[1])
    day = end.astimezone(UTC).date().isoformat()
    message = f"the certificate of {broker} ends on {day}: no device connects after that"
    return {key: Seen((now - end).total_seconds() / _DAY_S, message, {"broker": broker, "ends_on": day})}
