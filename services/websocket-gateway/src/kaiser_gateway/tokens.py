"""Access and refresh tokens that are made here with one key (HS256); pure, the time is an argument."""

from dataclasses import dataclass
from typing import Literal, get_args

import jwt

Role = Literal["viewer", "operator", "admin"]
Use = Literal["access", "refresh"]

ROLES: tuple[Role, ...] = get_args(Role)
RANK: dict[Role, int] = {role: rank for rank, role in enumerate(ROLES)}
"""A higher rank may do all that a lower one may."""

ISSUER = "kaiser"
LEEWAY_S = 5


class TokenRefused(Exception):
    """The token is not valid, of another use, or over; the text says which."""


class NotAllowed(Exception):
    """The token is valid, but gives none of the roles."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls. expires_at in seconds since the epoch."""

    user: str
    role: Role
    expires_at: float

    def may(self, role: Role) -> bool:
        """Whether this identity has the rights of `role`."""
        return RANK[self.role] >= RANK[role]


@dataclass(frozen=True, slots=True)
class Signer:
    """Makes and reads our own tokens with one key."""

    key: str

    def sign(self, user: str, role: Role, use: Use, now: float, lifetime_s: float) -> str:
        """A token that is valid from `now` (seconds since the epoch) for `lifetime_s`."""
        claims = {"iss": ISSUER, "sub": user, "role": role, "use": use, "iat": int(now), "exp": int(now + lifetime_s)}
        return jwt.encode(claims, self.key, algorithm="HS256")

    def read(self, token: str, use: Use, now: float) -> Identity:
        """Who the token speaks for. Raises TokenRefused or NotAllowed."""
        try:
            claims = jwt.decode(
                token,
                self.key,
                algorithms=["HS256"],
                issuer=ISSUER,
                options={"require": ["exp", "sub"], "verify_exp": False, "verify_iat": False},
            )
        except jwt.PyJWTError as error:
            raise TokenRefused(f"the token is not valid: {error}") from error
        if claims.get("use") != use:
            raise TokenRefused(f"the token is no {use} token")
        if claims["exp"] + LEEWAY_S < now:
            raise TokenRefused("the token has expired")
        if claims.get("role") not in RANK:
            raise NotAllowed("the token names no role")
        return Identity(claims["sub"], claims["role"], float(claims["exp"]))
