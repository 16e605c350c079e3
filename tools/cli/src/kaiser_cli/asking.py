"""Shared by all commands: the options --server and --json, the signed-in client, and error messages with a hint."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click
from kaiser_client import ApiProblem, Kaiser, KaiserError, NotSignedIn, ServerAway
from kaiser_common.contract.errors import Code

from kaiser_cli import servers
from kaiser_cli.exits import AWAY, FAILED, SIGN_IN, Stopped

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def options(command: CommandT) -> CommandT:
    """--server and --json, which every command has."""
    command = click.option(
        "--json", "as_json", is_flag=True, help="Print JSON for programs: an object, or one a line of a list."
    )(command)
    return click.option(
        "--server",
        envvar="KAISER_URL",
        metavar="URL|NAME",
        help="The server; by default KAISER_URL, else the one of the last `kaiser login`.",
    )(command)


def url_of(server: str | None) -> str:
    """The address of the server that is meant."""
    return servers.url_of(server, servers.read(servers.file_of(os.environ)))


@contextmanager
def signed_in(server: str | None) -> Iterator[Kaiser]:
    """The server, with the token of this person's sign-in; its errors become those of the command line."""
    url = url_of(server)
    with Kaiser(url, token=servers.tokens_at(servers.file_of(os.environ), url)) as kaiser, explained(url):
        yield kaiser


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Say of an error of the server what it means here, and what to do."""
    try:
        yield
    except ServerAway as error:
        raise Stopped(str(error), AWAY, "is it running? another one: --server URL, or KAISER_URL") from error
    except NotSignedIn as error:
        raise Stopped(f"your sign-in at {url} has ended: {error}", SIGN_IN, f"sign in: kaiser login {url}") from error
    except ApiProblem as error:
        status = SIGN_IN if error.status == 403 else FAILED
        code = f" (code {error.code})" if error.code else ""
        raise Stopped(f"{error.detail}{code}", status, hint_of(error)) from error
    except KaiserError as error:
        raise Stopped(str(error)) from error


def hint_of(problem: ApiProblem) -> str:
    """A hint how to solve a problem; empty if the text says enough."""
    if problem.status == 423:
        return "see the stops: kaiser clear --list; allow commands again: kaiser clear"
    if problem.code == Code.ESP_OFFLINE:
        return "--queue keeps a command until the device is back"
    if problem.code == Code.INVALID_GPIO and problem.status == 404 and "actuator" in problem.detail:
        return "the known ones: kaiser actuators"
    if problem.code == Code.ESP_DEVICE_NOT_FOUND and problem.status == 404:
        return "the known ones: kaiser devices"
    if problem.status in (503, 504) and problem.detail.startswith("service "):
        return "what is down: kaiser doctor"
    if problem.status == 403:
        return "sign in as somebody with that role: kaiser login --user NAME"
    return ""
