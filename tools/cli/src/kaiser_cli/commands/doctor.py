"""Finds faults as far as REST shows them."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import click
from kaiser_client import ApiProblem, Kaiser
from kaiser_client.calls import actuators, alarms, devices, rejected, system
from kaiser_common.contract.schemas.api.alarms import Alarm
from kaiser_common.contract.schemas.api.devices import Device
from kaiser_common.contract.schemas.api.system import SystemStatus

from kaiser_cli.asking import options, signed_in
from kaiser_cli.exits import FAILED
from kaiser_cli.output import cell, show_json

_FULL = 0.8
_LAG = 10_000


@click.command(short_help="What is wrong at a server, each with what to do.")
@options
def doctor(server: str | None, as_json: bool) -> None:
    """Say what is wrong at a server, each with what to do. On the machine itself `kaiser-doctor` sees more: settings,
    disks, clocks, the database.

    Exit status: 0 nothing is wrong, 1 something is.

    \b
    Examples:
      kaiser doctor
      kaiser doctor --server plant --json
    """
    with signed_in(server) as kaiser:
        status = kaiser.ask(system.read_system_status())
        findings = [*_of_services(status), *_of_streams(status)]
        for look in (_of_stops, _of_devices, _of_alarms, _of_rejected):
            findings += _answered(look, kaiser)
    if as_json:
        show_json({"findings": [{"what": what, "fix": fix} for what, fix in findings]})
    elif not findings:
        click.echo(f"nothing is wrong: {len(status.services)} services are ready")
    else:
        for what, fix in findings:
            click.echo(f"{click.style('✗', fg='red')} {what}\n  {fix}")
    if findings:
        raise SystemExit(FAILED)


def _of_services(status: SystemStatus) -> Iterator[tuple[str, str]]:
    if status.bus != "ok":
        yield f"the bus: {status.bus}", "see NATS and its log"
    for one in status.services:
        if not one.up:
            yield f"{one.service} does not answer", "start it, or see its log"
        elif not one.ready:
            failed = [
                f"{name}: {cell(why)}"
                for replica in one.replicas
                for name, why in replica.checks.items()
                if why != "ok"
            ]
            yield f"{one.service} is not ready: {'; '.join(failed) or 'no reason given'}", "see its log"
        if one.lag is not None and one.lag > _LAG:
            yield f"{one.lag} messages wait for {one.service}", "it is slower than what comes: start another replica"


def _of_streams(status: SystemStatus) -> Iterator[tuple[str, str]]:
    for one in status.streams:
        if one.max_bytes > 0 and one.bytes > _FULL * one.max_bytes:
            share = 100 * one.bytes / one.max_bytes
            yield (
                f"the stream {one.stream} is {share:.0f} % full",
                "see who reads it: a full stream holds its senders up",
            )


def _answered(look: Callable[[Kaiser], Iterator[tuple[str, str]]], kaiser: Kaiser) -> list[tuple[str, str]]:
    """The findings of a look; none if its service is down, which is reported already, or the role does not suffice."""
    try:
        return list(look(kaiser))
    except ApiProblem as problem:
        if problem.status not in (403, 503, 504):
            raise
        return []


def _of_stops(kaiser: Kaiser) -> Iterator[tuple[str, str]]:
    for stop in kaiser.ask(actuators.list_emergency_stops()).items:
        yield (
            f"an emergency stop of {stop.esp_id or 'everything'} is in force: {cell(stop.reason)}",
            "kaiser clear --list",
        )


def _of_devices(kaiser: Kaiser) -> Iterator[tuple[str, str]]:
    pending = kaiser.ask(devices.list_devices(state="pending")).items
    if pending:
        yield f"wait for approval: {_some(pending)}", "kaiser devices --state pending"
    offline = kaiser.ask(devices.list_devices(state="approved", online=False)).items
    if offline:
        yield f"offline: {_some(offline)}", "kaiser devices --offline"


def _some(found: Sequence[Device]) -> str:
    return found[0].esp_id if len(found) == 1 else f"{len(found)} devices, {found[0].esp_id} first"


def _of_alarms(kaiser: Kaiser) -> Iterator[tuple[str, str]]:
    yield from standing(kaiser.ask(alarms.list_alarms(severity="critical")).items)


def standing(critical: Iterable[Alarm]) -> Iterator[tuple[str, str]]:
    """The finding of critical alarms whose condition holds; one that is over only waits for an acknowledgement."""
    hold = [one for one in critical if one.state in ("raised", "acknowledged")]
    if hold:
        count = "a critical alarm stands" if len(hold) == 1 else f"{len(hold)} critical alarms stand"
        yield f"{count}: {cell(hold[0].message)}", "kaiser alarms --severity critical"


def _of_rejected(kaiser: Kaiser) -> Iterator[tuple[str, str]]:
    found = kaiser.ask(rejected.list_rejected(limit=1)).items
    if found:
        yield (
            f"messages are rejected, the newest of {found[0].esp_id or found[0].topic}: {cell(found[0].message)}",
            "kaiser rejected --groups",
        )
