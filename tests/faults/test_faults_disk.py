"""A power cut and a full disk leave everything that was acknowledged."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import actions
import pytest
from disks import Disk, small_disk
from fleet import is_bad
from freezing import tree
from harness import Stack, wait_until
from trial import SETTINGS, rejected_numbers, stored_numbers, trial

RATE = 100.0
"""Messages a second: NATS as the broker syncs each, and a loop device syncs slowly."""


@pytest.fixture
def disk(tmp_path_factory: pytest.TempPathFactory, server_folder: Path) -> Iterator[Disk]:
    folder = server_folder / tmp_path_factory.mktemp("disk").name
    folder.mkdir()
    with small_disk(folder, 1500) as disk:
        yield disk


@pytest.fixture
def stack_on_disk(disk: Disk) -> Iterator[Stack]:
    """A stack with everything on the small disk, NATS as the MQTT broker: Mosquitto promises nothing at a power cut."""
    folder, database = disk.mounted_at / "state", disk.mounted_at / "database"
    stack = Stack(folder, KAISER_MQTT_BROKER="nats", **SETTINGS)
    # Root's state folder is closed to PostgreSQL's account, whose data would go to the machine's own disk.
    for made in (database, folder / "postgres"):
        made.mkdir(parents=True)
    (folder / "postgres" / "elsewhere").symlink_to(database)
    stack._console = disk.image.with_suffix(".console")
    try:
        yield stack.start()
    finally:
        end(stack)


def end(stack: Stack) -> None:
    """SIGKILL to everything of it; first its children, so that none is left as a zombie whose id seems to be in use."""
    if not stack.process or stack.process.poll() is not None:
        return
    for name in stack.pids():
        actions.down(stack, name)
    wait_until(lambda: not stack.pids(), "every process has ended")
    stack.process.kill()
    stack.process.wait(60)


async def test_what_was_acknowledged_before_a_power_cut_is_there_after_it(
    disk: Disk, stack_on_disk: Stack, verdicts: Path, seed: int
):
    stack = stack_on_disk
    cut = disk.image.with_name("cut.img")
    acknowledged: set[int] = set()
    async with trial(stack, "power-cut", verdicts, seed=seed, rate=RATE, settle_s=6.0) as run:
        pids = [pid for name in ("nats", "postgres") for pid in tree(stack.pid(name))]
        for pid in pids:  # so that the copy is of one moment; devices and services go on
            os.kill(pid, signal.SIGSTOP)
        acknowledged |= set(run.acknowledged)
        await asyncio.to_thread(copy, disk.image, cut)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        run.note("POWER CUT: the disk's image was copied under traffic")
        await run.recovered()
        fleet = run.fleet
    assert len(acknowledged) > 300

    await asyncio.to_thread(end, stack)
    disk.replace_by(cut)
    await asyncio.to_thread(stack.start)

    def has_come_down() -> bool:
        stored = stored_numbers(stack, fleet)
        return all(number in stored for number in acknowledged if not is_bad(number))

    await asyncio.to_thread(wait_until, has_come_down, "what was acknowledged before the cut is stored", 60.0)
    rejected = await rejected_numbers(stack, fleet)
    assert {number for number in acknowledged if is_bad(number)} <= set(rejected)
    assert -1 not in stored_numbers(stack, fleet)


def copy(image: Path, target: Path) -> None:
    """Holes stay holes."""
    subprocess.run(["cp", "--sparse=always", str(image), str(target)], check=True, timeout=120)


@pytest.mark.long_form
async def test_a_full_disk_refuses_and_goes_on_once_there_is_room(
    disk: Disk, stack_on_disk: Stack, verdicts: Path, seed: int
):
    ballast = disk.mounted_at / "ballast"
    async with trial(stack_on_disk, "disk-full", verdicts, seed=seed, rate=RATE) as run:
        with ballast.open("wb") as file:
            free = shutil.disk_usage(disk.mounted_at).free
            os.posix_fallocate(file.fileno(), 0, free - 200_000)
        run.note("the disk of NATS and PostgreSQL is full")
        try:
            await run.flow(20.0)
        finally:
            ballast.unlink()
        run.note("there is room again")
        await run.recovered()
