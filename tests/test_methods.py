"""Each request is declared once: what answers it, what asks for it and what describes it are held to its row."""

import ast
import importlib
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from kaiser_common.bus.consumer import Consumer
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.methods.whole import METHODS
from kaiser_common.contract.rpc import RANKS, RpcMethod
from kaiser_common.contract.subjects import CONSUMERS, OPTIONAL_SERVICES, SERVICES, DurableConsumer
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.consume import Unreadable
from kaiser_common.runtime.service import Service
from kaiser_common.runtime.settings import CommonSettings
from kaiser_gateway.domain.asyncapi import document

METHOD = {(row.service, row.name): row for row in METHODS}
ROOT = Path(__file__).parents[1]
OWNERS = sorted({row.service for row in METHODS})


class Anything:
    """Stands for what a handler is built with and does not use before it is asked."""

    def __getattr__(self, name: str) -> "Anything":
        return Anything()

    def __call__(self, *arguments: object, **named: object) -> "Anything":
        return Anything()


def answering(service: str) -> Broker:
    """The broker of a service with every method registered, as its handlers.py does it."""
    handlers = importlib.import_module(f"kaiser_{service}.handlers")
    broker = Broker(Anything(), Service(service), CommonSettings())  # type: ignore[arg-type]
    given: dict[str, Any] = {"broker": broker, "name": service}
    for name, parameter in inspect.signature(handlers.answer).parameters.items():
        given.setdefault(name, stand_in(parameter.annotation))
    handlers.answer(**{name: given[name] for name in inspect.signature(handlers.answer).parameters})
    return broker


def stand_in(kind: Any) -> Any:
    """Settings as they are by default, an API object without its parts, or something that is not used."""
    if isinstance(kind, type) and issubclass(kind, CommonSettings):
        return kind()
    return object.__new__(kind) if isinstance(kind, type) and ".api." in kind.__module__ else Anything()


def calls(caller: str) -> Iterator[tuple[str, str, str]]:
    """Service, method and model of the answer of every `call(bus, "service", "method", request, Answer)`."""
    for path in sorted((ROOT / "services" / caller).glob("src/**/*.py")):
        text = path.read_text()
        if "call(" not in text:
            continue
        tree = ast.parse(text)
        imports = [each for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for each in node.names]
        names = {each.asname: each.name for each in imports if each.asname}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "call":
                _, service, method, _, answer = node.args
                assert isinstance(service, ast.Constant)
                assert isinstance(method, ast.Constant)
                model = ast.unparse(answer)
                yield str(service.value), str(method.value), names.get(model, model)


def test_each_method_has_one_row():
    assert len(METHOD) == len(METHODS)
    assert len({row.subject for row in METHODS}) == len(METHODS)
    services = {*SERVICES, *OPTIONAL_SERVICES}
    for row in METHODS:
        assert {row.service, *row.callers} <= services, row
        assert row.callers, row
        assert row.least in RANKS


NO_CHANGE = {
    "alarm.channels",
    "alarm.routes",
    "factory.preview",
    "health.audit",
    "ingest.device_messages",
    "ingest.disarm_environment",
    "ingest.rejected_causes",
    "ingest.rejected_check",
    "ingest.rejected_item",
    "ingest.rejected_list",
    "ingest.restart_environment",
    "logic.test",
    "logic.test_settings",
    "recorder.begin_import",
    "recorder.drop_import",
    "recorder.import_part",
    *(f"simulator.{name}" for name in ("list", "read", "heartbeat", "messages", "actuators", "factory")),
    *(f"simulator.{name}" for name in ("set_values", "clear_value")),
}
"""Requests of operators that read, that say what a mock measures (scripts do, many times a second), that a service
makes on its own account, or that are parts of one that is recorded."""


