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


@click.command()
@DEVICE
@click.argument("gpio", type=click.IntRange(0, MAX_GPIO))
@click.argument("what", metavar="ON|OFF|TOGGLE|PWM", type=click.Choice(["ON", "OFF", "TOGGLE", "PWM"], False))
@click.option("--value", type=click.FloatRange(0, 1), help="The share of a PWM, 0 to 1.")
@click.option("--for", "for_s", type=duration, default="0s", help="Switch off after this time, such as 30s or 10m.")
@click.option("--reason", help="Why; kept with the command.")
@click.option("--queue", is_flag=True, help="Keep the command for a device that is offline.")
@click.option("--wait", "wait_s", type=duration, default="20s", show_default=True, help="Longest wait for the device.")
@options
def command(
    esp_id: str,
    gpio: int,
    what: str,
    value: float | None,
    for_s: float,
    reason: str | None,
    queue: bool,
    wait_s: float,
    server: str | None,
    as_json: bool,
) -> None:
    """Switch an actuator, and wait until its device has answered.

    Exit status: 0 the device has done it, 1 refused or failed, 3 not confirmed in time.

    \b
    Examples:
      kaiser command ESP_0A1B2C3D 25 on --for 30s
      kaiser command ESP_0A1B2C3D 25 off
      kaiser command ESP_0A1B2C3D 26 pwm --value 0.4
    """
    if what == "PWM" and value is None:
        raise Stopped("PWM needs a value", WRONG_USE, "such as --value 0.4")
    body = CommandRequest.model_construct(
        command=what, value=value, duration_s=round(for_s), reason=reason, queue=queue
    )
    with signed_in(server) as kaiser:
        sent = kaiser.ask(calls.send_command(esp_id, gpio, body, idempotency_key=secrets.token_hex(8)))
        ended = _followed(kaiser, sent, wait_s)
    if as_json:
        show_json(ended)
    else:
        click.echo(_sentence(ended))
    if ended.state in OPEN_STATES or ended.state == "expired":
        raise SystemExit(UNCONFIRMED)
    if ended.state != "acknowledged":
        raise SystemExit(FAILED)


def _followed(kaiser: Kaiser, status: CommandStatus, wait_s: float) -> CommandStatus:
    deadline = time.monotonic() + wait_s
    while status.state in OPEN_STATES and time.monotonic() < deadline:
        time.sleep(_PAUSE_S)
        status = kaiser.ask(calls.read_command(status.command_id))
    return status


def _sentence(status: CommandStatus) -> str:
    place = f"{status.command} to gpio {status.gpio} of {status.esp_id}"
    said = ": ".join(text for text in (status.state_reason, status.message) if text)
    match status.state:
        case "acknowledged":
            return f"{place}: done by the device"
        case "queued" | "sent":
            return f"{place}: {status.state}, the device has not answered yet (command {status.command_id})"
        case _:
            return f"{place}: {status.state}{f', {said}' if said else ''}"
