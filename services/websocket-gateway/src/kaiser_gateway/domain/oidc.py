"""Checks tokens of an OpenID Connect issuer: their claims, and the issuer's key that verifies them; pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from kaiser_common.contract.rpc import RANKS, Role

from kaiser_gateway.domain.tokens import (
    LEEWAY_S,
    MOST_CHARACTERS,
    ROLES,
    UNREADABLE,
    Identity,
    NotAllowed,
    TokenRefused,
    seconds,
)

_KEY_TYPES = {
    "RS256": ("RSA", None),
    "RS384": ("RSA", None),
    "RS512": ("RSA", None),
    "PS256": ("RSA", None),
    "PS384": ("RSA", None),
    "PS512": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", None),
}
"""Algorithms that are taken, each with the type and curve of its key: a public key never verifies an HMAC."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The requirements for a token of the issuer. role_claim and user_claim may lead into objects:
    `realm_access.roles`."""

    issuer: str
    audience: str
    role_claim: str = "roles"
    user_claim: str = "sub"
    roles: Mapping[str, Role] = field(default_factory=dict)
    """The issuer's names for our roles; a role by its own name is always known."""
    inner_url: str = ""
    """Where the gateway reaches the issuer, in place of `issuer`; empty: at `issuer`."""
    jwks_url: str = ""
    """Address of the key set; empty: as the issuer's discovery document says."""

    def is_issuer(self, name: object) -> bool:
        """Whether a name is the issuer's; a slash at the end makes no difference."""
        return isinstance(name, str) and name.rstrip("/") == self.issuer.rstrip("/")


def issuer_of(token: str) -> str:
    """The issuer that a token names, not yet verified; empty where it cannot be read."""
    if len(token) > MOST_CHARACTERS:
        return ""
    try:
        claims = jwt.decode_complete(token, options={"verify_signature": False})["payload"]
    except UNREADABLE:
        return ""
    issuer = claims.get("iss")
    return issuer if isinstance(issuer, str) else ""


def subject_of(token: str) -> str:
    """The subject of a token that was verified before; empty where it cannot be read."""
    try:
        return str(jwt.decode_complete(token, options={"verify_signature": False})["payload"].get("sub", ""))
    except UNREADABLE:
        return ""


def key_of(token: str, keys: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The key of the issuer's set that a token names and that fits its algorithm; None if there is none (yet). A token
    without a key id uses the only key of its type. Raises TokenRefused for an algorithm that is not accepted.
    """
    header = _header(token)
    algorithm, kid = header.get("alg"), header.get("kid")
    if algorithm not in _KEY_TYPES:
        raise TokenRefused(f"tokens of the issuer must not be signed with {algorithm!r}")
    fitting = [key for key in keys if _fits(key, algorithm) and (kid is None or key.get("kid") == kid)]
    return fitting[0] if len(fitting) == 1 else None


def read(token: str, key: dict[str, Any], terms: Terms, now: float) -> Identity:
    """The user of a token. Raises TokenRefused, or NotAllowed if its role claim has none of our roles."""
    return identity_of(claims_of(token, key, terms, now), terms)


def claims_of(token: str, key: dict[str, Any], terms: Terms, now: float) -> dict[str, Any]:
    """The claims of a token that the issuer has signed for the audience, and that is valid now. Raises TokenRefused."""
    algorithm = str(_header(token).get("alg"))
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            jwt.PyJWK(key, algorithm=algorithm),
            algorithms=[algorithm],
            issuer=[terms.issuer.rstrip("/"), f"{terms.issuer.rstrip('/')}/"],
            audience=terms.audience,
            options={
                "require": ["exp", "iss", "aud"],
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
    except UNREADABLE as error:
        raise TokenRefused(f"the token is not valid: {error}") from error
    expires_at, not_before = seconds(claims, "exp"), seconds(claims, "nbf")
    if expires_at + LEEWAY_S < now:
        raise TokenRefused("the token has expired")
    if not_before - LEEWAY_S > now:
        raise TokenRefused("the token is not valid yet")
    return claims


def identity_of(claims: Mapping[str, Any], terms: Terms) -> Identity:
    """The user that verified claims name. Raises TokenRefused or NotAllowed."""
    user = _claim(claims, terms.user_claim)
    if not isinstance(user, str) or not user:
        raise TokenRefused(f"the token has no claim {terms.user_claim}")
    role = role_in(_claim(claims, terms.role_claim), terms.roles)
    if role is None:
        raise NotAllowed(f"the token of {user} grants no role in its claim {terms.role_claim}")
    return Identity(user, role, seconds(claims, "exp"), external=True)


def role_in(claim: Any, names: Mapping[str, Role]) -> Role | None:
    """The highest of our roles in a claim: a name, names with spaces between, or a list."""
    given = claim.split() if isinstance(claim, str) else claim if isinstance(claim, list) else []
    known: dict[str, Role] = dict(zip(ROLES, ROLES, strict=True)) | dict(names)
    roles = {known[name] for name in given if isinstance(name, str) and name in known}
    return max(roles, key=RANKS.__getitem__, default=None)


def _header(token: str) -> dict[str, Any]:
    try:
        return dict(jwt.get_unverified_header(token))
    except UNREADABLE as error:
        raise TokenRefused(f"the token is not valid: {error}") from error


def _fits(key: Mapping[str, Any], algorithm: str) -> bool:
    key_type, curve = _KEY_TYPES[algorithm]
    return (
        key.get("kty") == key_type
        and (curve is None or key.get("crv") == curve)
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
    )


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    if path in claims:  # a name with dots in it, as some issuers make them from URLs
        return claims[path]
    found: Any = claims
    for step in path.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return found
