"""Rejected messages: why they were rejected, and replaying them."""

from itertools import islice

import click
from kaiser_client import ApiProblem, Kaiser
from kaiser_client.calls import rejected as calls
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.api.rejected import CauseItem, CausesPage, RejectedCause, RejectedItem

from kaiser_cli.asking import options, signed_in
from kaiser_cli.cause_texts import cause_of, cause_text
from kaiser_cli.completion import complete_cause, complete_device
from kaiser_cli.exits import FAILED, WRONG_USE, Stopped
from kaiser_cli.output import at, show_json, show_table

_MOST = 10_000
_SHOWN = 20


@click.command(short_help="Messages that were not taken, each with its reason.")
@click.option("--device", "esp_id", shell_complete=complete_device, help="Only those of a device.")
@click.option("--code", type=int, help="Only those with an error code.")
@click.option("--limit", type=click.IntRange(1, _MOST), default=50, show_default=True, help="How many.")
@click.option("--groups", is_flag=True, help="The causes and how many messages each has, instead of each message.")
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
        if groups:
            _show_causes(kaiser.ask(calls.list_causes(code=code, esp_id=esp_id, limit=min(limit, 1000))), as_json)
            return
        found = list(islice(kaiser.each(calls.list_rejected(esp_id=esp_id, code=code, limit=1000)), limit))
    if as_json:
        for item in found:
            show_json(item)
    else:
        rows = [(one.seq, at(one.received_at), one.esp_id, one.code, one.message, one.topic) for one in found]
        show_table(("seq", "at", "device", "code", "why", "topic"), rows, "nothing was rejected")


@click.command(short_help="Validate rejected messages again.")
@click.argument("seqs", metavar="[SEQ]...", nargs=-1, type=click.IntRange(1))
@click.option(
    "--cause", metavar="CODE[/FIELD[/SENDER]]", shell_complete=complete_cause, help="All of a cause, see --groups."
)
@click.option("--device", "esp_id", shell_complete=complete_device, help="All of a device.")
@click.option("--code", type=int, help="All with an error code.")
@options
def replay(
    seqs: tuple[int, ...], cause: str | None, esp_id: str | None, code: int | None, server: str | None, as_json: bool
) -> None:
    """Validate rejected messages again, as if they had just come: after their device was registered, say.

    All of a cause, a device or a code go oldest first, however many there are; Ctrl-C ends that between two
    steps, and the same command again goes on: nothing is stored twice.

    Exit status: 0 all are taken now, 1 some are rejected still.

    \b
    Examples:
      kaiser replay 4711 4712
      kaiser replay --cause 5001/esp_id/ESP_0A1B2C3D
      kaiser replay --cause 5206//serial/SVR3QA2098
      kaiser replay --device ESP_0A1B2C3D
    """
    if sum((bool(seqs), cause is not None, esp_id is not None or code is not None)) != 1:
        raise Stopped(
            "replay which messages?",
            WRONG_USE,
            "kaiser replay SEQ…, or --cause, or --device and --code, for all of those",
        )
    with signed_in(server) as kaiser:
        if seqs:
            taken, refused = _each_alone(kaiser, seqs)
            count = len(refused)
        else:
            wanted = cause_of(cause) if cause is not None else RejectedCause(esp_id=esp_id, code=code)
            taken, count, refused = _all_of(kaiser, wanted, as_json)
    if as_json:
        show_json(
            {"published": taken, "rejected": count, "refused": [{"seq": seq, "why": why} for seq, why in refused]}
        )
    else:
        click.echo(f"{taken} messages are taken in, {count} are rejected still")
        for seq, why in refused[:_SHOWN]:
            click.echo(f"  {seq}: {why}", err=True)
    if count:
        raise SystemExit(FAILED)


def remedy(item: RejectedItem | CauseItem) -> str:
    """The command that lets such messages in; empty where the message itself is wrong."""
    if item.code == Code.ESP_DEVICE_NOT_FOUND and item.esp_id:
        return f"kaiser devices register {item.esp_id}, or approve it, then: kaiser replay --device {item.esp_id}"
    return ""


def _each_alone(kaiser: Kaiser, seqs: tuple[int, ...]) -> tuple[int, list[tuple[int, str]]]:
    """How many messages are taken in of these rejected ones, and which are rejected still."""
    taken = 0
    refused = []
    for seq in seqs:
        try:
            taken += kaiser.ask(calls.replay_rejected(seq)).published
        except ApiProblem as problem:
            if problem.status not in (404, 409, 422):
                raise
            refused.append((seq, f"{problem.detail} (code {problem.code})"))
    return taken, refused


def _all_of(kaiser: Kaiser, cause: RejectedCause, is_quiet: bool) -> tuple[int, int, list[tuple[int, str]]]:
    """The same of all messages of a cause; of those that are rejected still how many, and the first 20."""
    taken = count = 0
    refused: list[tuple[int, str]] = []
    for step in kaiser.replay(cause):
        taken += step.published
        count += step.refused
        refused += [(one.seq, f"{one.message} (code {one.code})") for one in step.refusals]
        if step.left and not is_quiet:
            click.echo(f"{'' if step.is_left_exact else 'at least '}{step.left} left", err=True)
    return taken, count, refused[:_SHOWN]


def _show_causes(page: CausesPage, as_json: bool) -> None:
    if as_json:
        for cause in page.items:
            show_json({**cause.model_dump(), "cause": cause_text(cause)})
    else:
        rows = [(one.count, cause_text(one), at(one.newest_at), one.message, remedy(one)) for one in page.items]
        show_table(("count", "cause", "newest at", "newest", "try"), rows, "nothing was rejected")
    if page.left_out:
        click.echo(f"{page.left_out} more causes are left out: see --limit", err=True)
    if not page.is_complete:
        click.echo(f"counted from {page.looked_at} messages, mostly the newest, and not from all", err=True)
