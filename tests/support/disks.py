"""A small separate disk: a filesystem in a file, mounted through a loop device. Needs root."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True)
class Disk:
    """A mounted image."""

    image: Path
    mounted_at: Path

    def replace_by(self, image: Path) -> None:
        """Unmount, and mount this image in its place, as after a power cut (the journal is replayed)."""
        _run("umount", "--lazy", str(self.mounted_at))
        _run("mount", "-o", "loop", str(image), str(self.mounted_at))


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Disk]:
    """A disk with an empty ext4. The test is skipped, with the reason, where none can be mounted.

    `commit=300` keeps the journal from being written by the clock: only what somebody synced is on it.
    """
    if os.geteuid() != 0:
        pytest.skip("mounting a disk needs root")
    if not shutil.which("mkfs.ext4"):
        pytest.skip("mkfs.ext4 is not installed")
    image, mounted_at = folder / "disk.img", folder / "disk"
    mounted_at.mkdir(parents=True)
    with image.open("wb") as file:
        file.truncate(megabytes * 1024**2)
    _run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(image))
    try:
        _run("mount", "-o", "loop,commit=300", str(image), str(mounted_at))
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no loop device can be mounted here: {error.stderr.strip()}")
    mounted_at.chmod(0o755)
    try:
        yield Disk(image, mounted_at)
    finally:
        subprocess.run(["umount", "--lazy", str(mounted_at)], check=False, timeout=60)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
