"""A well-behaved frontend: it follows live values, and after a lost connection resumes from the last seq it saw."""

import asyncio
import json
import secrets
import time
from collections import Counter
from typing import Any

from fleet import Fleet
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

_RETRY_S = 0.2
_OPEN_WITHIN_S = 5.0
_ANSWER_WITHIN_S = 10.0


class _AskAgain(Exception):
    """The gateway could not resume now."""


class Watcher:
    """Counts by number what it was shown. Frames of a seq that it has had already are not counted again."""

    def __init__(self, http_url: str, token: str, fleet: Fleet) -> None:
        self._url = (
            f"{http_url.replace('http', 'ws', 1)}/api/v1/ws/realtime/{secrets.token_hex(4)}?rate=1000000&token={token}"
        )
        self._fleet = fleet
        self._seen: set[int] = set()
        self._last = 0
        self.shown: Counter[int] = Counter()
        self.shown_at: dict[int, float] = {}
        self.missed = 0
        self.conflated = 0
        self.connections = 0
        self.following = asyncio.Event()

    async def run(self) -> None:
        """Follow, until cancelled."""
        while True:
            try:
                async with connect(self._url, max_queue=None, open_timeout=_OPEN_WITHIN_S, ping_interval=5) as socket:
                    await self._follow(socket)
            except (OSError, TimeoutError, WebSocketException, _AskAgain):
                self.following.clear()
            await asyncio.sleep(_RETRY_S)

    async def _follow(self, socket: ClientConnection) -> None:
        filters = {"types": ["sensor_data", "system_event"], "esp_ids": list(self._fleet.devices)}
        await self._ask(socket, {"action": "subscribe", "filters": filters}, "subscribed")
        if self.connections:
            answer = await self._ask(socket, {"action": "resume", "after": self._last}, "resumed")
            self.missed += answer["data"]["missed"]
        self.connections += 1
        self.following.set()
        async for text in socket:
            self._take(json.loads(text), move=True)

    async def _ask(self, socket: ClientConnection, action: dict[str, object], answer: str) -> dict[str, Any]:
        """Send and wait for the answer. What is shown before counts, but does not move the place to resume from."""
        await socket.send(json.dumps(action))
        async with asyncio.timeout(_ANSWER_WITHIN_S):
            while True:
                frame = json.loads(await socket.recv())
                if frame["type"] == answer:
                    return dict(frame)
                if frame["type"] == "error":
                    raise _AskAgain
                self._take(frame, move=not self.connections)

    def _take(self, frame: dict[str, Any], *, move: bool) -> None:
        if frame["type"] == "system_event" and frame["data"].get("event") == "events_conflated":
            self.conflated += 1
        if frame["type"] != "sensor_data":
            return
        seq, data = frame["seq"], frame["data"]
        if move:
            self._last = max(self._last, seq)
        if seq in self._seen:
            return
        self._seen.add(seq)
        if data["quality"] == "stale":
            return  # no reading: on a busy machine the fleet is silent for so long that it is reported
        number = self._fleet.number_of(data["esp_id"], data["ts"], data["value"])
        self.shown[number] += 1
        self.shown_at.setdefault(number, time.monotonic())
