"""Translates the messages of a WebSocket client that uses the protocol of AutomationOne's frontend, both ways."""

from fastapi import WebSocket
from starlette.types import Message

from kaiser_gateway.domain.compat import frames


def translated(websocket: WebSocket) -> WebSocket:
    """The socket as Kaiser's conversation takes it, not accepted yet."""

    async def receive() -> Message:
        while True:
            message = await websocket.receive()
            if message["type"] != "websocket.receive" or message.get("text") is None:
                return message
            text = frames.said(message["text"])
            if text is not None:
                return {"type": "websocket.receive", "text": text}

    async def send(message: Message) -> None:
        if message["type"] != "websocket.send" or message.get("text") is None:
            await websocket.send(message)
            return
        for text in frames.told(message["text"]):
            await websocket.send({"type": "websocket.send", "text": text})

    return WebSocket(websocket.scope, receive, send)
