"""Writes and reads the cause of rejected messages as one word: CODE/FIELD/SENDER."""

import re

from kaiser_common.contract.schemas.api.rejected import CauseItem, RejectedCause

from kaiser_cli.exits import WRONG_USE, Stopped

_CAUSE = re.compile(r"([1-9]\d{3})(?:/([^/]*)(?:/(.+))?)?")
_DEVICE = re.compile(r"[A-Z0-9_]{1,32}")
_ANY = "*"


def cause_of(text: str) -> RejectedCause:
    """The cause of a text CODE[/FIELD[/SENDER]], as `cause_text` writes it. Stopped: it is none."""
    found = _CAUSE.fullmatch(text)
    if found is None:
        raise Stopped(
            f"{text!r} is no cause", WRONG_USE, "CODE[/FIELD[/SENDER]], as `kaiser rejected --groups` shows them"
        )
    code, field, sender = int(found[1]), found[2], found[3]
    of_field = None if field in (None, _ANY) else field
    if sender is None:
        return RejectedCause(code=code, field=of_field)
    if _DEVICE.fullmatch(sender):
        return RejectedCause(code=code, field=of_field, esp_id=sender)
    if "/" in sender or sender.startswith("esp."):
        return RejectedCause(code=code, field=of_field, topic=sender)
    return RejectedCause(code=code, field=of_field, serial=sender)


def cause_text(cause: CauseItem) -> str:
    """A cause in one word, for `--cause`: its code, the field that was wrong (may be empty), and its sender."""
    return f"{cause.code}/{cause.field}/{cause.esp_id or cause.serial or cause.topic}"
