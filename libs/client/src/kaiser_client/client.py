"""The blocking client: REST, sign-in with automatic renewal, and the WebSocket."""

import random
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TypeVar

import httpx
from kaiser_common.contract.schemas.api.rejected import CauseReplay, RejectedCause, ReplayedCause
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from kaiser_client.call import USUAL_S, Call, Paged
from kaiser_client.calls import rejected
from kaiser_client.calls import sign_in as signing_in
from kaiser_client.exchange import answer_of, away, request_of, tls_of
from kaiser_client.problems import NotSignedIn, ServerAway
from kaiser_client.replaying import first_step, step_after
from kaiser_client.tokens import Tokens, tokens_of
from kaiser_client.watching import PING, SILENT_S, Watched, WatchFilters, WatchPlace, socket_url

AnswerT = TypeVar("AnswerT")
ItemT = TypeVar("ItemT")


class Kaiser:
    """A server of Kaiser. May be used by several threads.

    token: gives the access token of each request, renewed where needed; without it call `sign_in`.
    verify: of TLS, as httpx takes it. transport: another way to the server, for tests.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Callable[[], str] | None = None,
        verify: ssl.SSLContext | bool = True,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._verify = verify
        self._http = httpx.Client(base_url=self.url, timeout=USUAL_S, verify=verify, transport=transport)

    def __enter__(self) -> "Kaiser":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def sign_in(self, username: str, password: str) -> Tokens:
        """Sign in, and use these tokens from now on, renewed when needed. NotSignedIn: wrong name or password."""
        tokens = tokens_of(self.ask(signing_in.sign_in(username, password)), time.time())
        self._token = _Renewal(self, tokens)
        return tokens

    def renew(self, tokens: Tokens) -> Tokens:
        """A new pair of tokens; the old ones are used up. NotSignedIn: the sign-in has ended."""
        return tokens_of(self.ask(signing_in.refresh_sign_in(tokens.refresh_token)), time.time())

    def ask(self, call: Call[AnswerT]) -> AnswerT:
        """The answer. Raises ApiProblem, NotSignedIn, ServerAway or UnexpectedAnswer."""
        token = self._token() if self._token is not None and not call.is_open else ""
        try:
            response = self._http.send(request_of(self._http, call, token))
        except httpx.TransportError as error:
            raise away(self.url, error) from error
        return answer_of(call, response)

    def each(self, call: Call[Paged[ItemT]]) -> Iterator[ItemT]:
        """The items of a list, page after page."""
        page = self.ask(call)
        yield from page.items
        while page.next_cursor is not None:
            page = self.ask(call.page(page.next_cursor))
            yield from page.items

    def replay(self, cause: RejectedCause) -> Iterator[ReplayedCause]:
        """Validate all rejected messages of a cause again, oldest first; what each step of it did. One that is not gone
        through to its end can be begun again: nothing is stored twice."""
        step: CauseReplay | None = first_step(cause)
        while step is not None:
            done = self.ask(rejected.replay_cause(step))
            yield done
            step = step_after(step, done)

    def watch(self, filters: WatchFilters, *, after: int = 0, rate: float | None = None) -> Iterator[Watched]:
        """Events as they come, without end; breaks are bridged by connecting again and resuming.

        after: the seq behind which to go on, 0 for what comes from now on. rate: frames a second, above which only the
        newest state of each sensor comes. WatchEnded: the server has closed the connection for good; NotSignedIn: the
        sign-in has ended; UnexpectedAnswer: a filter is refused.
        """
        place = WatchPlace(filters, after)
        client_id = secrets.token_hex(8)
        while True:
            if self._token is None:
                raise NotSignedIn(401, "sign in first")
            try:
                yield from self._follow(place, socket_url(self.url, client_id, rate), self._token())
            except ConnectionClosed as closed:
                code, reason = (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")
                pause_s = place.closed(code, reason)
            except (ServerAway, OSError, WebSocketException, TimeoutError):
                pause_s = place.closed(1006, "")
            time.sleep(pause_s * (0.5 + random.random()))

    def _follow(self, place: WatchPlace, url: str, token: str) -> Iterator[Watched]:
        """One connection's events, until it closes. TimeoutError: the server does not answer any more."""
        subprotocols = [Subprotocol("bearer"), Subprotocol(token)]
        context = tls_of(url, self._verify)
        with connect(url, subprotocols=subprotocols, ssl=context, open_timeout=USUAL_S) as socket:
            for message in place.opening():
                socket.send(message)
            asked = False
            while True:
                try:
                    event = place.take(socket.recv(timeout=SILENT_S))
                except TimeoutError:
                    if asked:
                        raise
                    socket.send(PING)
                    asked = True
                    continue
                asked = False
                if event is not None:
                    yield event


class _Renewal:
    """Access tokens of one sign-in; the first caller renews them, and the others wait for it."""

    def __init__(self, kaiser: Kaiser, tokens: Tokens) -> None:
        self._kaiser = kaiser
        self._tokens = tokens
        self._lock = threading.Lock()

    def __call__(self) -> str:
        with self._lock:
            if self._tokens.are_due(time.time()):
                self._tokens = self._kaiser.renew(self._tokens)
            return self._tokens.access_token
