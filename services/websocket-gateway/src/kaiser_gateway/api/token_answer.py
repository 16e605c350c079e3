"""The answer to a sign-in or refresh: an access token, and the refresh token with which the session continues."""

import time
from typing import Literal

from kaiser_common.contract.rpc import Role
from pydantic import BaseModel

from kaiser_gateway.domain.tokens import Signer
from kaiser_gateway.settings import GatewaySettings
from kaiser_gateway.store.families import Link
from kaiser_gateway.store.users import Account


class TokenAnswer(BaseModel):
    """An access token for the Authorization header, a refresh token for a new one. expires_in in s."""

    access_token: str
    refresh_token: str
    token_type: Literal["bearer"] = "bearer"
    expires_in: int
    role: Role


def to_answer(account: Account, link: Link, signer: Signer, settings: GatewaySettings) -> TokenAnswer:
    """Fresh tokens, valid from now on."""
    now, name, role = time.time(), account.username, account.role
    more: dict[str, str | int] = {"gen": account.generation, "fam": link.family}
    token_s, refresh_s = settings.token_minutes * 60, settings.refresh_days * 86_400
    return TokenAnswer(
        access_token=signer.sign(name, role, "access", now, token_s, **more),
        refresh_token=signer.sign(name, role, "refresh", now, refresh_s, **more, jti=link.token_id),
        expires_in=token_s,
        role=role,
    )
