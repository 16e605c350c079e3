"""Structured logs on standard output, and the newest error among them."""

import logging
import sys
import time

import structlog

from kaiser_common.contract.schemas.api.system import LastError

_ERROR_CHARACTERS = 300


class ErrorMemory:
    """Remembers the newest log line of level error; a processor of structlog."""

    def __init__(self) -> None:
        self.last: LastError | None = None

    def __call__(self, _: object, level: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        if level in ("error", "critical"):
            text = next((str(event[field]) for field in ("error", "reason", "detail") if event.get(field)), None)
            self.last = LastError(
                event=str(event.get("event", "")),
                at=int(time.time() * 1000),
                message=text[:_ERROR_CHARACTERS] if text else None,
            )
        return event


def set_up_logging(name: str, level: str, form: str, errors: ErrorMemory | None = None) -> None:
    """Structured logs on standard output: one line an event, for people (console) or machines (json)."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _named(name),
        errors or ErrorMemory(),
    ]
    if form == "json":
        last: list[structlog.typing.Processor] = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    else:
        last = [
            structlog.dev.ConsoleRenderer(
                colors=sys.stdout.isatty(), pad_event_to=28, exception_formatter=structlog.dev.plain_traceback
            )
        ]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, format=f"%(asctime)s [%(levelname)s] {name} %(name)s: %(message)s")
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # says the same at each try; we say it once


def _named(name: str) -> structlog.typing.Processor:
    def add(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["service"] = name
        return event

    return add
