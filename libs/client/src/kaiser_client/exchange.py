"""Translates between calls and HTTP: builds the request, and turns the response into an answer or an exception."""

import ssl
from typing import TypeVar

import httpx

from kaiser_client.call import Call
from kaiser_client.problems import ServerAway, problem_of

AnswerT = TypeVar("AnswerT")


def request_of(http: httpx.Client | httpx.AsyncClient, call: Call[AnswerT], token: str) -> httpx.Request:
    """The request. token: empty where none is sent."""
    headers = dict(call.headers)
    if token:
        headers["Authorization"] = f"Bearer {token}"
    content = call.text()
    if content is not None:
        headers["Content-Type"] = "application/json"
    return http.build_request(
        call.method,
        call.url(),
        params=call.asked(),
        content=content,
        data=call.form,
        headers=headers,
        timeout=call.within_s,
    )


def answer_of(call: Call[AnswerT], response: httpx.Response) -> AnswerT:
    """The answer of a response. Raises ApiProblem, NotSignedIn or UnexpectedAnswer."""
    if not response.is_success:
        raise problem_of(response.status_code, response.content, response.headers.get("X-Request-Id", ""))
    return call.read(response.content)


def tls_of(url: str, verify: ssl.SSLContext | bool) -> ssl.SSLContext | None:
    """The TLS of a WebSocket, as httpx has it of the requests; None at a server without TLS."""
    if not url.startswith("wss"):
        return None
    if isinstance(verify, ssl.SSLContext):
        return verify
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def away(url: str, error: httpx.TransportError) -> ServerAway:
    """Why there was no answer."""
    if isinstance(error, httpx.TimeoutException):
        return ServerAway(f"{url} did not answer in time")
    return ServerAway(f"{url} cannot be reached: {error or type(error).__name__}")
