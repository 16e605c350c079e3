"""Requests to recorder: recordings of MQTT messages, and their replays."""

from functools import partial

from kaiser_common.contract.rpc import Audited, Nothing, RpcMethod
from kaiser_common.contract.schemas.api.recordings import (
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
from kaiser_common.contract.schemas.api.replays import (
    ControlledReplay,
    ReplayKey,
    ReplaysPage,
    ReplaysQuery,
    StartReplay,
)
from kaiser_common.contract.schemas.factory import FactoryReplay

_method = partial(RpcMethod, "recorder")

METHODS: tuple[RpcMethod, ...] = (
    _method("list", RecordingsQuery, RecordingsPage),
    _method("read", RecordingKey, RecordingDetails),
    _method(
        "start", StartRecording, SavedRecording, least="operator", audited=Audited("start_recording", ("recording_id",))
    ),
    _method(
        "stop",
        RecordingKey,
        SavedRecording,
        least="operator",
        audited=Audited("stop_recording", ("recording_id",), before="read", of="recording"),
    ),
    _method(
        "delete",
        RecordingKey,
        Nothing,
        least="admin",
        audited=Audited("delete_recording", ("recording_id",), before="read", of="recording"),
    ),
    _method("begin_import", BeginImport, ImportKey, least="operator"),
    _method("import_part", ImportPart, Nothing, least="operator"),
    _method(
        "end_import",
        ImportKey,
        SavedRecording,
        least="operator",
        audited=Audited("import_recording", ("recording_id",)),
    ),
    _method("drop_import", ImportKey, Nothing, least="operator"),
    _method("export", ExportQuery, ExportPage),
    _method(
        "start_replay", StartReplay, FactoryReplay, least="operator", audited=Audited("start_replay", ("recording",))
    ),
    _method("replays", ReplaysQuery, ReplaysPage),
    _method("replay", ReplayKey, FactoryReplay),
    _method(
        "control_replay",
        ControlledReplay,
        FactoryReplay,
        least="operator",
        audited=Audited("control_replay", ("replay_id", "do"), before="replay"),
    ),
)
