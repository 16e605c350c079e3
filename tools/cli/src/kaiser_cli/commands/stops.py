"""Emergency stops: stop, and clear."""

import time
from collections.abc import Iterable, Sequence

import click
from kaiser_client import Kaiser
from kaiser_client.calls import actuators as calls
from kaiser_common.contract.bounds import MAX_GPIO
from kaiser_common.contract.schemas.api.actuators import (
    Actuator,
    ClearEmergency,
    Emergency,
    EmergencyStop,
)

from kaiser_cli.asking import options, signed_in
from kaiser_cli.completion import complete_device
from kaiser_cli.exits import UNCONFIRMED, WRONG_USE, Stopped
from kaiser_cli.output import at, show_json, show_table
from kaiser_cli.times import duration

_PAUSE_S = 0.25
_MOST_IDS = 1000
"""Stops that one request names at most."""

TARGET = click.argument("esp_id", metavar="[DEVICE]", required=False, shell_complete=complete_device)
PIN = click.argument("gpio", required=False, type=click.IntRange(0, MAX_GPIO))


@click.command()
@TARGET
@PIN
@click.option("--all", "everything", is_flag=True, help="Stop every actuator of every device.")
@click.option("--reason", default="emergency stop by an operator", help="Why; everybody sees it.")
@click.option("--wait", "wait_s", type=duration, default="15s", show_default=True, help="Longest wait for the devices.")
@options
def stop(
    esp_id: str | None,
    gpio: int | None,
    everything: bool,
    reason: str,
    wait_s: float,
    server: str | None,
    as_json: bool,
) -> None:
    """Stop an actuator, a device, or with --all everything, at once.

    Waits until each actuator has reported that it is off. Exit status: 0 all have, 3 not all have: the stop stays in
    force and is sent to them again when they are back; 1 the stop was refused.

    \b
    Examples:
      kaiser stop ESP_0A1B2C3D 25
      kaiser stop ESP_0A1B2C3D --reason "water on the floor"
      kaiser stop --all
    """
    _need_one(esp_id, everything, "stop")
    body = EmergencyStop.model_construct(esp_id=esp_id, gpio=gpio, reason=reason)
    with signed_in(server) as kaiser:
        raised = _of_target(kaiser.ask(calls.raise_emergency_stop(body)).items, esp_id, gpio)
        since = max((one.raised_at for one in raised), default=0)
        targets = _until_off(kaiser, esp_id, gpio, since, wait_s)
    on = [one for one in targets if not is_off(one, since)]
    confirmed = bool(targets) and not on
    if as_json:
        show_json(
            {
                "stops": [one.model_dump() for one in raised],
                "confirmed": confirmed,
                "actuators": [
                    {"esp_id": one.esp_id, "gpio": one.gpio, "confirmed": is_off(one, since), "known": one.known}
                    for one in targets
                ],
            }
        )
    else:
        _report(targets, on)
    if not confirmed:
        raise SystemExit(UNCONFIRMED)


@click.command(short_help="End an emergency stop; nothing is switched on by it.")
@TARGET
@PIN
@click.option("--all", "everything", is_flag=True, help="Clear the stop of everything.")
@click.option("--unconfirmed", is_flag=True, help="Clear the stop of each device that did not confirm its last clear.")
@click.option("--list", "only_list", is_flag=True, help="Only show the stops in force.")
@click.option("--reason", default="cleared by an operator", help="Why; kept in the history.")
@options
def clear(
    esp_id: str | None,
    gpio: int | None,
    everything: bool,
    unconfirmed: bool,
    only_list: bool,
    reason: str,
    server: str | None,
    as_json: bool,
) -> None:
    """Allow commands again after a stop; nothing is switched on by it.

    Clears the stops that were in force when you called it: one that was raised meanwhile stays. Waits until the device
    has confirmed.

    \b
    Examples:
      kaiser clear --list
      kaiser clear ESP_0A1B2C3D
      kaiser clear --all
      kaiser clear --unconfirmed
    """
    if not only_list:
        _need_one(esp_id, everything or unconfirmed, "clear")
    with signed_in(server) as kaiser:
        if only_list:
            _list([*kaiser.each(calls.list_emergency_stops(esp_id=esp_id))], as_json)
            return
        of_what = "devices that did not confirm their clear" if unconfirmed else _name(esp_id, gpio)
        in_force = kaiser.each(calls.list_emergency_stops(esp_id=esp_id))
        if unconfirmed:
            seen = [one for one in in_force if one.not_cleared is not None][:_MOST_IDS]
        else:
            seen = _of_target(in_force, esp_id, gpio)
        if not seen:
            raise Stopped(f"no stop of {of_what} is in force", hint="those in force: kaiser clear --list")
        body = ClearEmergency.model_construct(
            esp_id=esp_id,
            gpio=gpio,
            reason=reason,
            all=everything or unconfirmed,
            unconfirmed=unconfirmed,
            ids=[one.emergency_id for one in seen],
        )
        left = kaiser.ask(calls.clear_emergency_stop(body))
    if as_json:
        show_json(left)
    else:
        click.echo(f"the stop of {of_what} is cleared; stops still in force: {left.total}")


def is_off(actuator: Actuator, since_ms: int) -> bool:
    """Whether an actuator has reported since then that it is off."""
    return actuator.known and actuator.state is False and (actuator.reported_at or 0) >= since_ms


def _need_one(esp_id: str | None, everything: bool, verb: str) -> None:
    if (esp_id is not None) == everything:
        hint = f"kaiser {verb} DEVICE, kaiser {verb} DEVICE GPIO, or kaiser {verb} --all"
        raise Stopped("name a device or say --all, not both" if esp_id else f"{verb} what?", WRONG_USE, hint)


def _of_target(stops: Iterable[Emergency], esp_id: str | None, gpio: int | None) -> list[Emergency]:
    return [one for one in stops if (one.esp_id, one.gpio) == (esp_id, gpio)]


def _until_off(kaiser: Kaiser, esp_id: str | None, gpio: int | None, since_ms: int, wait_s: float) -> list[Actuator]:
    """The actuators that are stopped, once all have reported off, or the time is over."""
    deadline = time.monotonic() + wait_s
    while True:
        found = [one for one in kaiser.each(calls.list_actuators(esp_id=esp_id)) if gpio in (None, one.gpio)]
        if all(is_off(one, since_ms) for one in found) or time.monotonic() >= deadline:
            return found
        time.sleep(_PAUSE_S)


def _report(targets: Sequence[Actuator], on: Sequence[Actuator]) -> None:
    if not targets:
        click.echo("the stop is in force; no actuator there is known, so nothing has confirmed it", err=True)
        return
    click.echo(
        f"the stop is in force; {len(targets) - len(on)} of {len(targets)} actuators have confirmed that they are off"
    )
    for one in on:
        why = "its device is offline" if not one.known else "it has not reported yet"
        click.echo(
            f"  not confirmed: {one.esp_id} gpio {one.gpio}{f' ({one.name})' if one.name else ''}: {why}", err=True
        )


def _list(items: Sequence[Emergency], as_json: bool) -> None:
    if as_json:
        for one in items:
            show_json(one)
        return
    rows = [
        (_name(one.esp_id, one.gpio), one.reason, one.raised_by, at(one.raised_at), one.not_cleared or "")
        for one in items
    ]
    show_table(("of", "reason", "by", "at", "last clear"), rows, "no emergency stop is in force")


def _name(esp_id: str | None, gpio: int | None) -> str:
    if esp_id is None:
        return "everything"
    return esp_id if gpio is None else f"{esp_id} gpio {gpio}"
