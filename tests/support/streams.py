"""Reads and limits the sizes of a stack's streams, and reads how long ingest has been waiting to store."""

import json
import re
from typing import Any

import httpx
import nats
from harness import Stack


async def limit(stack: Stack, stream: str, max_bytes: int) -> None:
    """Change how much a stream may hold."""
    config = (await info_of(stack, stream))["config"]
    answer = await _asked(stack, f"$JS.API.STREAM.UPDATE.{stream}", json.dumps(config | {"max_bytes": max_bytes}))
    assert "error" not in answer, answer


async def info_of(stack: Stack, stream: str) -> dict[str, Any]:
    """The configuration and the state of a stream."""
    return await _asked(stack, f"$JS.API.STREAM.INFO.{stream}", "")


async def _asked(stack: Stack, subject: str, body: str) -> dict[str, Any]:
    client = await nats.connect(stack.addresses["nats_url"])
    try:
        found: dict[str, Any] = json.loads((await client.request(subject, body.encode(), timeout=30)).data)
    finally:
        await client.close()
    return found


def waits_s(stack: Stack) -> float:
    """The age of the oldest message that ingest holds and could not store."""
    port = stack.addresses["metrics_ports"]["ingest"]
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
    found = re.search(r"^kaiser_ingest_oldest_unacknowledged_seconds (\S+)$", text, re.MULTILINE)
    assert found is not None, text
    return float(found[1])
