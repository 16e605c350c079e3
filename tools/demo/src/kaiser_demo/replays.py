"""Replays a recorded file through a running stack, as a test: compares the final state with the expected one.

The environment is switched to one of kind replay for the duration of the replay, and back afterwards. Ctrl-C stops the
replay.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kaiser_stack.errors import NotReadyError, SetupError

from kaiser_demo.rest import Rest, RestRefused

Say = Callable[[str], None]

_REPLAYS = "/api/v1/replays"
_RECORDINGS = "/api/v1/recordings"
_ENVIRONMENT = "/api/v1/factory/environment"
_ASK_EVERY_S = 0.5
_SAY_EVERY_S = 5.0


class Differs(Exception):
    """The end is not the one expected; the text has a difference a line."""


def replay(rest: Rest, file: Path, expect: Path | None, speed: str, say: Say) -> None:
    """Import the file, replay it, and delete the recording. Differs: the end is another one; NotReadyError: the stack,
    or the replay, failed; SetupError: a file cannot be read, or the request is none."""
    expected = None if expect is None else _expectation(expect)
    try:
        recording = _imported(rest, file, say)
        try:
            with _environment(rest, say):
                _played(rest, recording, expected, speed, say)
        finally:
            rest.ask("DELETE", f"{_RECORDINGS}/{recording}")
    except RestRefused as error:
        if error.status in {404, 503}:
            raise NotReadyError(f'{error}; start the stack with KAISER_MQTT_DIALECTS=\'["esp", "factory"]\'') from error
        raise SetupError(str(error)) from error


def _expectation(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise SetupError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise SetupError(f"{path} is not JSON: {error}") from error


def _imported(rest: Rest, file: Path, say: Say) -> str:
    """The id of the recording, once it is read."""
    try:
        recording = rest.send_file(f"{_RECORDINGS}/import?filename={quote(file.name, safe='')}", file)
    except OSError as error:
        raise SetupError(f"cannot read {file}: {error.strerror or error}") from error
    while recording["state"] == "importing":
        time.sleep(_ASK_EVERY_S)
        recording = rest.ask("GET", f"{_RECORDINGS}/{recording['recording_id']}")["recording"]
    if recording["state"] != "ready":
        raise SetupError(f"{file} is no recording: {recording['reason']}")
    bad = recording["bad_lines"]
    skipped = f", {bad} {'line' if bad == 1 else 'lines'} skipped" if bad else ""
    say(f"{recording['messages']} messages imported{skipped}")
    return str(recording["recording_id"])


@contextmanager
def _environment(rest: Rest, say: Say) -> Iterator[None]:
    """An environment of kind replay in force, and then the one of before."""
    before = rest.ask("GET", _ENVIRONMENT)
    if before["kind"] == "replay":
        yield
        return
    if "replay" not in before["profiles"]:
        raise SetupError("there is no broker profile named replay, which an environment of that kind needs")
    say(f"the environment is switched from {before['env']} to replay, and back at the end")
    rest.ask("POST", _ENVIRONMENT, {"profile": "replay"})
    try:
        yield
    finally:
        rest.ask("POST", _ENVIRONMENT, {"profile": before["env"]})


def _played(rest: Rest, recording: str, expected: Any, speed: str, say: Say) -> None:
    wanted: dict[str, Any] = {"recording": recording, "speed": speed if speed == "max" else float(speed)}
    found = rest.ask("POST", _REPLAYS, wanted | ({} if expected is None else {"expect": expected}))
    path = f"{_REPLAYS}/{found['replay_id']}"
    said_at = time.monotonic()
    try:
        while found["ended_at"] is None:
            time.sleep(_ASK_EVERY_S)
            found = rest.ask("GET", path)
            if time.monotonic() - said_at > _SAY_EVERY_S:
                said_at = time.monotonic()
                say(f"{found['number']} of {found['total']} messages")
    except KeyboardInterrupt:
        rest.ask("POST", f"{path}/control", {"do": "stop"})
        raise
    counts = f"{found['sent']} messages sent, {found['left_out']} commands left out, {found['failed']} failed"
    if found["state"] != "done":
        raise NotReadyError(f"the replay {found['state']}: {found['reason'] or 'somebody ended it'} ({counts})")
    say(counts)
    if found["passed"] is False:
        raise Differs("\n".join(found["differences"]))
    if found["passed"]:
        say("the end is the one expected")
