"""Writes docs/devices.md from the code: the topics and payloads of devices, both ways, by firmware generation."""

import json
import sys
from pathlib import Path
from typing import Any

from kaiser_common import bounds
from kaiser_common.dialect import ALSO_SAID, SAID, SENT
from kaiser_common.topics import BUS_KINDS, LEGACY_TEMPLATES, TEMPLATES, Kind
from pydantic import BaseModel

_HEAD = """# What devices speak

Written by `make device-docs` from `kaiser_common.dialect`, the topics and the models; a test holds this page and ingest
to them. There are two firmware generations: **A** (January 2026: every publish at QoS 0, most of them retained) and
**B** (April 2026: QoS 1, a registration gate). T is `kaiser/{kaiser_id}/esp/{esp_id}`.

A message is rejected only where its identity or its meaning is lost: no JSON object, a required field missing or of
another type, a topic that is not its own. Any other field that makes no sense is left out, and counted in
`kaiser_ingest_oddities_total`. A time before 2020 or more than 5 minutes ahead is replaced by the receive time (`clock`
is `server`, the device's own is kept as `device_ts`). Retained messages, but for wills, are not new: they are counted
and not taken. `esp_id` and `gpio` in a payload have to be the topic's. Nothing that Kaiser sends holds a `null`.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *_said(), "", *_sent(), "", *_bounds(), ""])


def _said() -> list[str]:
    lines = [
        "## Device → Kaiser",
        "QoS by generation; R: retained; –: never sent.",
        "",
        "| topic | A · B | bus kind | least payload | model | notes |",
        "|---|---|---|---|---|---|",
    ]
    older = {kind: template for template, kind in LEGACY_TEMPLATES.items()}
    for kind, said in [*SAID.items(), *ALSO_SAID.items()]:
        topic = _topic(kind) + (f" (older: {_short(older[kind])})" if kind in older else "")
        least = f"`{json.dumps(said.required, separators=(',', ':'))}`"
        lines.append(
            f"| {topic} | {said.a} · {said.b} | {_bus_kind(kind)} | {least}"
            f" | {'–' if said.model is BaseModel else said.model.__name__} | {said.note} |"
        )
    lines += ["", "### Fields", "| model | fields |", "|---|---|"]
    models = {said.model.__name__: said.model for said in SAID.values()}
    lines += [f"| {name} | {_fields(model)} |" for name, model in models.items()]
    return lines


def _sent() -> list[str]:
    lines = [
        "## Kaiser → device",
        "QoS 1, nothing retained but `server/status`. What does not fit a device's buffer is refused before it is sent"
        " (5003).",
        "",
        "| topic | payload | A | B | notes |",
        "|---|---|---|---|---|",
    ]
    for kind, sent in SENT.items():
        payload = _fields(sent.model) if sent.model else ""
        lines.append(f"| {_topic(kind)} | {payload} | {sent.a} | {sent.b} | {sent.note} |")
    return lines


def _bounds() -> list[str]:
    figures = {name: value for name, value in vars(bounds).items() if name.isupper() and isinstance(value, int | float)}
    rows = [f"| {name} | {value:,} |" for name, value in sorted(figures.items())]
    return ["## Bounds", "| name | value |", "|---|---|", *rows]


def _fields(model: type[BaseModel]) -> str:
    schema: dict[str, Any] = model.model_json_schema(by_alias=False)
    needed = set(schema.get("required", ()))
    skipped = {"kaiser_id", "received_at", "device_ts", "clock", "replayed"}
    names = [name if name in needed else f"{name}?" for name in schema["properties"] if name not in skipped]
    return " ".join(names)


def _bus_kind(kind: Kind) -> str:
    if kind in ALSO_SAID:
        return Kind.SENSOR_DATA.value if kind is Kind.SENSOR_BATCH else "–"
    return BUS_KINDS.get(kind, kind).value


def _topic(kind: Kind) -> str:
    return _short(TEMPLATES[kind])


def _short(template: str) -> str:
    return f"`{template.replace('kaiser/{k}/esp/{esp}', 'T')}`"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page())
