"""Readings as a file."""

import csv
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import click
from kaiser_client import Kaiser
from kaiser_client.calls import sensors as calls
from kaiser_common.contract.bounds import MAX_GPIO
from kaiser_common.contract.schemas.api.sensors import ReadingItem, TimeBucket
from pydantic import BaseModel

from kaiser_cli.asking import options, signed_in
from kaiser_cli.completion import DEVICE
from kaiser_cli.exits import WRONG_USE, Stopped
from kaiser_cli.times import instant

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@click.command(short_help="Write readings as CSV, or as lines of JSON.")
@DEVICE
@click.option("--gpio", type=click.IntRange(0, MAX_GPIO), help="Only the sensors of a pin.")
@click.option("--type", "sensor_type", help="Only this type of sensor.")
@click.option(
    "--from", "from_ms", type=instant, default="-1d", show_default=True, help="Such as -2h or 2026-01-31T06:00."
)
@click.option("--to", "to_ms", type=instant, default="now", show_default=True, help="Not included.")
@click.option("--bucket", help="Lowest, highest and mean of each 1m, 15m, 1h or 1d; needs --gpio.")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="The file; else standard output.")
@options
def export(
    esp_id: str,
    gpio: int | None,
    sensor_type: str | None,
    from_ms: int,
    to_ms: int,
    bucket: str | None,
    output: Path | None,
    server: str | None,
    as_json: bool,
) -> None:
    """Write readings as CSV with times in UTC, or with --json as lines of JSON; all pages of them.

    \b
    Examples:
      kaiser export ESP_0A1B2C3D --from -7d -o readings.csv
      kaiser export ESP_0A1B2C3D --gpio 4 --bucket 1h --json
    """
    if bucket is not None and gpio is None:
        raise Stopped("--bucket needs --gpio", WRONG_USE)
    with signed_in(server) as kaiser, _opened(output) as file:
        rows = _rows(kaiser, esp_id, gpio, sensor_type, from_ms, to_ms, bucket)
        kind = ReadingItem if bucket is None else TimeBucket
        count = _write_json(file, rows) if as_json else _write_csv(file, list(kind.model_fields), rows)
    if output is not None:
        click.echo(f"{count} lines in {output}", err=True)
    elif count == 0:
        click.echo(f"no reading of {esp_id} in this time", err=True)


def _rows(
    kaiser: Kaiser,
    esp_id: str,
    gpio: int | None,
    sensor_type: str | None,
    from_ms: int,
    to_ms: int,
    bucket: str | None,
) -> Iterator[BaseModel]:
    if bucket is None or gpio is None:
        query = calls.list_readings(
            esp_id, gpio=gpio, sensor_type=sensor_type, from_ms=from_ms, to_ms=to_ms, limit=10_000
        )
        yield from kaiser.each(query)
    else:
        buckets = calls.list_buckets(esp_id, gpio, bucket, sensor_type=sensor_type, from_ms=from_ms, to_ms=to_ms)
        yield from kaiser.each(buckets)


def _write_json(file: TextIO, rows: Iterable[BaseModel]) -> int:
    count = 0
    for row in rows:
        file.write(f"{row.model_dump_json()}\n")
        count += 1
    return count


def _write_csv(file: TextIO, names: list[str], rows: Iterable[BaseModel]) -> int:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["time", *names])
    count = 0
    for row in rows:
        values = row.model_dump()
        time = datetime.fromtimestamp(values["ts"] / 1000, UTC).isoformat(timespec="milliseconds")
        writer.writerow([time, *(_plain(values[name]) for name in names)])
        count += 1
    return count


def _plain(value: Any) -> Any:
    """A value that no spreadsheet evaluates."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


@contextmanager
def _opened(path: Path | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout
        return
    try:
        file = path.open("w", newline="", encoding="utf-8")
    except OSError as error:
        raise Stopped(f"{path} cannot be written: {error.strerror}", WRONG_USE) from error
    with file:
        yield file
