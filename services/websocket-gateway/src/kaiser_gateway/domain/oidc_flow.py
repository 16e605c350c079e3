"""The values that a sign-in at the issuer carries through its steps (authorization code flow with PKCE); pure, the time
is an argument.

The gateway stores none of them: the browser holds those of each step, sealed with a key derived from the signing key.
Sources: RFC 7636 (PKCE), OpenID Connect Core 1.0 §§3.1.2, 3.1.3.7, RFC 9207 (issuer identification).
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from kaiser_gateway.domain.tokens import TokenRefused

Step = Literal["flow", "session"]

FLOW_S = 600
"""Time from the begin of a sign-in to its end."""
MOST_SEALED = 14_000
"""Characters of a sealed text that a request takes: its body has 16 KiB at most."""


@dataclass(frozen=True, slots=True)
class ConsoleClient:
    """The console as the issuer knows it. secret: empty for a public client. name: of the issuer, for people."""

    client_id: str
    name: str
    secret: str = ""
    scope: str = "openid profile"


@dataclass(frozen=True, slots=True)
class Flow:
    """A sign-in that was begun."""

    state: str
    nonce: str
    verifier: str
    redirect_uri: str


@dataclass(frozen=True, slots=True)
class ExternalSession:
    """A sign-in that goes on: its family in our tokens, and with which token the issuer renews and ends it. subject: of
    the user at the issuer; empty in one that was sealed before it was kept."""

    user: str
    family: str
    refresh_token: str
    id_token: str
    subject: str = ""


def new_flow(redirect_uri: str) -> Flow:
    """A flow with values that nobody guesses."""
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    return Flow(state, nonce, verifier, redirect_uri)


def authorization_url(endpoint: str, client: ConsoleClient, flow: Flow) -> str:
    """The page of the issuer at which a person signs in."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(flow.verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": flow.redirect_uri,
        "scope": client.scope,
        "state": flow.state,
        "nonce": flow.nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    return with_query(endpoint, asked)


def with_query(url: str, parameters: Mapping[str, str]) -> str:
    """An address with parameters beside those that it has."""
    return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(parameters)}"


def require_answer(flow: Flow, state: str, issuer: str | None, expected_issuer: str) -> None:
    """Raises TokenRefused for an answer to another question, or of another issuer."""
    if not secrets.compare_digest(flow.state.encode(), state.encode()):
        raise TokenRefused("the issuer's answer belongs to another sign-in: begin again")
    if issuer is not None and issuer.rstrip("/") != expected_issuer.rstrip("/"):
        raise TokenRefused(f"the answer came from the issuer {issuer[:200]!r}, not from {expected_issuer!r}")


def require_nonce(claims: Mapping[str, Any], flow: Flow, client_id: str) -> None:
    """Raises TokenRefused for an ID token of another sign-in or another client."""
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not secrets.compare_digest(nonce.encode(), flow.nonce.encode()):
        raise TokenRefused("the issuer's ID token belongs to another sign-in: begin again")
    if claims.get("azp", client_id) != client_id:
        raise TokenRefused("the issuer's ID token was made for another client")


class Seals:
    """Seals what the browser keeps for us: it can neither read nor change it, nor use one step in place of another."""

    def __init__(self, key: str) -> None:
        derived = HKDF(SHA256(), 32, salt=None, info=b"kaiser sign-in at an issuer").derive(key.encode())
        self._fernet = Fernet(base64.urlsafe_b64encode(derived))

    def seal(self, step: Step, values: Flow | ExternalSession, now: float) -> str:
        """The values of a step as a text."""
        text = json.dumps({"step": step, **asdict(values)})
        return self._fernet.encrypt_at_time(text.encode(), int(now)).decode()

    def seal_session(self, session: ExternalSession, now: float) -> str:
        """A session as a text that a request takes. What would make it too long is left out: first the ID token, which
        is only for the sign-out at the issuer, then the refresh token too; it is not renewed then. Raises TokenRefused
        where its user's name alone is too long."""
        for kept in (session, replace(session, id_token=""), replace(session, id_token="", refresh_token="")):
            text = self.seal("session", kept, now)
            if len(text) <= MOST_SEALED:
                return text
        raise TokenRefused("the issuer's name of the user is too long")

    def open_flow(self, text: str, now: float) -> Flow:
        """A flow of the last ten minutes. Raises TokenRefused."""
        return Flow(**self._open("flow", text, now, FLOW_S))

    def open_session(self, text: str, now: float, within_s: int) -> ExternalSession:
        """A session that was sealed at most so long ago. Raises TokenRefused."""
        return ExternalSession(**self._open("session", text, now, within_s))

    def _open(self, step: Step, text: str, now: float, within_s: int) -> dict[str, str]:
        try:
            values = json.loads(self._fernet.decrypt_at_time(text.encode(), within_s, int(now)))
        except InvalidToken as error:
            raise TokenRefused("this sign-in has expired, or is not of this gateway: begin again") from error
        if values.pop("step") != step:
            raise TokenRefused(f"this text is no {step}")
        return dict(values)
