"""Names the commit that is measured."""

import subprocess
from pathlib import Path

_NOT_MEASURED = ("bench/*.json", "docs", "README.md")
"""Where results are written and drawn: a part that is measured after another one is of the same code."""


def commit_of(folder: Path) -> str:
    """As git describes it, with `-dirty` where code differs from it; empty outside of a repository."""
    commit = _said(folder, "describe", "--always")
    code = [".", *(f":(exclude){path}" for path in _NOT_MEASURED)]
    changed = _said(folder, "status", "--porcelain", "--untracked-files=no", "--", *code) if commit else ""
    return f"{commit}-dirty" if changed else commit


def _said(folder: Path, *words: str) -> str:
    said = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)
    return said.stdout.strip()
