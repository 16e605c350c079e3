"""The disk that holds the state folder, where the native stack keeps everything."""

import shutil

from kaiser_doctor.findings import Finding, green, in_bytes, red, yellow
from kaiser_doctor.settings import DoctorSettings

_LITTLE = 0.1
_SOME = 0.2


def look(settings: DoctorSettings) -> list[Finding]:
    """The disk of the state folder, or of the folder that would hold it."""
    folder = settings.state_dir.absolute()
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    return of_disk(str(folder), usage.free, usage.total)


def of_disk(folder: str, free: int, total: int) -> list[Finding]:
    """A disk, sizes in bytes."""
    text = f"{in_bytes(free)} of {in_bytes(total)} are free for {folder}"
    fix = "free some, or shorten KAISER_SENSOR_RETENTION_DAYS"
    share = free / total if total else 0.0
    if share < _LITTLE:
        return [red("disk", f"{text}: NATS and PostgreSQL stop when it is full", fix)]
    if share < _SOME:
        return [yellow("disk", text, fix)]
    return [green("disk", text)]
