"""The gateway as a client of the OpenID Connect issuer: redeems codes, renews and ends sign-ins."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import structlog

from kaiser_gateway.domain import oidc, oidc_flow
from kaiser_gateway.domain.oidc_flow import ConsoleClient, ExternalSession, Flow
from kaiser_gateway.domain.tokens import Identity, NotAllowed, TokenRefused
from kaiser_gateway.http.discovery import FAILED, TIMEOUT_S, ask, describe, exchange, http_client, reached_at
from kaiser_gateway.http.issuer import Issuer, IssuerUnreachable

log = structlog.get_logger()

_WITHIN_S = 4 * TIMEOUT_S
_FRESH_S = 300.0


@dataclass(frozen=True, slots=True)
class IssuerGrant:
    """The user who signed in, and the issuer's tokens; the refresh token is empty if the issuer gives none. subject:
    the user's `sub` at the issuer."""

    identity: Identity
    refresh_token: str
    id_token: str
    subject: str


class OidcClient:
    """Asks the issuer, each time with a limit of 12 s. Nothing is kept but its discovery document, for five minutes."""

    def __init__(self, issuer: Issuer, client: ConsoleClient) -> None:
        self.client = client
        self._issuer = issuer
        self._described: dict[str, Any] = {}
        self._described_at = float("-inf")

    async def sign_in_url(self, flow: Flow) -> str:
        """The issuer's page for a sign-in. Raises IssuerUnreachable."""
        return oidc_flow.authorization_url(await self._endpoint("authorization"), self.client, flow)

    async def redeem(self, code: str, flow: Flow) -> IssuerGrant:
        """The user that a code stands for. Raises TokenRefused, NotAllowed or IssuerUnreachable."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": flow.redirect_uri,
            "code_verifier": flow.verifier,
        }
        answer = await self._tokens(form)
        claims = await self._claims(answer)
        oidc_flow.require_nonce(claims, flow, self.client.client_id)
        identity = await self._identity(answer, claims)
        subject = str(claims.get("sub") or "")
        return IssuerGrant(identity, str(answer.get("refresh_token") or ""), answer["id_token"], subject)

    async def renew(self, session: ExternalSession) -> IssuerGrant:
        """The same user with the role of now. Raises TokenRefused, NotAllowed or IssuerUnreachable."""
        if not session.refresh_token:
            raise TokenRefused("the issuer gave no refresh token: sign in again")
        answer = await self._tokens({"grant_type": "refresh_token", "refresh_token": session.refresh_token})
        is_signed = "id_token" in answer  # OpenID Connect Core 1.0 §12.2: it may be missing
        subject = session.subject or oidc.subject_of(session.id_token)
        claims = await self._claims(answer) if is_signed else {"sub": subject}
        identity = await self._identity(answer, claims)
        if identity.user != session.user:
            raise TokenRefused("the issuer has renewed the sign-in of another user")
        refresh_token = answer.get("refresh_token") or session.refresh_token
        id_token = str(answer.get("id_token") or session.id_token)
        return IssuerGrant(identity, str(refresh_token), id_token, str(claims.get("sub") or subject))

    async def end(self, session: ExternalSession, back: str) -> str | None:
        """Give the refresh token up, and the issuer's page that ends the sign-in there; None where it has none, or is
        away: the sign-in here has ended anyway."""
        try:
            described = await self._describe()
            if session.refresh_token and "revocation_endpoint" in described:
                form = {"token": session.refresh_token, "token_type_hint": "refresh_token"}
                await self._post("revocation", form)
        except IssuerUnreachable as error:
            log.warning("sign_in_not_revoked", error=str(error))
            return None
        page = described.get("end_session_endpoint")
        if not isinstance(page, str):
            return None
        asked = {"client_id": self.client.client_id, "post_logout_redirect_uri": back}
        return oidc_flow.with_query(page, asked | ({"id_token_hint": session.id_token} if session.id_token else {}))

    async def _identity(self, answer: Mapping[str, Any], claims: dict[str, Any]) -> Identity:
        try:
            return oidc.identity_of(claims, self._issuer.terms)
        except (TokenRefused, NotAllowed):  # many issuers say more of a user at their userinfo endpoint
            return oidc.identity_of(await self._user_info(answer, claims) | claims, self._issuer.terms)

    async def _claims(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise TokenRefused("the issuer gave no ID token: its client needs the scope openid")
        return await self._issuer.claims_of(token, self.client.client_id)

    async def _user_info(self, answer: Mapping[str, Any], claims: Mapping[str, Any]) -> dict[str, Any]:
        if "userinfo_endpoint" not in await self._describe():
            return {}
        url = await self._endpoint("userinfo")
        headers = {"Authorization": f"Bearer {answer.get('access_token')}"}
        try:
            async with asyncio.timeout(_WITHIN_S), http_client() as client:
                found = await ask(client, "GET", reached_at(self._issuer.terms, url), headers=headers)
        except FAILED as error:
            raise self._away(error) from error
        if found.get("sub") != claims.get("sub"):  # OpenID Connect Core 1.0 §5.3.2
            raise TokenRefused("the issuer's userinfo is of another user")
        return found

    async def _tokens(self, form: dict[str, str]) -> Mapping[str, Any]:
        status, answer = await self._post("token", form)
        if status >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise IssuerUnreachable(f"{self._issuer.terms.issuer} answers with status {status}")
        if status != httpx.codes.OK:
            reason = answer.get("error_description") or answer.get("error") or f"status {status}"
            raise TokenRefused(f"the issuer refused: {str(reason)[:200]}")
        return answer

    async def _post(self, endpoint: str, form: dict[str, str]) -> tuple[int, Mapping[str, Any]]:
        """RFC 6749 §2.3.1: a confidential client names itself in a header, a public one in the form."""
        client_id, secret = self.client.client_id, self.client.secret
        auth = httpx.BasicAuth(quote(client_id, safe=""), quote(secret, safe="")) if secret else None
        url = reached_at(self._issuer.terms, await self._endpoint(endpoint))
        try:
            async with asyncio.timeout(_WITHIN_S), http_client() as client:
                return await exchange(client, "POST", url, data={**form, "client_id": client_id}, auth=auth)
        except FAILED as error:
            raise self._away(error) from error

    async def _endpoint(self, name: str) -> str:
        url = (await self._describe()).get(f"{name}_endpoint")
        if not isinstance(url, str):
            raise IssuerUnreachable(f"{self._issuer.terms.issuer} has no {name} endpoint")
        return url

    async def _describe(self) -> dict[str, Any]:
        if time.monotonic() - self._described_at > _FRESH_S:
            try:
                async with asyncio.timeout(_WITHIN_S), http_client() as client:
                    self._described = await describe(client, self._issuer.terms)
            except FAILED as error:
                raise self._away(error) from error
            self._described_at = time.monotonic()
        return self._described

    def _away(self, error: Exception) -> IssuerUnreachable:
        log.warning("issuer_unreachable", issuer=self._issuer.terms.issuer, error=str(error) or type(error).__name__)
        return IssuerUnreachable(f"{self._issuer.terms.issuer} does not answer: try again in a moment")
