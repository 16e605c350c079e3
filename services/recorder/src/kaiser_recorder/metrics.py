"""Metrics of the service recorder, each with its help text."""

from prometheus_client import Counter, Gauge

RECORDING = Gauge("kaiser_recorder_recording", "Recordings that are being written.")
BYTES = Gauge("kaiser_recorder_bytes", "Bytes of all recordings.")
MESSAGES = Counter("kaiser_recorder_messages_total", "Messages written, by source.", ["source"])
REPLAYED = Counter(
    "kaiser_recorder_replayed_total",
    "Recorded messages that replays passed, by outcome: sent, left out or failed.",
    ["outcome"],
)
REPLAYING = Gauge("kaiser_recorder_replaying", "Replays that have not ended.")
REPLAY_BEHIND = Counter("kaiser_recorder_replay_behind_seconds_total", "Time by which replays fell behind their speed.")
MISSING = Counter(
    "kaiser_recorder_missing_total", "Messages that TOPICS no longer had when they were due to be recorded."
)
