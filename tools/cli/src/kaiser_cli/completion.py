"""Shell completion: the script that turns it on, and the completion of ids of devices, zones, alarms and causes."""

import os
from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem, get_completion_class
from kaiser_client import Kaiser, KaiserError
from kaiser_client.calls import alarms, devices, rejected, zones

from kaiser_cli import servers
from kaiser_cli.cause_texts import cause_text
from kaiser_cli.exits import WRONG_USE, Stopped

_VARIABLE = "_KAISER_COMPLETE"
_MOST = 100

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
Offer = Callable[[Kaiser, str], Iterable[tuple[str, str | None]]]
"""The ids that may begin so, each with what it is."""


def _completer(offer: Offer) -> Completer:
    """Completes from what the server knows; offers nothing where the server does not say, or nobody is signed in."""

    def complete(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        path = servers.file_of(os.environ)
        try:
            url = servers.url_of(context.params.get("server") or os.environ.get("KAISER_URL"), servers.read(path))
            with Kaiser(url, token=servers.tokens_at(path, url)) as kaiser:
                found = list(offer(kaiser, incomplete))
        except (KaiserError, Stopped):
            return []
        return [CompletionItem(name, help=what) for name, what in found if name.startswith(incomplete)]

    return complete


def _devices(kaiser: Kaiser, begun: str) -> Iterable[tuple[str, str | None]]:
    page = kaiser.ask(devices.list_devices(text=begun or None, limit=_MOST))
    return [(one.esp_id, one.name) for one in page.items]


def _zones(kaiser: Kaiser, _begun: str) -> Iterable[tuple[str, str | None]]:
    return [(one.zone_id, one.name) for one in kaiser.ask(zones.list_zones()).items]


def _open_alarms(kaiser: Kaiser, _begun: str) -> Iterable[tuple[str, str | None]]:
    page = kaiser.ask(alarms.list_alarms(shown="open", limit=_MOST))
    return [(one.alarm_id, one.message) for one in page.items]


def _causes(kaiser: Kaiser, _begun: str) -> Iterable[tuple[str, str | None]]:
    page = kaiser.ask(rejected.list_causes(limit=_MOST))
    return [(cause_text(one), f"{one.count} messages") for one in page.items]


complete_device, complete_zone = _completer(_devices), _completer(_zones)
complete_alarm, complete_cause = _completer(_open_alarms), _completer(_causes)

DEVICE = click.argument("esp_id", metavar="DEVICE", shell_complete=complete_device)
ZONE = click.argument("zone_id", metavar="ZONE", shell_complete=complete_zone)
ALARM = click.argument("alarm_id", metavar="ALARM", shell_complete=complete_alarm)
ALARMS = click.argument("alarm_ids", metavar="ALARM...", nargs=-1, required=True, shell_complete=complete_alarm)


@click.command(short_help="Completion for bash, zsh or fish.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script by which a shell completes commands, options, and the ids of devices, zones and alarms.

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
