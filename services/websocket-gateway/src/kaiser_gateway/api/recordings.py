"""Recordings of MQTT messages, answered by recorder."""

import asyncio
import base64
import time
import zlib
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.errors import Code
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.recordings import (
    PART_BYTES,
    RECORDING_ID,
    BeginImport,
    ExportPage,
    ExportQuery,
    ImportKey,
    ImportPart,
    RecordingDetails,
    RecordingKey,
    RecordingsPage,
    RecordingsQuery,
    SavedRecording,
    StartRecording,
)

from kaiser_gateway.domain.pace import Pace
from kaiser_gateway.http.auth import Guard
from kaiser_gateway.settings import GatewaySettings

_WITHIN_S = 30.0
_SILENCE_S = 30.0
_FILE = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}

RecordingPath = Annotated[str, Path(pattern=RECORDING_ID, examples=["0a1b2c3d0a1b2c3d"])]


def router(bus: Bus, guard: Guard, settings: GatewaySettings) -> APIRouter:
    """/api/v1/recordings."""
    routes = APIRouter(prefix="/api/v1/recordings", tags=["recordings"])
    viewer, operator, admin = guard.needs("viewer"), guard.needs("operator"), guard.needs("admin")

    @routes.get("")
    async def list_recordings(
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: Annotated[str | None, Query(max_length=300)] = None,
        caller: Caller = viewer,
    ) -> RecordingsPage:
        """Recordings, the newest first, and the bytes that they use and may use together."""
        query = RecordingsQuery(limit=limit, cursor=cursor)
        return await call(bus, "recorder", "list", query, RecordingsPage, caller=caller)

    @routes.post("", status_code=201)
    async def start_recording(body: StartRecording, caller: Caller = operator) -> SavedRecording:
        """Start a recording, by priority or topic filters; it may include earlier messages."""
        return await call(bus, "recorder", "start", body, SavedRecording, caller=caller)

    @routes.post("/import", status_code=202, openapi_extra=_FILE)
    async def import_recording(
        request: Request,
        filename: Annotated[str, Query(min_length=1, max_length=255, examples=["session.log"])],
        name: Annotated[str | None, Query(min_length=1, max_length=100)] = None,
        note: Annotated[str, Query(max_length=1000)] = "",
        tz: Annotated[str | None, Query(pattern=r"^[+-]([01]\d|2[0-3]):[0-5]\d$", examples=["+01:00"])] = None,
        caller: Caller = operator,
    ) -> SavedRecording:
        """Import a file of at most 512 MiB, which is the body: lines of JSON (.log, .jsonl), an array (.json), each
        also as .gz, or SQLite (.db). The recording is `importing` until all is read; invalid lines are listed.

        tz: the offset of times without one.
        """
        length = request.headers.get("content-length")
        begin = BeginImport(
            filename=filename, name=name, note=note, tz=tz, bytes=int(length) if length is not None else None
        )
        key = await call(bus, "recorder", "begin_import", begin, ImportKey, caller=caller)
        try:
            pace = Pace(settings.http_file_per_s, settings.http_body_s, _SILENCE_S)
            await _send_parts(bus, request, key, caller, pace)
        except BaseException:
            await asyncio.shield(_drop(bus, key, caller))
            raise
        return await call(bus, "recorder", "end_import", key, SavedRecording, caller=caller, timeout_s=_WITHIN_S)

    @routes.get("/{recording_id}")
    async def read_recording(recording_id: RecordingPath, caller: Caller = viewer) -> RecordingDetails:
        """A recording, what its file said of itself, and the lines of it that were skipped."""
        request = RecordingKey(recording_id=recording_id)
        return await call(bus, "recorder", "read", request, RecordingDetails, caller=caller)

    @routes.post("/{recording_id}/stop")
    async def stop_recording(recording_id: RecordingPath, caller: Caller = operator) -> SavedRecording:
        """Stop a recording and keep what it has so far."""
        request = RecordingKey(recording_id=recording_id)
        return await call(bus, "recorder", "stop", request, SavedRecording, caller=caller, timeout_s=_WITHIN_S)

    @routes.delete("/{recording_id}", status_code=204, response_class=Response)
    async def delete_recording(recording_id: RecordingPath, caller: Caller = admin) -> None:
        """Delete a recording that is not being written."""
        await call(bus, "recorder", "delete", RecordingKey(recording_id=recording_id), Nothing, caller=caller)

    @routes.get(
        "/{recording_id}/export",
        response_class=StreamingResponse,
        responses={200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}},
    )
    async def export_recording(recording_id: RecordingPath, caller: Caller = viewer) -> StreamingResponse:
        """A recording as a file, a JSON object a line. A transfer that breaks off has no end of its own."""
        first = await _page(bus, recording_id, 0, caller)
        headers = {"Content-Disposition": f'attachment; filename="recording-{recording_id}.jsonl"'}
        lines = _lines(bus, recording_id, first, caller)
        return StreamingResponse(lines, media_type="application/x-ndjson", headers=headers)

    return routes


async def _send_parts(bus: Bus, request: Request, key: ImportKey, caller: Caller, pace: Pace) -> None:
    """Hand the body on, part by part. RpcError 408: it comes too slowly."""
    held, offset = bytearray(), 0
    body = aiter(request.stream())
    while True:
        began = time.monotonic()
        try:
            async with asyncio.timeout(pace.left_s()):
                chunk = await anext(body, None)
        except TimeoutError as error:
            raise RpcError(408, Code.OPERATION_TIMEOUT, pace.why_late()) from error
        pace.came(len(chunk or b""), time.monotonic() - began)
        held += chunk or b""
        while len(held) >= PART_BYTES or (chunk is None and held):
            part = bytes(held[:PART_BYTES])
            data = base64.b64encode(part).decode()
            message = ImportPart(import_id=key.import_id, offset=offset, data_base64=data)
            await call(bus, "recorder", "import_part", message, Nothing, caller=caller, timeout_s=_WITHIN_S)
            offset += len(part)
            del held[:PART_BYTES]
        if chunk is None:
            return


async def _drop(bus: Bus, key: ImportKey, caller: Caller) -> None:
    """Report that the rest will not come; without this report the recorder notices after a minute."""
    try:
        await call(bus, "recorder", "drop_import", key, Nothing, caller=caller)
    except RpcError:
        return


async def _page(bus: Bus, recording_id: str, after: int, caller: Caller) -> ExportPage:
    query = ExportQuery(recording_id=recording_id, after=after)
    return await call(bus, "recorder", "export", query, ExportPage, caller=caller, timeout_s=_WITHIN_S)


async def _lines(bus: Bus, recording_id: str, page: ExportPage, caller: Caller) -> AsyncIterator[bytes]:
    while True:
        yield zlib.decompress(base64.b64decode(page.data_base64))
        if page.next_after is None:
            return
        page = await _page(bus, recording_id, page.next_after, caller)
