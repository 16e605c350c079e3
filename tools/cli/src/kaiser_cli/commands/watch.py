"""Shows events as they arrive."""

from collections.abc import Mapping
from itertools import islice
from typing import Any, get_args

import click
from kaiser_client import Watched, WatchFilters
from kaiser_client.calls import system
from kaiser_common.contract.schemas.event import EventType

from kaiser_cli.asking import options, signed_in
from kaiser_cli.commands.sensors import last_known, value_of
from kaiser_cli.completion import complete_device
from kaiser_cli.output import at, cell, show_json

_TYPES = get_args(EventType)
_TELLING = ("message", "state", "status", "value", "command", "success", "quality", "online", "name")


@click.command()
@click.option("--type", "types", multiple=True, type=click.Choice(_TYPES), help="Only events of this type; repeatable.")
@click.option(
    "--device", "esp_ids", multiple=True, shell_complete=complete_device, help="Only of this device; repeatable."
)
@click.option("--sensor-type", "sensor_types", multiple=True, help="Only readings of this type; repeatable.")
@click.option("--after", default=0, type=click.IntRange(0), help="Begin behind this seq, with what is still kept.")
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True), help="Events a second; above it the newest of each sensor."
)
@click.option("--count", type=click.IntRange(1), help="End after so many events.")
@options
def watch(
    types: tuple[str, ...],
    esp_ids: tuple[str, ...],
    sensor_types: tuple[str, ...],
    after: int,
    rate: float | None,
    count: int | None,
    server: str | None,
    as_json: bool,
) -> None:
    """Show events as they come, until Ctrl-C. A broken connection is resumed where it stopped.

    \b
    Examples:
      kaiser watch
      kaiser watch --type sensor_data --device ESP_0A1B2C3D
      kaiser watch --type alarm --json
    """
    filters = WatchFilters(types, esp_ids, sensor_types)
    with signed_in(server) as kaiser:
        kaiser.ask(system.read_system_status())  # a server that is away is said so, and not waited for
        for event in islice(kaiser.watch(filters, after=after, rate=rate), count):
            if as_json:
                show_json({"type": event.type, "timestamp": event.timestamp, "seq": event.seq, "data": event.data})
            else:
                click.echo(line_of(event))


def line_of(event: Watched) -> str:
    """An event on one line."""
    when = at(int(event.timestamp * 1000))
    if event.type == "resumed":
        return f"{when}  {event.data['missed']} messages were missed and are gone"
    place = " ".join(_place(event.data))
    return f"{when}  {event.type:<17} {place:<40} {_summary(event)}".rstrip()


def _place(data: Mapping[str, Any]) -> list[str]:
    parts = [cell(data[name]) for name in ("esp_id", "serial", "rule_name") if data.get(name)]
    if data.get("gpio") is not None:
        parts.append(f"gpio {data['gpio']}")
    if data.get("sensor_type"):
        parts.append(cell(data["sensor_type"]))
    return parts


def _summary(event: Watched) -> str:
    data = event.data
    if event.type == "sensor_data":
        value = data.get("value") if data.get("value") is not None else data.get("raw_value")
        shown = value_of(value, data.get("unit"))
        if data.get("quality") == "stale":
            return f"{last_known(shown, data.get('known_until'))}, {data.get('state') or 'silent'}"
        return f"{shown} {data.get('quality', '')}"
    told = [f"{name} {cell(data[name])}" for name in _TELLING if data.get(name) is not None]
    return ", ".join(told)