def test_each_change_that_somebody_may_ask_for_stands_in_the_audit():
    """Health writes the entries of its own methods in the transaction of the change."""
    changing = {f"{row.service}.{row.name}" for row in METHODS if row.least != "viewer" and row.service != "health"}
    audited = {f"{row.service}.{row.name}": row.audited for row in METHODS if row.audited is not None}
    assert set(audited) == changing - NO_CHANGE
    for name, change in audited.items():
        assert not change.before or (name.partition(".")[0], change.before) in METHOD, name
    actions = [change.action for change in audited.values()]
    assert len(set(actions)) == len(actions)


@pytest.mark.parametrize("service", OWNERS)
def test_a_service_answers_its_rows_with_their_models_and_roles(service: str):
    """`register` raises where a function is missing, is of no row, or has other models; the document shows the rest."""
    described = answering(service).document()
    whole = document("h", False)
    rows = {row.subject: row for row in METHODS if row.service == service}
    subjects = [channel["address"] for channel in described["channels"].values() if channel["address"]]
    assert sorted(subjects) == sorted(rows)
    for name, row in rows.items():
        text = next(each["description"] for each in described["channels"].values() if each["address"] == name)
        assert f"Least role: {row.least}." in text
        assert f"Least role: {row.least}." in whole["channels"][name]["description"]
        assert whole["operations"][f"answer_{name}"]["action"] == "receive"


@pytest.mark.parametrize("spec", CONSUMERS, ids=[spec.name for spec in CONSUMERS])
def test_what_a_durable_consumer_takes_is_described_with_its_model(spec: DurableConsumer):
    """As `/asyncapi` of its service has it, beside the gateway's document from the catalogue."""

    async def on_messages(batch: Sequence[Delivery]) -> Unreadable:
        return ()

    broker = Broker(Anything(), Service("trial"), CommonSettings())  # type: ignore[arg-type]
    broker.durable(Consumer(Anything(), spec))(on_messages)  # type: ignore[arg-type]
    described, whole = broker.document(), document("h", False)
    assert described["channels"]
    assert len(described["operations"]) == len(described["channels"])
    for operation in described["operations"].values():
        assert operation["action"] == "receive"
        channel = found(described, operation["channel"])
        begin = channel["address"].removesuffix(">")
        names = [name for name, each in whole["channels"].items() if f"{each['address']}.".startswith(begin)]
        [message] = channel["messages"].values()
        ours = found(described, found(described, message).get("payload", {}))
        theirs = [found(whole, whole["channels"][name]["messages"][name]["payload"]) for name in names]
        assert all(whole["operations"][f"consume_{name}"]["action"] == "receive" for name in names)
        assert (ours["title"], {*ours["properties"]}) in [
            (each.get("title"), {*each.get("properties", {})}) for each in theirs
        ]


def found(whole: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """A part of a document, looked up where it is a reference."""
    while "$ref" in part:
        reference, part = part["$ref"], whole
        for step in reference.removeprefix("#/").split("/"):
            part = part[step.replace("~1", "/").replace("~0", "~")]
    return part


@pytest.mark.parametrize("caller", sorted({*SERVICES, *OPTIONAL_SERVICES}))
def test_a_caller_reads_the_answer_by_the_model_of_the_row(caller: str):
    for service, method, answer in calls(caller):
        row = METHOD["ingest" if service == "ingest-factory" else service, method]
        assert caller in row.callers, row.subject
        assert answer == row.answer.__name__, row.subject


def test_a_row_without_a_function_ends_the_start():
    from kaiser_common.contract.rpc import Nothing
    from kaiser_common.runtime.wiring import register

    rows = [RpcMethod("trial", "read", Nothing, Nothing)]
    broker = Broker(Anything(), Service("trial"), CommonSettings())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"only in the catalogue or only in handlers\.py: read"):
        register(broker.rpc(), rows, {})

    async def read(request: Nothing, caller: Any) -> RpcMethod:
        raise AssertionError

    with pytest.raises(ValueError, match=r"rpc.trial.read has different models"):
        register(broker.rpc(), rows, {"read": read})
