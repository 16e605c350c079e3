"""The requests' part of the AsyncAPI document: every method of every service, with its answer; pure."""

from collections.abc import Callable
from typing import Any

from kaiser_common.contract.methods.whole import METHODS
from kaiser_common.contract.rpc import Problem, RpcMethod
from pydantic import BaseModel

ANSWERS = "answers"
_BUS = {"$ref": "#/servers/bus"}
MODELS: tuple[type[BaseModel], ...] = (Problem, *(model for row in METHODS for model in (row.request, row.answer)))


def channels(schema: Callable[[type[BaseModel]], dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """A channel for each method, and one for all answers."""
    found: dict[str, dict[str, Any]] = {
        row.subject: {
            "address": row.subject,
            "description": f"Least role: {row.least}. Asked by {', '.join(row.callers)}.",
            "servers": [_BUS],
            "messages": {"request": _message(row.request, schema)},
        }
        for row in METHODS
    }
    answers = {row.answer.__name__: _message(row.answer, schema) for row in METHODS}
    found[ANSWERS] = {
        "address": "_INBOX.{user}.{inbox}",
        "description": "The private inbox of the caller. A refusal is a Problem and has the header Kaiser-Problem.",
        "servers": [_BUS],
        "parameters": {
            "user": {"description": "The caller's user on the bus."},
            "inbox": {"description": "One for each request."},
        },
        "messages": {**answers, Problem.__name__: _message(Problem, schema)},
    }
    return found


def operations() -> dict[str, dict[str, Any]]:
    """A service receives a request and replies."""
    return {f"answer_{row.subject}": _operation(row) for row in METHODS}


def _operation(row: RpcMethod) -> dict[str, Any]:
    answers = f"#/channels/{ANSWERS}"
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{row.subject}"},
        "summary": f"{row.name} of {row.service}",
        "messages": [{"$ref": f"#/channels/{row.subject}/messages/request"}],
        "bindings": {"nats": {"queue": row.service, "bindingVersion": "0.1.0"}},
        "reply": {
            "channel": {"$ref": answers},
            "messages": [{"$ref": f"{answers}/messages/{name}"} for name in (row.answer.__name__, Problem.__name__)],
        },
    }


def _message(model: type[BaseModel], schema: Callable[[type[BaseModel]], dict[str, Any]]) -> dict[str, Any]:
    return {"name": model.__name__, "contentType": "application/json", "payload": schema(model)}
