"""A command to an actuator, followed to its end."""

import secrets
import time

import click
from kaiser_client import Kaiser
from kaiser_client.calls import actuators as calls
from kaiser_common.contract.bounds import MAX_GPIO
from kaiser_common.contract.schemas.api.actuators import OPEN_STATES, CommandRequest, CommandStatus

from kaiser_cli.asking import options, signed_in
from kaiser_cli.completion import DEVICE
from kaiser_cli.exits import FAILED, UNCONFIRMED, WRONG_USE, Stopped
from kaiser_cli.output import show_json
from kaiser_cli.times import duration

_PAUSE_S = 0.25
_USUAL_S = 60
"""For how long an actuator is switched on if nothing is said, as in the console."""


@click.command()
@DEVICE
@click.argument("gpio", type=click.IntRange(0, MAX_GPIO))
@click.argument("what", metavar="ON|OFF|TOGGLE|PWM", type=click.Choice(["ON", "OFF", "TOGGLE", "PWM"], False))
@click.option("--value", type=click.FloatRange(0, 1), help="The share of a PWM, 0 to 1.")
@click.option("--for", "for_s", type=duration, help="Switch off after this time, such as 30s or 10m; default: 60s.")
@click.option("--until-further-notice", "open_end", is_flag=True, help="Switch it on without an end.")
@click.option("--reason", help="Why; kept with the command.")
@click.option("--queue", is_flag=True, help="Keep the command for a device that is offline.")
@click.option("--wait", "wait_s", type=duration, default="20s", show_default=True, help="Longest wait for the device.")
@options
def command(
    esp_id: str,
    gpio: int,
    what: str,
    value: float | None,
    for_s: float | None,
    open_end: bool,
    reason: str | None,
    queue: bool,
    wait_s: float,
    server: str | None,
    as_json: bool,
) -> None:
    """Switch an actuator, and wait until its device has answered.

    ON, PWM and TOGGLE end after 60 s; say --for another time, or --until-further-notice.

    Exit status: 0 the device has done it, 1 refused or failed, 3 not confirmed in time.

    \b
    Examples:
      kaiser command ESP_0A1B2C3D 25 on --for 30s
      kaiser command ESP_0A1B2C3D 25 on --until-further-notice
      kaiser command ESP_0A1B2C3D 25 off
      kaiser command ESP_0A1B2C3D 26 pwm --value 0.4
    """
    if what == "PWM" and value is None:
        raise Stopped("PWM needs a value", WRONG_USE, "such as --value 0.4")
    body = CommandRequest.model_construct(
        command=what, value=value, duration_s=duration_of(what, for_s, open_end), reason=reason, queue=queue
    )
    with signed_in(server) as kaiser:
        sent = kaiser.ask(calls.send_command(esp_id, gpio, body, idempotency_key=secrets.token_hex(8)))
        ended = _followed(kaiser, sent, wait_s)
    if as_json:
        show_json(ended)
    else:
        click.echo(sentence_of(ended))
    if ended.state in OPEN_STATES or ended.state == "expired":
        raise SystemExit(UNCONFIRMED)
    if ended.state != "acknowledged":
        raise SystemExit(FAILED)


def duration_of(what: str, for_s: float | None, open_end: bool) -> int:
    """The time in s after which the actuator is switched off, 0 for none. for_s: None if no time was asked for.
    Stopped: the options contradict each other, or the time is below a second."""
    if open_end and for_s is not None:
        raise Stopped("--for and --until-further-notice exclude each other", WRONG_USE)
    if what == "OFF" or open_end:
        return 0
    duration_s = _USUAL_S if for_s is None else round(for_s)
    if duration_s < 1:
        raise Stopped("--for needs a second or more", WRONG_USE, "or --until-further-notice")
    return duration_s


def _followed(kaiser: Kaiser, status: CommandStatus, wait_s: float) -> CommandStatus:
    deadline = time.monotonic() + wait_s
    while status.state in OPEN_STATES and time.monotonic() < deadline:
        time.sleep(_PAUSE_S)
        status = kaiser.ask(calls.read_command(status.command_id))
    return status


def sentence_of(status: CommandStatus) -> str:
    """How a command stands, in one sentence."""
    place = f"{status.command} to gpio {status.gpio} of {status.esp_id}"
    said = ": ".join(text for text in (status.state_reason, status.message) if text)
    match status.state:
        case "acknowledged":
            return f"{place}: done by the device"
        case "queued" | "sent":
            why = said or "the device has not answered yet"
            return f"{place}: {status.state}, {why} (command {status.command_id})"
        case _:
            return f"{place}: {status.state}{f', {said}' if said else ''}"
