"""Zones: list, create, change, delete."""

import click
from kaiser_client.calls import zones as calls
from kaiser_common.contract.schemas.api.zones import CreateZone, Zone, ZonePatch

from kaiser_cli.asking import options, signed_in
from kaiser_cli.completion import ZONE
from kaiser_cli.output import show_json, show_table


@click.group(invoke_without_command=True)
@options
@click.pass_context
def zones(context: click.Context, server: str | None, as_json: bool) -> None:
    """List zones; the commands below change one.

    \b
    Examples:
      kaiser zones
      kaiser zones create east --name "Greenhouse, east"
      kaiser zones set east --position 1
    """
    if context.invoked_subcommand is not None:
        return
    with signed_in(server) as kaiser:
        found = list(kaiser.each(calls.list_zones()))
    if as_json:
        for one in found:
            show_json(one)
        return
    rows = [(one.zone_id, one.name, one.devices, one.description) for one in found]
    show_table(("zone", "name", "devices", "description"), rows, "no zone")


@zones.command("create")
@ZONE
@click.option("--name", help="For people; by default the id.")
@click.option("--description", help="What is there.")
@options
def create(zone_id: str, name: str | None, description: str | None, server: str | None, as_json: bool) -> None:
    """Add a zone.

    \b
    Example:
      kaiser zones create east --name "Greenhouse, east"
    """
    body = CreateZone.model_construct(zone_id=zone_id, name=name or zone_id, description=description, position=0)
    with signed_in(server) as kaiser:
        _tell(kaiser.ask(calls.create_zone(body)), as_json)


@zones.command("set")
@ZONE
@click.option("--name", help="For people.")
@click.option("--description", help="What is there.")
@click.option("--position", type=int, help="Zones of a lower one stand first.")
@options
def change(
    zone_id: str, name: str | None, description: str | None, position: int | None, server: str | None, as_json: bool
) -> None:
    """Change a zone; what is not given stays as it is.

    \b
    Example:
      kaiser zones set east --name "Greenhouse, east" --position 1
    """
    given = {"name": name, "description": description, "position": position}
    patch = ZonePatch.model_construct(None, **{field: value for field, value in given.items() if value is not None})
    with signed_in(server) as kaiser:
        _tell(kaiser.ask(calls.change_zone(zone_id, patch)), as_json)


@zones.command("delete")
@ZONE
@options
def delete(zone_id: str, server: str | None, as_json: bool) -> None:
    """Remove a zone; refused while devices are in it.

    \b
    Example:
      kaiser zones delete east
    """
    with signed_in(server) as kaiser:
        kaiser.ask(calls.delete_zone(zone_id))
    if as_json:
        show_json({"zone_id": zone_id, "deleted": True})
    else:
        click.echo(f"{zone_id} is deleted")


def _tell(zone: Zone, as_json: bool) -> None:
    if as_json:
        show_json(zone)
    else:
        click.echo(f"{zone.zone_id}: {zone.name}")
