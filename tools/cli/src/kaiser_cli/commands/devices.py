"""Devices: list, show, register, approve, reject, delete."""

import click
from kaiser_client.calls import devices as calls
from kaiser_common.contract.schemas.api.devices import Device, DeviceState, RegisterDevice

from kaiser_cli.asking import options, signed_in
from kaiser_cli.completion import DEVICE, complete_zone
from kaiser_cli.output import at, show_facts, show_json, show_table


@click.group(invoke_without_command=True)
@click.option("--online/--offline", default=None, help="Only those that are, or are not, connected.")
@click.option("--state", type=click.Choice(["pending", "approved", "rejected"]), help="Only those in this state.")
@click.option("--zone", shell_complete=complete_zone, help="Only those of a zone.")
@click.option("--text", help="Only those with this text in id or name.")
@options
@click.pass_context
def devices(
    context: click.Context,
    online: bool | None,
    state: DeviceState | None,
    zone: str | None,
    text: str | None,
    server: str | None,
    as_json: bool,
) -> None:
    """List devices; the commands below show and change one.

    \b
    Examples:
      kaiser devices
      kaiser devices --offline
      kaiser devices --state pending
      kaiser devices approve ESP_0A1B2C3D
    """
    if context.invoked_subcommand is not None:
        return
    with signed_in(server) as kaiser:
        found = list(kaiser.each(calls.list_devices(state=state, online=online, zone_id=zone, text=text)))
    if as_json:
        for device in found:
            show_json(device)
        return
    rows = [
        (
            one.esp_id,
            one.name,
            one.state if one.state != "approved" else "online" if one.online else "offline",
            one.zone_id,
            one.firmware_version,
            one.wifi_rssi,
            at(one.last_seen),
        )
        for one in found
    ]
    show_table(
        ("id", "name", "state", "zone", "firmware", "rssi", "last seen"),
        rows,
        "no such device; register one: kaiser devices register ESP_0A1B2C3D",
    )


@devices.command("show")
@DEVICE
@options
def show(esp_id: str, server: str | None, as_json: bool) -> None:
    """All that is known of a device.

    \b
    Example:
      kaiser devices show ESP_0A1B2C3D
    """
    with signed_in(server) as kaiser:
        device = kaiser.ask(calls.read_device(esp_id))
    _show(device, as_json)


@devices.command("register")
@click.argument("esp_id")
@click.option("--name", help="Its name.")
@click.option("--zone", shell_complete=complete_zone, help="Its zone.")
@options
def register(esp_id: str, name: str | None, zone: str | None, server: str | None, as_json: bool) -> None:
    """Register a device: from now on its messages are taken.

    \b
    Example:
      kaiser devices register ESP_0A1B2C3D --name "Greenhouse 1"
    """
    body = RegisterDevice.model_construct(esp_id=esp_id, name=name, zone_id=zone)
    with signed_in(server) as kaiser:
        device = kaiser.ask(calls.register_device(body))
    _show(device, as_json)


@devices.command("approve")
@DEVICE
@click.option("--replay", is_flag=True, help="Take in what was rejected of it in the last days, too.")
@options
def approve(esp_id: str, replay: bool, server: str | None, as_json: bool) -> None:
    """Let a pending device in.

    \b
    Example:
      kaiser devices approve ESP_0A1B2C3D --replay
    """
    with signed_in(server) as kaiser:
        device = kaiser.ask(calls.approve_device(esp_id, replay=replay))
    if as_json:
        show_json(device)
        return
    click.echo(f"{esp_id} is approved")
    if replay:
        rest = "" if device.replay_complete else "; the others could not be replayed in time: kaiser rejected"
        click.echo(f"{device.replayed} of its rejected messages were taken in{rest}")


@devices.command("reject")
@DEVICE
@options
def reject(esp_id: str, server: str | None, as_json: bool) -> None:
    """Keep a device out.

    \b
    Example:
      kaiser devices reject ESP_0A1B2C3D
    """
    with signed_in(server) as kaiser:
        device = kaiser.ask(calls.reject_device(esp_id))
    _show(device, as_json)


@devices.command("delete")
@DEVICE
@click.option("--yes", is_flag=True, help="Do not ask.")
@options
def delete(esp_id: str, yes: bool, server: str | None, as_json: bool) -> None:
    """Remove a device from the registry; its data stays stored.

    \b
    Example:
      kaiser devices delete ESP_0A1B2C3D --yes
    """
    if not yes:
        click.confirm(f"Reject all further messages of {esp_id}?", abort=True, err=True)
    with signed_in(server) as kaiser:
        kaiser.ask(calls.delete_device(esp_id))
    if as_json:
        show_json({"esp_id": esp_id, "deleted": True})
    else:
        click.echo(f"{esp_id} is removed; its data stays stored")


def _show(device: Device, as_json: bool) -> None:
    if as_json:
        show_json(device)
        return
    times = {"last_seen", "created_at", "approved_at"}
    show_facts((name.replace("_", " "), at(value) if name in times else value) for name, value in dict(device).items())
