"""Secrets in the state folder, readable only by their owner: made once and kept, or written into configurations."""

import os
import secrets
from pathlib import Path

from kaiser_stack.errors import SetupError


def keep(path: Path, length_bytes: int) -> Path:
    """Make the file with a random secret unless it is there with something in it."""
    try:
        if path.exists() and path.read_text().strip():
            path.chmod(0o600)
            return path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(length_bytes) + "\n")
    except OSError as error:
        raise SetupError(f"the secret in {path} cannot be kept: {error.strerror}; set KAISER_STATE_DIR") from error
    return path


def write(path: Path, text: str) -> None:
    """Write a file that holds secrets, readable by its owner alone, in one step."""
    part = path.with_name(f".{path.name}.new")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    part.replace(path)
