"""Users: list, create or change, delete."""

import sys

import click
from kaiser_client.calls import users as calls

from kaiser_cli.asking import options, signed_in
from kaiser_cli.output import show_json, show_table


@click.group(invoke_without_command=True)
@options
@click.pass_context
def users(context: click.Context, server: str | None, as_json: bool) -> None:
    """List users; the commands below change one. Needs the role admin.

    \b
    Examples:
      kaiser users
      kaiser users set grace --role operator
      kaiser users delete grace
    """
    if context.invoked_subcommand is not None:
        return
    with signed_in(server) as kaiser:
        found = list(kaiser.each(calls.list_users()))
    if as_json:
        for one in found:
            show_json(one)
        return
    show_table(("user", "role"), [(one.username, one.role) for one in found], "no user")


@users.command("set")
@click.argument("username")
@click.option("--role", required=True, type=click.Choice(["viewer", "operator", "admin"]), help="What the user may do.")
@click.option("--password-stdin", is_flag=True, help="Read a new password from standard input, for scripts.")
@click.option("--keep-password", is_flag=True, help="Change the role of an existing user only.")
@options
def set_user(
    username: str,
    role: calls.UserRole,
    password_stdin: bool,
    keep_password: bool,
    server: str | None,
    as_json: bool,
) -> None:
    """Create a user, or change role and password; sign-ins of that user end.

    \b
    Examples:
      kaiser users set grace --role operator
      kaiser users set grace --role viewer --keep-password
    """
    if password_stdin:
        password: str | None = sys.stdin.readline().rstrip("\n")
    elif keep_password:
        password = None
    else:
        prompt = f"New password of {username}"
        password = click.prompt(prompt, hide_input=True, confirmation_prompt=True, err=True)
    with signed_in(server) as kaiser:
        user = kaiser.ask(calls.put_user(username, role, password))
    if as_json:
        show_json(user)
    else:
        click.echo(f"{user.username} has the role {user.role}")


@users.command("delete")
@click.argument("username")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options
def delete_user(username: str, yes: bool, server: str | None, as_json: bool) -> None:
    """Delete a user; sign-ins of that user end.

    \b
    Example:
      kaiser users delete grace --yes
    """
    if not yes:
        click.confirm(f"Delete the user {username}?", abort=True, err=True)
    with signed_in(server) as kaiser:
        kaiser.ask(calls.delete_user(username))
    if as_json:
        show_json({"username": username, "deleted": True})
    else:
        click.echo(f"{username} is deleted")
