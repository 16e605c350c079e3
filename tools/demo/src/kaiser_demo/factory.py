"""Starts the mock factory of a YAML file in a running stack, in the environment of kind mock, or ends it again."""

import time
from collections.abc import Callable
from typing import Any

from kaiser_common.contract.errors import Code
from kaiser_stack.errors import NotReadyError, SetupError

from kaiser_demo.rest import Rest, RestRefused

Say = Callable[[str], None]

_MOCK_FACTORY = "/api/v1/debug/mock-factory"
_ENVIRONMENT = "/api/v1/factory/environment"
_WITHIN_S = 90.0
_ASK_EVERY_S = 0.5
_NOT_YET = (502, 503, 504)
_SANDBOXED = ("mock", "replay")


def load(rest: Rest, factory: dict[str, Any], say: Say) -> None:
    """Switch to the environment `mock`, make the factory, and wait until its machines show. SetupError: the stack does
    not speak the factory's dialect, or refuses the file; NotReadyError: not within a minute and a half."""
    began = time.monotonic()
    if _environment(rest)["kind"] != "mock":
        say("switching to the environment mock, on the sandbox broker")
        rest.ask("POST", _ENVIRONMENT, {"profile": "mock"})
    made = _make(rest, factory, began)
    say("the mock factory runs" if made else "the mock factory was there already")
    serials = rest.ask("GET", _MOCK_FACTORY)
    wanted = {*serials["modules"], *serials["agvs"]}
    while not wanted <= _shown(rest):
        _wait(began, "the machines of the factory do not show")
    say(f"{len(wanted)} machines show after {time.monotonic() - began:.0f} s")
    say(f"watch them at {rest.http_url}/#/factory")


def remove(rest: Rest, say: Say) -> None:
    """End the factory and go back to the environment that is no mock; what the factory sent stays stored."""
    try:
        rest.ask("DELETE", _MOCK_FACTORY)
        say("the mock factory is removed")
    except RestRefused as error:
        say(f"there is no mock factory to remove: {error}")
    environment = _environment(rest)
    back = next((name for name in environment["profiles"] if name not in _SANDBOXED), None)
    if environment["kind"] == "mock" and back is not None:
        rest.ask("POST", _ENVIRONMENT, {"profile": back})
        say(f"back in the environment {back}")


def _environment(rest: Rest) -> Any:
    began = time.monotonic()
    while True:
        try:
            return rest.ask("GET", _ENVIRONMENT)
        except RestRefused as error:
            if error.status not in _NOT_YET:
                text = "this stack does not speak the factory's dialect: end it and start it with `make run FACTORY=1`"
                raise SetupError(text) from error
        _wait(began, "the environment of the factory is not known")


def _make(rest: Rest, factory: dict[str, Any], began: float) -> bool:
    """Whether it was made; False: there was one. The simulator follows the switch within a moment."""
    while True:
        try:
            rest.ask("POST", _MOCK_FACTORY, factory)
        except RestRefused as error:
            if error.code == Code.DUPLICATE_ENTRY:
                return False
            if error.status not in (409, *_NOT_YET):
                raise SetupError(f"the mock factory was refused: {error}") from error
            _wait(began, f"the mock factory was not taken: {error}")
        else:
            return True


def _shown(rest: Rest) -> set[str]:
    try:
        rows = rest.ask("GET", "/api/v1/factory/modules")["items"]
    except RestRefused:
        return set()
    return {row["serial"] for row in rows if row["connection"] == "ONLINE"}


def _wait(began: float, what: str) -> None:
    if time.monotonic() - began > _WITHIN_S:
        raise NotReadyError(f"{what} after {_WITHIN_S:g} s: try again")
    time.sleep(_ASK_EVERY_S)
