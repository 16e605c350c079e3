"""Shell completion: the script that turns it on, and the completion of device ids."""

import os

import click
from click.shell_completion import CompletionItem, get_completion_class
from kaiser_client import Kaiser, KaiserError
from kaiser_client.calls import devices

from kaiser_cli import servers
from kaiser_cli.exits import WRONG_USE, Stopped

_VARIABLE = "_KAISER_COMPLETE"
_MOST = 100


def complete_device(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The ids of devices that begin so; none where the server does not say."""
    path = servers.file_of(os.environ)
    try:
        url = servers.url_of(context.params.get("server") or os.environ.get("KAISER_URL"), servers.read(path))
        with Kaiser(url, token=servers.tokens_at(path, url)) as kaiser:
            page = kaiser.ask(devices.list_devices(text=incomplete or None, limit=_MOST))
    except (KaiserError, Stopped):
        return []
    return [CompletionItem(one.esp_id, help=one.name) for one in page.items if one.esp_id.startswith(incomplete)]


DEVICE = click.argument("esp_id", metavar="DEVICE", shell_complete=complete_device)


@click.command(short_help="Completion for bash, zsh or fish.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script by which a shell completes commands, options and the ids of devices.

    \b
    Examples:
      echo 'eval "$(kaiser completion bash)"' >> ~/.bashrc
      echo 'eval "$(kaiser completion zsh)"' >> ~/.zshrc
      kaiser completion fish > ~/.config/fish/completions/kaiser.fish
    """
    found = get_completion_class(shell)
    if found is None:
        raise Stopped(f"there is no completion for {shell}", WRONG_USE)
    click.echo(found(context.find_root().command, {}, "kaiser", _VARIABLE).source())
