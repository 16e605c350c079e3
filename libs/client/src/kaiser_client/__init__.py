"""A typed client for Kaiser: REST through `Kaiser` or `AsyncKaiser`, live events through their `watch`.

with Kaiser("http://127.0.0.1:8000") as kaiser:
    kaiser.sign_in("admin", password)
    for device in kaiser.each(devices.list_devices(online=False)):
        print(device.esp_id, device.last_seen)
"""

from kaiser_client.async_client import AsyncKaiser
from kaiser_client.call import Call, Paged
from kaiser_client.client import Kaiser
from kaiser_client.problems import ApiProblem, KaiserError, NotSignedIn, ServerAway, UnexpectedAnswer, WatchEnded
from kaiser_client.tokens import Tokens
from kaiser_client.watching import Watched, WatchFilters

__all__ = [
    "ApiProblem",
    "AsyncKaiser",
    "Call",
    "Kaiser",
    "KaiserError",
    "NotSignedIn",
    "Paged",
    "ServerAway",
    "Tokens",
    "UnexpectedAnswer",
    "WatchEnded",
    "WatchFilters",
    "Watched",
]
