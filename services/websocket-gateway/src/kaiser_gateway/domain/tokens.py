"""Access and refresh tokens that the gateway signs with one key (HS256); pure, the time is an argument."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import jwt
from kaiser_common.contract.rpc import RANKS, Role

Use = Literal["access", "refresh"]

ROLES: tuple[Role, ...] = get_args(Role)

ISSUER = "kaiser"
LEEWAY_S = 5
MOST_CHARACTERS = 16_384
_LAST_SECOND = 1e12

UNREADABLE: tuple[type[Exception], ...] = (
    jwt.PyJWTError,
    ValueError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
)
"""The errors that PyJWT raises for a malformed token, such as one of a thousand nested lists."""


class TokenRefused(Exception):
    """The token is not valid, of another use, or expired; the text says which."""


class NotAllowed(Exception):
    """The token is valid, but gives none of the roles."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The caller. expires_at in seconds since the epoch; `external` for a user of the OpenID Connect issuer, by one of
    its tokens or by one of ours after a sign-in there."""

    user: str
    role: Role
    expires_at: float
    generation: int | None = None
    external: bool = False
    family: str = ""
    token_id: str = ""
    """Of a refresh token."""

    def may(self, role: Role) -> bool:
        """Whether this identity has the rights of `role`."""
        return RANKS[self.role] >= RANKS[role]


@dataclass(frozen=True, slots=True)
class Signer:
    """Makes and reads our own tokens with one key."""

    key: str

    def sign(self, user: str, role: Role, use: Use, now: float, lifetime_s: float, **more: str | int) -> str:
        """A token that is valid from `now` (seconds since the epoch) for `lifetime_s`.

        `more`: gen (the user's generation) and fam, of a refresh token jti, of a user of the issuer ext (1).
        """
        claims = {"iss": ISSUER, "sub": user, "role": role, "use": use, "iat": int(now), "exp": int(now + lifetime_s)}
        return jwt.encode({**claims, **more}, self.key, algorithm="HS256")

    def read(self, token: str, use: Use, now: float) -> Identity:
        """The user of a token. Raises TokenRefused or NotAllowed."""
        if len(token) > MOST_CHARACTERS:
            raise TokenRefused("the token is too long")
        try:
            claims = jwt.decode(
                token,
                self.key,
                algorithms=["HS256"],
                issuer=ISSUER,
                options={"require": ["exp", "sub"], "verify_exp": False, "verify_iat": False},
            )
        except UNREADABLE as error:
            raise TokenRefused(f"the token is not valid: {error}") from error
        if claims.get("use") != use:
            raise TokenRefused(f"the token's use is not {use!r}")
        expires_at = seconds(claims, "exp")
        if expires_at + LEEWAY_S < now:
            raise TokenRefused("the token has expired")
        if seconds(claims, "nbf") - LEEWAY_S > now:
            raise TokenRefused("the token is not valid yet")
        user, role, generation = claims["sub"], claims.get("role"), claims.get("gen")
        if not isinstance(user, str) or not user:
            raise TokenRefused("the token names no user")
        if not isinstance(role, str) or role not in RANKS:
            raise NotAllowed("the token names no role")
        family, token_id = claims.get("fam", ""), claims.get("jti", "")
        if not isinstance(family, str) or not isinstance(token_id, str):
            raise TokenRefused("the token's fam or jti is not a text")
        return Identity(
            user,
            role,
            expires_at,
            generation if type(generation) is int else None,
            external=claims.get("ext") == 1,
            family=family,
            token_id=token_id,
        )


def seconds(claims: Mapping[str, Any], name: str) -> float:
    """A claim that is a time, 0 without it. Raises TokenRefused for anything else, also infinity and NaN."""
    value = claims.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenRefused(f"the token's {name} is not a time")
    if not abs(value) <= _LAST_SECOND:  # NaN compares false
        raise TokenRefused(f"the token's {name} is not a time")
    return float(value)
