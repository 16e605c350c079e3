"""Alarms: list, show, acknowledge, shelve, unshelve."""

import time
from itertools import islice
from typing import get_args

import click
from kaiser_client.calls import alarms as calls
from kaiser_common.contract.schemas.api.alarms import AcknowledgeBody, Alarm, AlarmsShown, ShelveBody
from kaiser_common.contract.schemas.event import AlarmSeverity

from kaiser_cli.asking import options, signed_in
from kaiser_cli.completion import ALARM, ALARMS, complete_device
from kaiser_cli.output import at, show_facts, show_json, show_table
from kaiser_cli.times import duration

_MOST = 10_000

NOTE = click.option("--note", default="", help="Why; kept with the alarm.")


@click.group(invoke_without_command=True, short_help="What is wrong now, or was; acknowledge and shelve it.")
@click.option("--shown", type=click.Choice(get_args(AlarmsShown)), default="open", show_default=True, help="Which.")
@click.option("--severity", type=click.Choice(get_args(AlarmSeverity)), help="Only those of a severity.")
@click.option("--device", "esp_id", shell_complete=complete_device, help="Only those of a device.")
@click.option("--limit", type=click.IntRange(1, _MOST), default=100, show_default=True, help="How many.")
@options
@click.pass_context
def alarms(
    context: click.Context,
    shown: AlarmsShown,
    severity: AlarmSeverity | None,
    esp_id: str | None,
    limit: int,
    server: str | None,
    as_json: bool,
) -> None:
    """List alarms, the newest first; the commands below change one.

    \b
    Examples:
      kaiser alarms
      kaiser alarms --severity critical --json
      kaiser alarms ack 4f1c2a9be07d3358 --note "the valve is being repaired"
      kaiser alarms shelve 4f1c2a9be07d3358 --for 1h
    """
    if context.invoked_subcommand is not None:
        return
    with signed_in(server) as kaiser:
        asked = calls.list_alarms(shown=shown, severity=severity, esp_id=esp_id, limit=min(limit, 1000))
        found = list(islice(kaiser.each(asked), limit))
    if as_json:
        for one in found:
            show_json(one)
        return
    rows = [(one.alarm_id, at(one.last_raised_at), one.severity, state_of(one), one.message) for one in found]
    show_table(("alarm", "raised", "severity", "state", "what"), rows, "no alarm")


@alarms.command("show")
@ALARM
@options
def show_alarm(alarm_id: str, server: str | None, as_json: bool) -> None:
    """An alarm with its steps: what happened, when, by whom.

    \b
    Example:
      kaiser alarms show 4f1c2a9be07d3358
    """
    with signed_in(server) as kaiser:
        found = kaiser.ask(calls.read_alarm(alarm_id))
    if as_json:
        show_json(found)
        return
    alarm = found.alarm
    show_facts(
        (
            ("alarm", alarm.alarm_id),
            ("what", alarm.message),
            ("severity", alarm.severity),
            ("state", state_of(alarm)),
            ("device", alarm.esp_id),
            ("times", alarm.times),
        )
    )
    show_table(
        ("at", "step", "by", "note"), [(at(one.at), one.what, one.by, one.note) for one in found.steps], "no step"
    )


@alarms.command("ack", short_help="Acknowledge alarms: somebody sees to them.")
@ALARMS
@NOTE
@options
def acknowledge(alarm_ids: tuple[str, ...], note: str, server: str | None, as_json: bool) -> None:
    """Acknowledge alarms: everybody sees that somebody sees to them, and nobody is notified again.

    \b
    Examples:
      kaiser alarms ack 4f1c2a9be07d3358
      kaiser alarms --json | jq -r .alarm_id | xargs kaiser alarms ack
    """
    with signed_in(server) as kaiser:
        done = [kaiser.ask(calls.acknowledge_alarm(each, AcknowledgeBody(note=note))) for each in alarm_ids]
    _tell(done, as_json)


@alarms.command("shelve", short_help="Keep alarms silent for some time.")
@ALARMS
@click.option("--for", "for_s", type=duration, default="1h", show_default=True, help="How long, at most 30d.")
@NOTE
@options
def shelve(alarm_ids: tuple[str, ...], for_s: float, note: str, server: str | None, as_json: bool) -> None:
    """Keep alarms silent for some time, from a minute to 30 days; afterwards they are back on their own.

    \b
    Example:
      kaiser alarms shelve 4f1c2a9be07d3358 --for 8h --note "the pump is being repaired"
    """
    body = ShelveBody.model_construct(for_s=int(for_s), note=note)
    with signed_in(server) as kaiser:
        done = [kaiser.ask(calls.shelve_alarm(each, body)) for each in alarm_ids]
    _tell(done, as_json)


@alarms.command("unshelve")
@ALARMS
@options
def unshelve(alarm_ids: tuple[str, ...], server: str | None, as_json: bool) -> None:
    """End the silence of alarms.

    \b
    Example:
      kaiser alarms unshelve 4f1c2a9be07d3358
    """
    with signed_in(server) as kaiser:
        done = [kaiser.ask(calls.unshelve_alarm(each)) for each in alarm_ids]
    _tell(done, as_json)


def state_of(alarm: Alarm) -> str:
    """The state of an alarm, and until when it is shelved."""
    is_shelved = alarm.shelved_until is not None and alarm.shelved_until > time.time() * 1000
    return f"{alarm.state}, shelved until {at(alarm.shelved_until)}" if is_shelved else alarm.state


def _tell(alarms: list[Alarm], as_json: bool) -> None:
    for one in alarms:
        if as_json:
            show_json(one)
        else:
            click.echo(f"{one.alarm_id}: {state_of(one)}: {one.message}")
