"""Rejected messages: why they were rejected, and replaying them."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice

import click
from kaiser_client import ApiProblem, Kaiser
from kaiser_client.calls import rejected as calls
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.api.rejected import RejectedItem

from kaiser_cli.asking import options, signed_in
from kaiser_cli.completion import complete_device
from kaiser_cli.exits import FAILED, WRONG_USE, Stopped
from kaiser_cli.output import at, show_json, show_table

_MOST = 10_000
"""Messages that are looked at for the groups, or replayed at once."""


@click.command(short_help="Messages that were not taken, each with its reason.")
@click.option("--device", "esp_id", shell_complete=complete_device, help="Only those of a device.")
@click.option("--code", type=int, help="Only those with an error code.")
@click.option("--limit", type=click.IntRange(1, _MOST), default=50, show_default=True, help="How many.")
@click.option("--groups", is_flag=True, help="How many of each device, code and field, instead of each message.")
@options
def rejected(esp_id: str | None, code: int | None, limit: int, groups: bool, server: str | None, as_json: bool) -> None:
    """Messages of the last seven days that were not taken, newest first, each with its reason.

    \b
    Examples:
      kaiser rejected
      kaiser rejected --groups
      kaiser rejected --device ESP_0A1B2C3D --json
    """
    with signed_in(server) as kaiser:
        found = list(islice(_each(kaiser, esp_id, code), _MOST if groups else limit))
    if groups:
        _show_groups(found, as_json)
    elif as_json:
        for item in found:
            show_json(item)
    else:
        rows = [(one.seq, at(one.received_at), one.esp_id, one.code, one.message, one.topic) for one in found]
        show_table(("seq", "at", "device", "code", "why", "topic"), rows, "nothing was rejected")


@click.command(short_help="Validate rejected messages again.")
@click.argument("seqs", metavar="[SEQ]...", nargs=-1, type=click.IntRange(1))
@click.option("--device", "esp_id", shell_complete=complete_device, help="All of a device.")
@click.option("--code", type=int, help="All with an error code.")
@options
def replay(seqs: tuple[int, ...], esp_id: str | None, code: int | None, server: str | None, as_json: bool) -> None:
    """Validate rejected messages again, as if they had just come: after their device was registered, say.

    Exit status: 0 all are taken now, 1 some are rejected still.

    \b
    Examples:
      kaiser replay 4711 4712
      kaiser replay --device ESP_0A1B2C3D
    """
    if bool(seqs) == (esp_id is not None or code is not None):
        raise Stopped("replay which messages?", WRONG_USE, "kaiser replay SEQ…, or --device or --code for all of those")
    taken = 0
    refused: list[tuple[int, str]] = []
    with signed_in(server) as kaiser:
        numbers = seqs or sorted(one.seq for one in islice(_each(kaiser, esp_id, code), _MOST))
        for seq in numbers:
            try:
                taken += kaiser.ask(calls.replay_rejected(seq)).published
            except ApiProblem as problem:
                if problem.status not in (404, 409, 422):
                    raise
                refused.append((seq, f"{problem.detail} (code {problem.code})"))
    if as_json:
        show_json({"published": taken, "refused": [{"seq": seq, "why": why} for seq, why in refused]})
    else:
        click.echo(f"{taken} messages are taken in, {len(refused)} are rejected still")
        for seq, why in refused[:20]:
            click.echo(f"  {seq}: {why}", err=True)
    if refused:
        raise SystemExit(FAILED)


def remedy(item: RejectedItem) -> str:
    """The command that lets such messages in; empty where the message itself is wrong."""
    if item.code == Code.ESP_DEVICE_NOT_FOUND and item.esp_id:
        return f"kaiser devices register {item.esp_id}, or approve it, then: kaiser replay --device {item.esp_id}"
    return ""


def _each(kaiser: Kaiser, esp_id: str | None, code: int | None) -> Iterator[RejectedItem]:
    return kaiser.each(calls.list_rejected(esp_id=esp_id, code=code, limit=1000))


def _show_groups(found: list[RejectedItem], as_json: bool) -> None:
    newest = {(one.esp_id, one.code, one.field): one for one in reversed(found)}
    counted = Counter((one.esp_id, one.code, one.field) for one in found).most_common()
    if as_json:
        for (esp_id, code, field), count in counted:
            message = newest[esp_id, code, field].message
            show_json({"esp_id": esp_id, "code": code, "field": field, "count": count, "message": message})
        return
    rows = [(count, key[0], key[1], key[2], newest[key].message, remedy(newest[key])) for key, count in counted]
    show_table(("count", "device", "code", "field", "newest", "try"), rows, "nothing was rejected")
