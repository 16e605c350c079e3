"""The unprivileged account for PostgreSQL when root starts the stack: PostgreSQL refuses to run as root."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

_NAME = "kaiser-postgres"


@dataclass(frozen=True, slots=True)
class ServerAccount:
    """A system account by its numbers."""

    name: str
    uid: int
    gid: int

    def can(self, script: str, *arguments: str) -> bool:
        """Whether a line of shell succeeds under this account."""
        asked = subprocess.run(
            ["/bin/sh", "-c", script, "sh", *arguments],
            user=self.uid,
            group=self.gid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            timeout=30,
            check=False,
        )
        return asked.returncode == 0

    def own(self, folder: Path) -> None:
        """Make a folder, open to this account alone."""
        folder.mkdir(parents=True, exist_ok=True)
        os.chown(folder, self.uid, self.gid)
        folder.chmod(0o700)


def server_account() -> ServerAccount | None:
    """None for an ordinary user; for root a system account, made if it is not there (`nobody` where none can be)."""
    if os.geteuid() != 0:
        return None
    for name in (_NAME, "nobody"):
        entry = _entry(name) or _made(name)
        if entry:
            return ServerAccount(name, entry.pw_uid, entry.pw_gid)
    return None


def _entry(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _made(name: str) -> pwd.struct_passwd | None:
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    try:
        subprocess.run([*command, "--shell", "/usr/sbin/nologin", name], capture_output=True, timeout=30, check=False)
    except FileNotFoundError:
        return None
    return _entry(name)
