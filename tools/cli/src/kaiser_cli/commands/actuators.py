"""The actuators of devices, each with its state."""

import click
from kaiser_client.calls import actuators as calls
from kaiser_common.contract.schemas.api.actuators import Actuator

from kaiser_cli.asking import options, signed_in
from kaiser_cli.completion import complete_device
from kaiser_cli.output import at, show_json, show_table


@click.command()
@click.option("--device", "esp_id", shell_complete=complete_device, help="Only the actuators of a device.")
@options
def actuators(esp_id: str | None, server: str | None, as_json: bool) -> None:
    """The actuators of devices, each with its state; `kaiser command` switches one by device and gpio.

    \b
    Examples:
      kaiser actuators
      kaiser actuators --device ESP_0A1B2C3D --json
    """
    with signed_in(server) as kaiser:
        found = list(kaiser.each(calls.list_actuators(esp_id=esp_id)))
    if as_json:
        for one in found:
            show_json(one)
        return
    rows = [
        (one.esp_id, one.gpio, one.actuator_type, one.name, state_now(one), one.zone_id, at(one.reported_at))
        for one in found
    ]
    show_table(("device", "gpio", "type", "name", "state", "zone", "reported"), rows, "no actuator yet")


def state_now(one: Actuator) -> str:
    """The state in words: of one that is not known now what was reported last, and since when it is not known."""
    stopped = ", stopped" if one.emergency == "active" else ""
    unset = "" if one.registered else ", not registered"
    if one.state is not None:
        return f"{_word(one.state)}{stopped}{unset}"
    if one.last_state is None:
        return f"not reported yet{stopped}{unset}"
    since = f", not known since {at(one.known_until)}" if one.known_until is not None else ", not known now"
    return f"last known {_word(one.last_state)}{since}{stopped}{unset}"


def _word(state: bool) -> str:
    return "on" if state else "off"
