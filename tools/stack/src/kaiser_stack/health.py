"""Asking a service whether it is ready, over its internal HTTP."""

import http.client
import json

from kaiser_stack.errors import NotReadyError
from kaiser_stack.ports import LOOPBACK

_WITHIN_S = 5.0


def probe(port: int) -> None:
    """NotReadyError, with what the service says it is waiting for, until /readyz answers 200."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_WITHIN_S)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise NotReadyError(f"/readyz at port {port}: {error}") from error
    finally:
        connection.close()
    if response.status != 200:
        raise NotReadyError(f"/readyz says {_reasons(body)}")


def _reasons(body: bytes) -> str:
    try:
        checks = json.loads(body).get("checks", {})
    except ValueError:
        return body[:200].decode(errors="replace")
    return "; ".join(f"{name}: {state}" for name, state in checks.items() if state != "ok") or "not ready"
