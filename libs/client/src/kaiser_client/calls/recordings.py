"""Recordings of MQTT messages, and their replays."""

from kaiser_common.contract.schemas.api.recordings import (
    RecordingDetails,
    RecordingsPage,
    SavedRecording,
    StartRecording,
)
from kaiser_common.contract.schemas.api.replays import ReplayControl, ReplaysPage, StartReplay
from kaiser_common.contract.schemas.factory import FactoryReplay

from kaiser_client.call import Call

_WITHIN_S = 40.0


def list_recordings(*, limit: int | None = None, cursor: str | None = None) -> Call[RecordingsPage]:
    """Recordings, the newest first."""
    return Call("GET", "/api/v1/recordings", RecordingsPage, query={"limit": limit, "cursor": cursor})


def start_recording(recording: StartRecording) -> Call[SavedRecording]:
    """Record from now on, or from before."""
    return Call("POST", "/api/v1/recordings", SavedRecording, body=recording)


def read_recording(recording_id: str) -> Call[RecordingDetails]:
    """A recording."""
    return Call("GET", "/api/v1/recordings/{recording_id}", RecordingDetails, {"recording_id": recording_id})


def stop_recording(recording_id: str) -> Call[SavedRecording]:
    """Stop a recording and keep what it has so far."""
    path = "/api/v1/recordings/{recording_id}/stop"
    return Call("POST", path, SavedRecording, {"recording_id": recording_id}, within_s=_WITHIN_S)


def list_replays(*, limit: int | None = None, cursor: str | None = None) -> Call[ReplaysPage]:
    """Replays, the newest first."""
    return Call("GET", "/api/v1/replays", ReplaysPage, query={"limit": limit, "cursor": cursor})


def start_replay(replay: StartReplay) -> Call[FactoryReplay]:
    """Replay a recording into the environment in force, which must be of kind replay."""
    return Call("POST", "/api/v1/replays", FactoryReplay, body=replay, within_s=_WITHIN_S)


def read_replay(replay_id: str) -> Call[FactoryReplay]:
    """A replay, and how far it is."""
    return Call("GET", "/api/v1/replays/{replay_id}", FactoryReplay, {"replay_id": replay_id})


def control_replay(replay_id: str, control: ReplayControl) -> Call[FactoryReplay]:
    """Pause, resume, step, seek, stop, or another speed."""
    path = "/api/v1/replays/{replay_id}/control"
    return Call("POST", path, FactoryReplay, {"replay_id": replay_id}, body=control, within_s=_WITHIN_S)
