"""Sends a message through Apprise, which knows about a hundred kinds of channels by the scheme of their URL.

Apprise and its plugins are imported with the first message: a site without a channel does not pay for them. It works in
threads of its own, at most four. A channel that does not answer in time has failed; its thread ends with the timeouts
of its sockets.
"""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kaiser_alarm.domain.notification_texts import Text
from kaiser_alarm.publish.reach import Reach

_THREADS = 4
_CONNECT_S, _READ_S = 5.0, 10.0
LOCAL = frozenset({"dbus", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows"})
"""Kinds that act on Kaiser's own machine: refused."""
_READ_A_FILE = frozenset(
    {"template", "keyfile", "subfile", "pgpkey", "pgppub", "pgpprv", "pgp", "cert", "icon_file", "image_file"}
)
"""Parameters by which a plugin reads a file of Kaiser's own machine, or one that it fetches."""
_SCHEME = re.compile(r"^([a-z][a-z0-9+.-]{1,31})://", re.IGNORECASE)


class WrongUrl(Exception):
    """A URL that names no channel. Its text says why, and nothing of the URL but its scheme."""


def kind_of(url: str) -> str:
    """The kind of a channel: the scheme of its URL. WrongUrl. In a thread: it may import Apprise."""
    found = _SCHEME.match(url)
    if found is None:
        raise WrongUrl("the URL begins with no scheme, such as mailtos://, ntfys:// or json://")
    kind = found[1].lower()
    if kind in LOCAL:
        raise WrongUrl(f"{kind}:// acts on Kaiser's own machine: use a channel that reaches people")
    if reads := _READ_A_FILE & _parameters(kind, url):
        raise WrongUrl(f"the parameter {min(reads)} reads a file of Kaiser's own machine: leave it out")
    return kind


def _parameters(kind: str, url: str) -> set[str]:
    """The names of a URL's parameters as Apprise's plugins read them, which take more spellings than a browser does:
    some read a plus as a space, and all drop spaces around a name."""
    from apprise.utils.parse import parse_url  # noqa: PLC0415 - only where a channel is set

    parts = parse_url(url, verify_host=False)  # type: ignore[no-untyped-call]
    if not parts:
        raise WrongUrl(_names_no_channel(kind))
    return {name.strip(" \t+-:").lower() for name in parts["qsd"]}


def _names_no_channel(kind: str) -> str:
    return f"{kind}:// with these parts names no channel: see the list of Apprise's services"


class ChannelSender:
    """Sends messages, each within `timeout_s`, to addresses within reach."""

    def __init__(self, timeout_s: float, reach: Reach) -> None:
        self._timeout_s = timeout_s
        self._reach = reach
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=reach.threads)

    def close(self) -> None:
        """Begin nothing more; what is under way ends by its timeouts."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def check(self, url: str) -> str:
        """The kind of the channel that a URL names, which Apprise understands. WrongUrl."""
        await self._run(_plugin, url)
        kind: str = await self._run(kind_of, url)
        return kind

    async def send(self, url: str, text: Text) -> str | None:
        """Send a message; None: the channel took it, else why not, without a secret."""
        try:
            async with asyncio.timeout(self._timeout_s):
                failure: str | None = await self._run(_send, url, text, self._reach)
                return failure
        except TimeoutError:
            return f"no answer within {self._timeout_s:g} s"
        except WrongUrl as error:
            return str(error)

    async def _run(self, function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


def _plugin(url: str) -> Any:
    from apprise import Apprise  # noqa: PLC0415 - only where a channel is set

    kind = kind_of(url)
    plugin = Apprise.instantiate(url, suppress_exceptions=True)
    if plugin is None:
        raise WrongUrl(_names_no_channel(kind))
    plugin.socket_connect_timeout, plugin.socket_read_timeout = _CONNECT_S, _READ_S
    return plugin


def _send(url: str, text: Text, reach: Reach) -> str | None:
    """In a thread. Apprise logs why a channel refused; the log may hold secrets, so only the outcome is kept."""
    reach.begin()
    if _plugin(url).notify(title=text.title, body=text.body):
        return None
    if reach.refused is not None:
        setting = 'KAISER_ALARM_CHANNEL_NETWORKS, such as ["10.1.0.0/16"]'
        return f"channels may not reach {reach.refused}: list its network in {setting}"
    return "the channel refused the message or could not be reached"
