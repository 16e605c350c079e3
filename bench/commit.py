"""Names the commit that is measured."""

import subprocess
from pathlib import Path


def commit_of(folder: Path) -> str:
    """As git describes it, with `-dirty` where files differ from it; empty outside of a repository."""
    said = subprocess.run(
        ["git", "-C", str(folder), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return said.stdout.strip()
