"""The tokens of a sign-in, and when to renew them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

_EARLY_S = 30.0


class GivenTokens(BaseModel):
    """The answer to a sign-in. expires_in in s."""

    model_config = ConfigDict(frozen=True)

    access_token: str
    refresh_token: str
    expires_in: int
    role: Literal["viewer", "operator", "admin"]


class Tokens(BaseModel):
    """The tokens of a sign-in. expires_at: when the access token expires, in s since 1970.

    A refresh token can be used once: two programs that share tokens must not both renew them.
    """

    model_config = ConfigDict(frozen=True)

    access_token: str
    refresh_token: str
    expires_at: float
    role: str

    def are_due(self, now: float) -> bool:
        """Whether they are to be renewed: half a minute before the access token expires."""
        return now >= self.expires_at - _EARLY_S


def tokens_of(answer: GivenTokens, now: float) -> Tokens:
    """Tokens as they were answered at a time."""
    return Tokens(
        access_token=answer.access_token,
        refresh_token=answer.refresh_token,
        expires_at=now + answer.expires_in,
        role=answer.role,
    )
