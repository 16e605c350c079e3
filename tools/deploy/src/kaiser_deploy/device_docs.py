"""Writes docs/devices.md from the code: the topics and payloads of devices, both ways, by firmware generation."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kaiser_common.contract import bounds
from kaiser_common.contract.catalogue import (
    COMMON_CODES,
    DOWNLINKS,
    TOPIC_CODES,
    UPLINKS,
    DownlinkRow,
    Kind,
    UplinkRow,
)
from kaiser_common.contract.errors import Code
from pydantic import BaseModel

_HEAD = """# What devices speak

Written by `make device-docs` from the catalogue of messages (`kaiser_common.contract.catalogue`) and its models; tests
hold this page and ingest to it. There are two firmware generations: **A** (January 2026: every publish at QoS 0, most
of them retained) and **B** (April 2026: QoS 1, a registration gate). T is `kaiser/{kaiser_id}/esp/{esp_id}`.

A message is rejected only if its identity or its meaning is lost: it is not a JSON object, a required field is missing
or has the wrong type, or it came on a topic that is not its own. Any other field that makes no sense is left out, and
counted in `kaiser_ingest_oddities_total`; an id that Kaiser gave (`correlation_id` and the like) and a `message` are
cut at their bound instead, with an ellipsis. A time before 2020 or more than 5 minutes ahead is replaced by the
receive time (`clock` is `server`, the device's own is kept as `device_ts`, at most MAX_DEVICE_TIME_MS from 1970). An
equal reading of one sensor and time is a repetition, also within a batch; one with another value is rejected (5208).
Retained messages other than wills are old: they are counted and ignored. `esp_id` and `gpio` in a payload have to be
the topic's. Nothing that Kaiser sends holds a `null`.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *_said(), "", *_sent(), "", *_bounds(), ""])


def _said() -> list[str]:
    lines = [
        "## Device → Kaiser",
        "QoS by generation; R: retained; –: never sent. `timestamp` is accepted in place of `ts` everywhere. Codes:",
        f"those with which the message may be rejected. Any message may also be rejected with {_codes(COMMON_CODES)},",
        f"and a topic that is not in this table with {_codes(TOPIC_CODES)} ([what they mean](errors.md)).",
        "",
        "| topic | A · B | bus kind | consumer | smallest payload | model | other names | codes | notes |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in UPLINKS:
        topic = _short(row.topic) + "".join(f" (older: {_short(each)})" for each in row.older)
        least = f"`{json.dumps(row.required, separators=(',', ':'))}`"
        names = ", ".join(f"{'/'.join(f'`{each}`' for each in others)}: {name}" for name, others in row.aliases.items())
        lines.append(
            f"| {topic} | {row.a} · {row.b} | {_bus_kind(row)} | {', '.join((row.owner, *row.also_read_by))} | {least}"
            f" | {'–' if row.model is BaseModel else row.model.__name__} | {names} | {_codes(row.codes)}"
            f" | {row.note} |"
        )
    lines += ["", "### Fields", "| model | fields |", "|---|---|"]
    models = {row.model.__name__: row.model for row in UPLINKS if row.becomes != "a count"}
    lines += [f"| {name} | {_fields(model)} |" for name, model in models.items()]
    return lines


def _sent() -> list[str]:
    lines = [
        "## Kaiser → device",
        "QoS 1, nothing retained but `server/status`. A message that does not fit a device's buffer is refused before"
        " it is sent (5003). A message may be without a field marked with `?`, and always has the others.",
        "",
        "| topic | sent by | payload | A | B | notes |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {_short(row.topic)} | {row.sender} | {_sent_fields(row)} | {row.a} | {row.b} | {row.note} |"
        for row in DOWNLINKS
    ]
    return lines


def _bounds() -> list[str]:
    figures = {name: value for name, value in vars(bounds).items() if name.isupper() and isinstance(value, int | float)}
    rows = [f"| {name} | {value:,} |" for name, value in sorted(figures.items())]
    return ["## Bounds", "| name | value |", "|---|---|", *rows]


_ADDED = {"kaiser_id", "received_at", "device_ts", "clock", "replayed"}
"""Fields that ingest adds to a device's message."""


def _sent_fields(row: DownlinkRow) -> str:
    return " ".join(name if always else f"{name}?" for name, always in row.fields.items())


def _fields(model: type[BaseModel]) -> str:
    schema: dict[str, Any] = model.model_json_schema(by_alias=False)
    needed = set(schema.get("required", ()))
    names = [name if name in needed else f"{name}?" for name in schema["properties"] if name not in _ADDED]
    return " ".join(names)


def _codes(codes: Iterable[Code]) -> str:
    return ", ".join(str(code.value) for code in codes) or "–"


def _bus_kind(row: UplinkRow) -> str:
    if row.becomes == "a count":
        return "–"
    return (Kind.SENSOR_DATA if row.becomes == "readings" else row.bus_kind or row.kind).value


def _short(template: str) -> str:
    return f"`{template.replace('kaiser/{k}/esp/{esp}', 'T')}`"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page())
