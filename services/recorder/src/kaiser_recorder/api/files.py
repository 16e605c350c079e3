"""Answers requests about files: an upload in parts, and a recording as the lines of a file."""

import base64
import binascii
import json
import secrets
import zlib
from collections.abc import Callable
from datetime import datetime
from pathlib import PurePath
from typing import NoReturn

from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.errors import Code
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.recordings import (
    BeginImport,
    ExportPage,
    ExportQuery,
    ImportKey,
    ImportPart,
    RecordingDetails,
    SavedRecording,
)
from kaiser_common.contract.times import ms_of
from kaiser_common.runtime.database import DatabasePool
from kaiser_factory_dialect.recordings import to_line, to_meta_line
from kaiser_factory_dialect.times import to_iso_us

from kaiser_recorder.domain.budget import Budget
from kaiser_recorder.jobs.recorders import Recorders
from kaiser_recorder.store import recordings
from kaiser_recorder.store.files import MAX_BYTES
from kaiser_recorder.store.uploads import MOST, Uploads

_QUICK = 1


class FilesApi:
    """A file is read once it has come; the recording says how far that is."""

    def __init__(
        self,
        pool: DatabasePool,
        recorders: Recorders,
        budget: Budget,
        uploads: Uploads,
        clock: Callable[[], datetime],
    ) -> None:
        self._clock = clock
        self._pool = pool
        self._recorders = recorders
        self._budget = budget
        self._uploads = uploads

    async def begin(self, request: BeginImport, _: Caller) -> ImportKey:
        """A file is going to come. 413: it is too large; 409: there is no room for it, or too many come at once."""
        if request.bytes is not None and request.bytes > MAX_BYTES:
            _too_large()
        if self._budget.used + self._uploads.coming + (request.bytes or 0) > self._budget.limit:
            raise RpcError(409, Code.VALUE_OUT_OF_RANGE, self._budget.full())
        name = request.name or PurePath(request.filename).name[:100] or "file"
        key = self._uploads.begin(request.filename, name, request.note, _offset_us(request.tz))
        if key is None:
            raise RpcError(409, Code.VALUE_OUT_OF_RANGE, f"at most {MOST} files are taken at a time: try again later")
        return ImportKey(import_id=key)

    async def part(self, request: ImportPart, _: Caller) -> Nothing:
        """The next part of a file. 409: it does not follow what is there."""
        upload = self._uploads.get(request.import_id) or _not_coming(request.import_id)
        try:
            data = base64.b64decode(request.data_base64, validate=True)
        except (binascii.Error, ValueError) as error:
            raise RpcError(422, Code.FIELD_TYPE_MISMATCH, f"data_base64: {error}", "data_base64") from error
        if request.offset != upload.size:
            text = f"the part is from byte {request.offset}, but {upload.size} bytes have come"
            raise RpcError(409, Code.VALUE_OUT_OF_RANGE, text, "offset")
        if upload.size + len(data) > MAX_BYTES:
            self._uploads.drop(request.import_id)
            _too_large()
        self._uploads.add(upload, data)
        return Nothing()

    async def drop(self, request: ImportKey, _: Caller) -> Nothing:
        """The rest of a file does not come."""
        self._uploads.drop(request.import_id)
        return Nothing()

    async def end(self, request: ImportKey, caller: Caller) -> SavedRecording:
        """A file is whole: read it into a recording, which is `importing` until it is ready, or has failed."""
        upload = self._uploads.get(request.import_id) or _not_coming(request.import_id)
        now = self._clock()
        recording = SavedRecording(
            recording_id=secrets.token_hex(8),
            name=upload.name,
            note=upload.note,
            source="import",
            state="importing",
            created_at=ms_of(now),
            created_by=caller.user,
        )
        async with self._pool.connection() as connection:
            await recordings.insert(connection, recording, now)
        whole = self._uploads.take(request.import_id) or _not_coming(request.import_id)
        self._recorders.read_file(recording.recording_id, whole)
        return recording

    async def export(self, request: ExportQuery, _: Caller) -> ExportPage:
        """The next lines of a recording in Kaiser's own form."""
        async with self._pool.connection() as connection:
            found = await recordings.details(connection, request.recording_id)
            if found is None:
                raise RpcError(404, Code.NOT_FOUND, f"there is no recording {request.recording_id}", "recording_id")
            page = await recordings.messages_after(connection, request.recording_id, request.after)
        lines = [to_line(message, number) for number, message in page]
        if request.after == 0:
            lines.insert(0, to_meta_line(_meta(found)))
        text = b"".join(line + b"\n" for line in lines)
        return ExportPage(
            data_base64=base64.b64encode(zlib.compress(text, _QUICK)).decode(),
            next_after=page[-1][0] if page else None,
        )


def _meta(found: RecordingDetails) -> dict[str, object]:
    """The description of a recording: what its file said of itself, and what Kaiser knows."""
    recording = found.recording
    said: dict[str, object] = dict(json.loads(found.meta)) if found.meta else {}
    known: dict[str, object] = {"sessionName": recording.name, "messageCount": recording.messages}
    if recording.first_at is not None and recording.last_at is not None:
        known |= {
            "recordingStartedAt": to_iso_us(recording.first_at * 1000),
            "recordingEndedAt": to_iso_us(recording.last_at * 1000),
            "durationSec": (recording.last_at - recording.first_at) / 1000,
        }
    if recording.source == "live":
        known |= {"env": recording.env, "filters": recording.filters, "missing": recording.missing}
    return known | said


def _offset_us(tz: str | None) -> int:
    """The µs by which a clock of this zone is ahead of UTC."""
    if tz is None:
        return 0
    minutes = int(tz[1:3]) * 60 + int(tz[4:6])
    return (-1 if tz[0] == "-" else 1) * minutes * 60_000_000


def _too_large() -> NoReturn:
    raise RpcError(413, Code.VALUE_OUT_OF_RANGE, f"a file may have {MAX_BYTES} bytes")


def _not_coming(import_id: str) -> NoReturn:
    text = f"there is no upload {import_id}: the recorder was restarted, or no part came for a minute; upload it again"
    raise RpcError(404, Code.NOT_FOUND, text, "import_id")
