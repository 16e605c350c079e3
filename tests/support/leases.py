"""Ends the lease of a killed process immediately, so that a test need not wait for it to expire."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import nats
from kaiser_common.contract.subjects import LEASE_BUCKET, Bucket
from nats.errors import Error as NatsError


def end_lease(nats_url: str, key: str, bucket: Bucket = LEASE_BUCKET) -> None:
    """Remove the lease of a process that is dead, as its TTL does later; with NATS away that is left to the TTL.

    For a test of what comes after the kill. Not where a standby waits for a lease to expire, nor for what ingest sends
    to devices: a lease lasts as long as the ack_wait of OUTBOX, so the next ingest begins with what the killed one had.
    """
    with ThreadPoolExecutor(1) as aside:  # the caller may be in an event loop
        aside.submit(asyncio.run, _purge(nats_url, key, bucket.name)).result(60)


async def _purge(nats_url: str, key: str, bucket: str) -> None:
    try:
        client = await nats.connect(nats_url, allow_reconnect=False, connect_timeout=5)
    except (NatsError, OSError, TimeoutError):
        return
    try:
        await client.jetstream().purge_stream(f"KV_{bucket}", subject=f"$KV.{bucket}.{key}")
    except (NatsError, OSError, TimeoutError):
        pass
    finally:
        await client.close()
