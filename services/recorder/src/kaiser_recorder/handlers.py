"""The table of contents of recorder: which RPC method goes to which function."""

from kaiser_common.contract.methods.recorder import METHODS
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.clock import utc_now
from kaiser_common.runtime.wiring import UNREACHABLE, register

from kaiser_recorder.api.files import FilesApi
from kaiser_recorder.api.recordings import RecordingsApi
from kaiser_recorder.api.replays import ReplaysApi
from kaiser_recorder.jobs.holder import RecorderParts


def answer(broker: Broker, parts: RecorderParts) -> None:
    """Register what the holder of the lease answers. TOPICS is read by consumers/topics."""
    recordings = RecordingsApi(parts.bus, parts.pool, parts.recorders, parts.budget, parts.environment, utc_now)
    files = FilesApi(parts.pool, parts.recorders, parts.budget, parts.uploads, utc_now)
    replays = ReplaysApi(parts.pool, parts.replaying, parts.environment, utc_now)
    register(
        broker.rpc(unavailable=UNREACHABLE),
        METHODS,
        {
            "list": recordings.page,
            "read": recordings.read,
            "start": recordings.start,
            "stop": recordings.stop,
            "delete": recordings.delete,
            "begin_import": files.begin,
            "import_part": files.part,
            "end_import": files.end,
            "drop_import": files.drop,
            "export": files.export,
            "start_replay": replays.start,
            "replays": replays.page,
            "replay": replays.read,
            "control_replay": replays.control,
        },
    )
