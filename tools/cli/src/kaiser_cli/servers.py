"""The servers that this person is signed in at, and their tokens, in one file that only its owner may read."""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kaiser_client import Kaiser, NotSignedIn, Tokens
from pydantic import BaseModel, ConfigDict, ValidationError

from kaiser_cli.exits import SIGN_IN, WRONG_USE, Stopped

DEFAULT_URL = "http://127.0.0.1:8000"


class KnownServer(BaseModel):
    """A server and the sign-in at it. name: a short one for --server, empty for none."""

    model_config = ConfigDict(frozen=True)

    url: str
    name: str = ""
    user: str
    tokens: Tokens


class KnownServers(BaseModel):
    """The content of the file. current: the URL of the server that is asked if none is named."""

    model_config = ConfigDict(frozen=True)

    current: str = ""
    servers: list[KnownServer] = []

    def find(self, text: str) -> KnownServer | None:
        """The server of a name or a URL."""
        return next((one for one in self.servers if text in (one.name, one.url)), None)

    def with_server(self, server: KnownServer, current: bool) -> "KnownServers":
        """With a sign-in in the place of an earlier one there."""
        others = [one for one in self.servers if one.url != server.url]
        return KnownServers(current=server.url if current else self.current, servers=[*others, server])

    def without(self, url: str) -> "KnownServers":
        """Without a server."""
        left = [one for one in self.servers if one.url != url]
        return KnownServers(current="" if self.current == url else self.current, servers=left)


def file_of(environment: dict[str, str] | os._Environ[str]) -> Path:
    """Where the file is: below XDG_CONFIG_HOME, by default ~/.config."""
    base = environment.get("XDG_CONFIG_HOME") or str(Path(environment.get("HOME", "~")).expanduser() / ".config")
    return Path(base) / "kaiser" / "servers.json"


def read(path: Path) -> KnownServers:
    """Read the file; without one there are no servers. Stopped: it is damaged."""
    try:
        return KnownServers.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return KnownServers()
    except ValidationError as error:
        raise Stopped(f"{path} cannot be read", WRONG_USE, "delete it and sign in again: kaiser login") from error


def write(path: Path, servers: KnownServers) -> None:
    """Replace the file. Killed meanwhile, the old one is still whole."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(servers.model_dump(), file, indent=1)
    beside.replace(path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Only one process at a time: a refresh token that two used would end the sign-in."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(path.with_name(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        hint = "set XDG_CONFIG_HOME to a folder that can be written"
        raise Stopped(f"{path.parent} cannot be written: {error.strerror}", WRONG_USE, hint) from error
    with os.fdopen(lock, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def url_of(asked: str | None, known: KnownServers) -> str:
    """The server that is meant: of --server or KAISER_URL, a name or a URL; else the current one; else a local one."""
    text = (asked or known.current or DEFAULT_URL).rstrip("/")
    found = known.find(text)
    if found is not None:
        return found.url
    if "://" not in text:
        names = ", ".join(one.name for one in known.servers if one.name) or "none has a name yet"
        raise Stopped(f"no server is called {text!r} (known: {names})", WRONG_USE, "give a URL, or: kaiser login URL")
    return text


def tokens_at(path: Path, url: str) -> Callable[[], str]:
    """Gives the access token of the sign-in at a server, renewed in the file where it is due."""

    def token() -> str:
        found = read(path).find(url)
        if found is None:
            raise Stopped(f"you are not signed in at {url}", SIGN_IN, _login(url))
        if not found.tokens.are_due(time.time()):
            return found.tokens.access_token
        return _renewed(path, url)

    return token


def _renewed(path: Path, url: str) -> str:
    with locked(path):
        known = read(path)
        found = known.find(url)
        if found is None:
            raise Stopped(f"you are not signed in at {url}", SIGN_IN, _login(url))
        if found.tokens.are_due(time.time()):  # else another process was faster
            try:
                with Kaiser(url) as kaiser:
                    found = found.model_copy(update={"tokens": kaiser.renew(found.tokens)})
            except NotSignedIn as error:
                raise Stopped(f"your sign-in at {url} has ended: {error}", SIGN_IN, _login(url)) from error
            write(path, known.with_server(found, current=False))
        return found.tokens.access_token


def _login(url: str) -> str:
    return f"sign in: kaiser login {url}"
