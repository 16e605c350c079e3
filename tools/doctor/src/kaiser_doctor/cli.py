"""The command kaiser-doctor: looks, prints, and exits with 1 if anything is red."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence

import structlog
from kaiser_common.runtime.settings import SettingsError

from kaiser_doctor import broker, bus, database, machine, passwords, services
from kaiser_doctor.findings import Finding, Light, red
from kaiser_doctor.settings import DoctorSettings, read

_SERVERS = (broker.ABOUT, bus.ABOUT, database.ABOUT)
_COLOURS = {Light.GREEN: "32", Light.UNSEEN: "90", Light.YELLOW: "33", Light.RED: "31"}


def main() -> None:
    """Entry point. Exit status: 0 nothing is red, 1 something is, 2 a setting cannot be used."""
    parser = argparse.ArgumentParser(prog="kaiser-doctor", description=__doc__)
    parser.add_argument("-q", "--quiet", action="store_true", help="only what is not green")
    quiet = parser.parse_args().quiet
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    try:
        settings = read()
    except SettingsError as error:
        print(f"kaiser-doctor: {error}", file=sys.stderr)
        sys.exit(2)
    findings = asyncio.run(examine(settings))
    for line in lines(findings, quiet=quiet, colour=sys.stdout.isatty()):
        print(line)
    sys.exit(1 if any(finding.level is Light.RED for finding in findings) else 0)


async def examine(settings: DoctorSettings) -> list[Finding]:
    """Everything, one part beside the other; takes at most about ten seconds."""
    looks = await asyncio.gather(
        broker.look(settings),
        bus.look(settings),
        services.look(settings),
        database.look(settings),
        asyncio.to_thread(machine.look, settings),
        asyncio.to_thread(passwords.look, settings),
    )
    findings = [finding for look in looks for finding in look]
    return [*of_nothing(findings), *findings]


def of_nothing(findings: Sequence[Finding]) -> list[Finding]:
    """Whether no server answers: then Kaiser is not running, and one fix is due before all others."""
    answering = {finding.about for finding in findings if finding.level is not Light.RED}
    silent = {finding.about for finding in findings} - answering
    if not silent.issuperset(_SERVERS):
        return []
    text = "does not run here: neither NATS nor the MQTT broker nor the database answers"
    return [red("Kaiser", text, "make run starts it, in containers make up")]


def lines(findings: Sequence[Finding], *, quiet: bool = False, colour: bool = False) -> list[str]:
    """The report: a line a finding, its fix below, and the sum."""
    shown = []
    for finding in findings:
        if quiet and finding.level is Light.GREEN:
            continue
        level = (
            f"\x1b[{_COLOURS[finding.level]}m{finding.level.value:<7}\x1b[0m" if colour else f"{finding.level.value:<7}"
        )
        shown.append(f"{level} {finding.about}: {finding.text}")
        if finding.fix:
            shown.append(f"          → {finding.fix}")
    count = {level: sum(finding.level is level for finding in findings) for level in Light}
    shown.append(", ".join(f"{number} {level.value}" for level, number in count.items()))
    return shown
