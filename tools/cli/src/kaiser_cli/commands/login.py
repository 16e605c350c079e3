"""Sign in and out, and the servers that are known."""

import os
import sys
import time
from typing import Any

import click
from kaiser_client import Kaiser, KaiserError, NotSignedIn
from kaiser_client.calls import sign_in

from kaiser_cli import servers
from kaiser_cli.asking import explained, options
from kaiser_cli.exits import SIGN_IN, Stopped
from kaiser_cli.output import at, show_json, show_table


@click.command()
@click.argument("url", required=False)
@click.option("--user", "-u", help="The user's name; asked for where it is not given.")
@click.option("--name", default="", help="A short name for this server, for --server.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input, for scripts.")
@options
def login(
    url: str | None, user: str | None, name: str, password_stdin: bool, server: str | None, as_json: bool
) -> None:
    """Sign in at a server, which is asked from then on.

    The tokens are kept in ~/.config/kaiser/servers.json, which only you may read; the password is not.

    \b
    Examples:
      kaiser login http://127.0.0.1:8000 --user admin
      kaiser login https://kaiser.example.org --name plant
      cat password | kaiser login --user admin --password-stdin
    """
    path = servers.file_of(os.environ)
    known = servers.read(path)
    address = servers.url_of(url or server, known)
    earlier = known.find(address)
    who = user or click.prompt("User", default=earlier.user if earlier else "admin", err=True)
    if password_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = click.prompt(f"Password of {who} at {address}", hide_input=True, err=True)
    with Kaiser(address) as kaiser, explained(address):
        try:
            tokens = kaiser.sign_in(who, password)
        except NotSignedIn as error:
            raise Stopped(f"{address} has not let {who} in: {error}", SIGN_IN) from error
    short = name or (earlier.name if earlier else "")
    with servers.locked(path):
        found = servers.KnownServer(url=address, name=short, user=who, tokens=tokens)
        servers.write(path, servers.read(path).with_server(found, current=True))
    if as_json:
        show_json({"url": address, "user": who, "role": tokens.role})
    else:
        click.echo(f"signed in at {address} as {who} ({tokens.role})")


@click.command()
@options
def logout(server: str | None, as_json: bool) -> None:
    """End the sign-in at a server, and forget its tokens.

    \b
    Examples:
      kaiser logout
      kaiser logout --server plant
    """
    path = servers.file_of(os.environ)
    address = servers.url_of(server, servers.read(path))
    with servers.locked(path):
        known = servers.read(path)
        found = known.find(address)
        if found is None:
            raise Stopped(f"you are not signed in at {address}", SIGN_IN)
        servers.write(path, known.without(address))
    ended = True
    try:
        with Kaiser(address) as kaiser:
            kaiser.ask(sign_in.sign_out(found.tokens.refresh_token))
    except KaiserError:
        ended = False
    if as_json:
        show_json({"url": address, "ended": ended})
    else:
        click.echo(f"signed out at {address}" if ended else f"{address} did not answer; its tokens are forgotten here")


@click.command("servers")
@options
def list_servers(server: str | None, as_json: bool) -> None:
    """The servers at which you are signed in.

    \b
    Examples:
      kaiser servers
      kaiser devices --server plant
    """
    known = servers.read(servers.file_of(os.environ))
    shown = [one for one in known.servers if server is None or server in (one.name, one.url)]
    if as_json:
        for one in shown:
            show_json(_facts(one, known.current))
        return
    rows = [
        ("*" if one.url == known.current else "", one.name, one.url, one.user, one.tokens.role, _expiry(one))
        for one in shown
    ]
    show_table(("", "name", "url", "user", "role", "token"), rows, "none yet: kaiser login URL")


def _facts(one: servers.KnownServer, current: str) -> dict[str, Any]:
    return {
        "url": one.url,
        "name": one.name,
        "user": one.user,
        "role": one.tokens.role,
        "current": one.url == current,
        "expires_at": int(one.tokens.expires_at * 1000),
    }


def _expiry(one: servers.KnownServer) -> str:
    if one.tokens.are_due(time.time()):
        return "renewed at its next use"
    return f"until {at(int(one.tokens.expires_at * 1000))}"
