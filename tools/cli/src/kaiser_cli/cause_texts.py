"""Writes and reads the cause of rejected messages as one word: CODE/FIELD/SENDER.

SENDER is the id of a device, `serial/` with the serial of a machine, or `topic/` with the topic of messages that name
neither. A serial or a topic may look like an id of a device, so only the id of one stands alone.
"""

import re
from urllib.parse import quote, unquote

from kaiser_common.contract.schemas.api.rejected import CauseItem, RejectedCause
from kaiser_common.contract.topics import is_esp_id
from pydantic import ValidationError

from kaiser_cli.exits import WRONG_USE, Stopped

_CAUSE = re.compile(r"([1-9]\d{3})(?:/([^/]*)(?:/(.+))?)?", re.DOTALL)
_ANY = "*"
_KINDS = ("esp_id", "serial", "topic")
_PLAIN = "[]:"
"""In fields, beside letters, digits and `_.-~`; other characters are %XX there."""


def cause_of(text: str) -> RejectedCause:
    """The cause of a text CODE[/FIELD[/SENDER]], as `cause_text` writes it. Stopped: it is none."""
    found = _CAUSE.fullmatch(text)
    if found is None:
        raise _no_cause(text)
    code, field, sender = found.groups()
    given: dict[str, str] = {"code": code}
    if field not in (None, _ANY):
        given["field"] = unquote(field)
    if sender is not None:
        kind, _, name = ("esp_id", "", sender) if is_esp_id(sender) else sender.partition("/")
        if kind not in _KINDS:
            raise _no_cause(text)
        given[kind] = name
    try:
        return RejectedCause.model_validate(given)
    except ValidationError as error:
        raise _no_cause(text) from error


def cause_text(cause: CauseItem) -> str:
    """A cause in one word, for `--cause`: its code, the field that was wrong (may be empty), and its sender."""
    field = quote(cause.field, safe=_PLAIN)
    for kind in _KINDS:
        if name := getattr(cause, kind):
            return f"{cause.code}/{field}/{name if kind == 'esp_id' and is_esp_id(name) else f'{kind}/{name}'}"
    return f"{cause.code}/{field}"


def _no_cause(text: str) -> Stopped:
    return Stopped(
        f"{text!r} is no cause", WRONG_USE, "CODE[/FIELD[/SENDER]], as `kaiser rejected --groups` shows them"
    )
