"""Requests and answers of the service recorder. Times are ms since 1970."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from kaiser_common.contract.schemas import FROZEN

_STRICT = ConfigDict(frozen=True, extra="forbid")

RECORDING_ID = r"^[0-9a-f]{16}$"
PART_BYTES = 512 * 1024
"""Of a file that is imported, in one request over the bus."""

Dialect = Literal["esp", "factory"]
RecordingState = Literal["recording", "importing", "ready", "failed"]
Name = Annotated[str, Field(min_length=1, max_length=100, examples=["Monday's first shift"])]
Note = Annotated[str, Field(max_length=1000)]
TopicFilter = Annotated[str, Field(min_length=1, max_length=256, examples=["module/v1/#"])]


class SavedRecording(BaseModel):
    """A recording of MQTT messages.

    source: recorded here, or from a file. filters: the topics that it has, of the environment env. missing: messages,
    of whatever topic, that TOPICS no longer had when they were due; at most that many are missing here. naive: some
    time of the file says no zone. bad_lines: lines of the file that are no message; skipped lists the first 1,000.
    bytes: of payloads and topics. reason: why it failed, or ended without a request. ended_at: when it was ready, or
    failed.
    """

    model_config = FROZEN

    recording_id: str
    name: str
    note: str = ""
    source: Literal["live", "import"]
    state: RecordingState
    reason: str | None = None
    env: str | None = None
    filters: list[str] = []
    dialects: list[Dialect] = []
    created_at: int
    created_by: str
    ended_at: int | None = None
    first_at: int | None = None
    last_at: int | None = None
    messages: int = 0
    bytes: int = 0
    missing: int = 0
    naive: bool = False
    bad_lines: int = 0


class SkippedLine(BaseModel):
    """A line of a file that is no message: its number, from 1, and why."""

    model_config = FROZEN

    line: int
    reason: str


class RecordingDetails(BaseModel):
    """A recording, the description that its file had (JSON as text), and the lines that were skipped."""

    model_config = FROZEN

    recording: SavedRecording
    meta: str | None = None
    skipped: list[SkippedLine] = []


class StartRecording(BaseModel):
    """Record what comes from now on, or from before: `from` "-10m" is ten minutes ago, at most seven days.

    One of priority (level 1 to 6 of the message centre) and filters (MQTT's, + and #) says which topics.
    """

    model_config = {
        **_STRICT,
        "populate_by_name": True,
        "json_schema_extra": {
            "examples": [{"name": "The last ten minutes", "priority": 6, "from": "-10m", "note": "AGV 5iO4 was lost"}]
        },
    }

    name: Name
    priority: int | None = Field(default=None, ge=1, le=6)
    filters: list[TopicFilter] | None = Field(default=None, min_length=1, max_length=32)
    dialects: list[Dialect] = Field(default=["factory"], min_length=1, max_length=2)
    note: Note = ""
    from_: str | None = Field(default=None, alias="from", pattern=r"^-[1-9][0-9]{0,5}[smhd]$", examples=["-10m"])

    @model_validator(mode="after")
    def _topics(self) -> "StartRecording":
        if (self.priority is None) == (self.filters is None):
            raise ValueError("give either priority or filters")
        return self


class RecordingKey(BaseModel):
    """The id of a recording."""

    model_config = FROZEN

    recording_id: str = Field(pattern=RECORDING_ID)


class RecordingsQuery(BaseModel):
    """A page of recordings, the newest first."""

    model_config = FROZEN

    limit: int = Field(default=100, ge=1, le=1000)
    cursor: str | None = Field(default=None, max_length=300)


class RecordingsPage(BaseModel):
    """Recordings, the newest first. bytes, bytes_limit: of all recordings, and what they may have."""

    model_config = FROZEN

    items: list[SavedRecording]
    next_cursor: str | None = None
    bytes: int = 0
    bytes_limit: int = 0


class BeginImport(BaseModel):
    """A file is going to come in parts. filename: its end gives the form. tz: the zone of times that say none, as an
    offset (+01:00)."""

    model_config = FROZEN

    filename: str = Field(min_length=1, max_length=255)
    name: str | None = Field(default=None, min_length=1, max_length=100)
    note: Note = ""
    tz: str | None = Field(default=None, pattern=r"^[+-]([01]\d|2[0-3]):[0-5]\d$")
    bytes: int | None = Field(default=None, ge=0)


class ImportKey(BaseModel):
    """A file that is coming."""

    model_config = FROZEN

    import_id: str = Field(pattern=RECORDING_ID)


class ImportPart(ImportKey):
    """The next part of a file: from `offset` on."""

    offset: int = Field(ge=0)
    data_base64: str = Field(max_length=PART_BYTES * 4 // 3 + 4)


class ExportQuery(RecordingKey):
    """The lines of a recording behind message number `after`; 0: with the line that describes the recording."""

    after: int = Field(default=0, ge=0)


class ExportPage(BaseModel):
    """Lines of Kaiser's own form, compressed (zlib) in base64. next_after: None at the end."""

    model_config = FROZEN

    data_base64: str
    next_after: int | None = None
