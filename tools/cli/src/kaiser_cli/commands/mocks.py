"""Mock devices: list, create, switch, break and delete them."""

from typing import TextIO, TypeVar

import click
from kaiser_client.calls import mocks as calls
from kaiser_common.contract.schemas.api.mock import CreateMock, FaultsBody, Mock
from kaiser_common.contract.wording import first_of, reason_of
from pydantic import ValidationError

from kaiser_cli.asking import options, signed_in
from kaiser_cli.completion import DEVICE
from kaiser_cli.exits import WRONG_USE, Stopped
from kaiser_cli.output import show_json, show_table

BodyT = TypeVar("BodyT", CreateMock, FaultsBody)


@click.group(invoke_without_command=True, short_help="Mock devices: create them, switch them, break them.")
@options
@click.pass_context
def mocks(context: click.Context, server: str | None, as_json: bool) -> None:
    """List mock devices; the commands below change one. Needs the role operator.

    \b
    Examples:
      kaiser mocks
      kaiser mocks faults MOCK_BED_1 offline=true
      kaiser mocks faults MOCK_BED_1
    """
    if context.invoked_subcommand is not None:
        return
    with signed_in(server) as kaiser:
        found = list(kaiser.each(calls.list_mocks(limit=1000)))
    if as_json:
        for one in found:
            show_json(one)
        return
    rows = [(one.esp_id, one.name, one.state, one.connected, faults_of(one), len(one.sensors)) for one in found]
    show_table(("mock", "name", "state", "connected", "faults", "sensors"), rows, "no mock device")


@mocks.command("create")
@click.argument("file", type=click.File(), default="-")
@options
def create(file: TextIO, server: str | None, as_json: bool) -> None:
    """Create a mock device from JSON: a file, or standard input. It boots immediately.

    \b
    Example:
      echo '{"esp_id": "MOCK_1", "sensors": [{"gpio": 4, "sensor_type": "ds18b20"}]}' | kaiser mocks create
    """
    with signed_in(server) as kaiser:
        mock = kaiser.ask(calls.create_mock(_parsed(CreateMock, file.read())))
    _tell(mock, as_json)


@mocks.command("start")
@DEVICE
@options
def start(esp_id: str, server: str | None, as_json: bool) -> None:
    """Power a mock on.

    \b
    Example:
      kaiser mocks start MOCK_BED_1
    """
    with signed_in(server) as kaiser:
        _tell(kaiser.ask(calls.start_mock(esp_id)), as_json)


@mocks.command("stop")
@DEVICE
@options
def stop(esp_id: str, server: str | None, as_json: bool) -> None:
    """Power a mock off, as if it was unplugged.

    \b
    Example:
      kaiser mocks stop MOCK_BED_1
    """
    with signed_in(server) as kaiser:
        _tell(kaiser.ask(calls.stop_mock(esp_id)), as_json)


@mocks.command("faults", short_help="Set the faults of a mock; without any, remove them.")
@DEVICE
@click.argument("faults", metavar="[FAULT=VALUE]...", nargs=-1)
@options
def faults(esp_id: str, faults: tuple[str, ...], server: str | None, as_json: bool) -> None:
    """Set the faults of a mock in place of those in force; without any, remove them all.

    Faults: offline, no_clock, refuse_commands (true); garbage, duplicate (a share, 0 to 1); clock_offset_s, late_s,
    flapping_s, slow_response_s (seconds); silent (gpios: [4,5]).

    \b
    Examples:
      kaiser mocks faults MOCK_BED_1 offline=true
      kaiser mocks faults MOCK_BED_1 garbage=0.1 late_s=5
      kaiser mocks faults MOCK_BED_1
    """
    given = dict(each.partition("=")[::2] for each in faults)
    text = "{" + ", ".join(f'"{name}": {value or "true"}' for name, value in given.items()) + "}"
    with signed_in(server) as kaiser:
        call = calls.set_mock_faults(esp_id, _parsed(FaultsBody, text)) if faults else calls.clear_mock_faults(esp_id)
        _tell(kaiser.ask(call), as_json)


@mocks.command("delete")
@DEVICE
@options
def delete(esp_id: str, server: str | None, as_json: bool) -> None:
    """Remove a mock, from the registry too; its data stays stored.

    \b
    Example:
      kaiser mocks delete MOCK_BED_1
    """
    with signed_in(server) as kaiser:
        kaiser.ask(calls.delete_mock(esp_id))
    if as_json:
        show_json({"esp_id": esp_id, "deleted": True})
    else:
        click.echo(f"{esp_id} is deleted")


def faults_of(mock: Mock) -> str:
    """The faults that are in force, as `kaiser mocks faults` takes them."""
    changed = mock.faults.model_dump(exclude_defaults=True)
    return " ".join(f"{name}={str(value).lower()}" for name, value in changed.items())


def _parsed(model: type[BodyT], text: str) -> BodyT:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        first = first_of(error.errors())
        where = ".".join(str(part) for part in first["loc"])
        reason = reason_of(first, model.model_fields)
        raise Stopped(f"{where or 'the JSON'}: {reason}", WRONG_USE, "kaiser mocks --help") from error


def _tell(mock: Mock, as_json: bool) -> None:
    if as_json:
        show_json(mock)
        return
    broken = faults_of(mock)
    click.echo(f"{mock.esp_id}: {mock.state if mock.running else 'off'}{f', faults: {broken}' if broken else ''}")
