"""Asks a registry for the digest of an image's tag, by the OCI distribution API, without pulling the image.

Source: OCI Distribution Specification 1.1 §"Pulling manifests"; tokens as Docker's registry documents them.
"""

import hashlib
import http.client
import json
import re
import urllib.error
import urllib.parse
import urllib.request

DOCKER_HUB = "https://registry-1.docker.io"
_ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
"""The index comes first: its digest holds for every processor."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MOST_BYTES = 4 * 1024**2
_WITHIN_S = 20.0


class Unanswered(Exception):
    """The registry did not say; the text has its address, the image and the reason."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an error: the token would go along to another host."""

    def redirect_request(self, *_: object) -> None:
        return None


def digest_of(name: str, tag: str, registry: str = DOCKER_HUB) -> str:
    """The digest of a tag, such as `sha256:…`; of the index where there is one. Unanswered: it cannot be had."""
    path = name if "/" in name else f"library/{name}"
    address = f"{registry.rstrip('/')}/v2/{path}/manifests/{tag}"
    about = f"{name}:{tag} at {registry}"
    headers = {"Accept": _ACCEPT}
    try:
        try:
            return _digest(address, headers, about)
        except urllib.error.HTTPError as error:
            if error.code != 401:
                raise
            token = _token(error.headers.get("WWW-Authenticate", ""), registry, about)
            return _digest(address, {**headers, "Authorization": f"Bearer {token}"}, about)
    except urllib.error.HTTPError as error:
        known = {401: "it wants a sign-in", 404: "there is no such tag", 429: "it was asked too often: wait an hour"}
        raise Unanswered(f"{about}: status {error.code}, {known.get(error.code, error.reason)}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise Unanswered(f"{about} cannot be reached ({reason}): digests stay as they are") from error


def _digest(address: str, headers: dict[str, str], about: str) -> str:
    """By HEAD; a registry that does not name the digest is asked for the manifest, which is hashed."""
    with _open(urllib.request.Request(address, headers=headers, method="HEAD")) as answer:
        digest = str(answer.headers.get("Docker-Content-Digest", ""))
    if not digest:
        with _open(urllib.request.Request(address, headers=headers)) as answer:
            body = answer.read(_MOST_BYTES + 1)
        if len(body) > _MOST_BYTES:
            raise Unanswered(f"{about}: the manifest is larger than {_MOST_BYTES} bytes")
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    if not _DIGEST.fullmatch(digest):
        raise Unanswered(f"{about}: {digest[:100]!r} is no digest")
    return digest


def _token(challenge: str, registry: str, about: str) -> str:
    """A token for reading, from where the registry's challenge says."""
    asked = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    realm = asked.pop("realm", "")
    if not challenge.lower().startswith("bearer ") or not realm:
        raise Unanswered(f"{about}: it wants a sign-in that is not known here: {challenge[:100]!r}")
    if not realm.startswith("https://") and not registry.startswith("http://"):
        raise Unanswered(f"{about}: it sends for a token to {realm[:100]!r}, which is not https")
    query = urllib.parse.urlencode({key: asked[key] for key in ("service", "scope") if key in asked})
    with _open(urllib.request.Request(f"{realm}?{query}")) as answer:
        body = answer.read(_MOST_BYTES)
    try:
        found = json.loads(body)
        token = found.get("token") or found["access_token"]
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise Unanswered(f"{about}: {realm} gave no token") from error
    return str(token)


def _open(request: urllib.request.Request) -> http.client.HTTPResponse:
    answer: http.client.HTTPResponse = urllib.request.build_opener(_NoRedirect).open(request, timeout=_WITHIN_S)
    return answer
