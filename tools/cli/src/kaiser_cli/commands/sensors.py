"""The newest reading of each sensor."""

import click
from kaiser_client.calls import sensors as calls
from kaiser_common.contract.schemas.api.sensors import ReadingItem

from kaiser_cli.asking import options, signed_in
from kaiser_cli.completion import complete_device
from kaiser_cli.output import at, cell, show_json, show_table


@click.command()
@click.option("--device", "esp_id", shell_complete=complete_device, help="Only the sensors of a device.")
@options
def sensors(esp_id: str | None, server: str | None, as_json: bool) -> None:
    """The newest reading of each sensor.

    \b
    Examples:
      kaiser sensors
      kaiser sensors --device ESP_0A1B2C3D --json
    """
    with signed_in(server) as kaiser:
        readings = list(kaiser.each(calls.list_latest_readings(esp_id=esp_id)))
        names = {
            (one.esp_id, one.gpio, one.sensor_type, one.address): one.name
            for one in kaiser.each(calls.list_sensors(esp_id=esp_id))
        }
    if as_json:
        for reading in readings:
            show_json(reading)
        return
    rows = [
        (
            one.esp_id,
            one.gpio,
            one.sensor_type,
            names.get((one.esp_id, one.gpio, one.sensor_type, one.address), names.get(_without_address(one))),
            value_now(one),
            one.quality if one.state is None else f"{one.quality}, {one.state}",
            one.address,
            at(one.ts),
        )
        for one in readings
    ]
    show_table(
        ("device", "gpio", "type", "name", "value", "quality", "address", "at"),
        rows,
        "no reading yet; send one: kaiser send --help",
    )


def value_of(value: float | None, unit: str | None) -> str:
    """A value with its unit."""
    return f"{cell(value)} {unit}" if unit and value is not None else cell(value)


def value_now(one: ReadingItem) -> str:
    """A value with its unit; for a silent or offline sensor the last known value, and since when it is not known."""
    value = value_of(one.value if one.value is not None else one.raw_value, one.unit)
    return value if one.state in (None, "known") else last_known(value, one.known_until)


def last_known(value: str, until_ms: int | None) -> str:
    """The words for a value that is not known now: the last known value, and since when it is not known."""
    return f"last known {value}, not known since {at(until_ms) or 'then'}"


def _without_address(one: ReadingItem) -> tuple[str, int, str, str]:
    return one.esp_id, one.gpio, one.sensor_type, ""
