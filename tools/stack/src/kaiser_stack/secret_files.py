"""Secrets that are made once and kept in the state folder, readable by their owner alone."""

import os
import secrets
from pathlib import Path

from kaiser_stack.errors import SetupError


def keep(path: Path, length_bytes: int) -> Path:
    """Make the file with a random secret unless it is there with something in it."""
    try:
        if path.exists() and path.read_text().strip():
            return path
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(length_bytes) + "\n")
    except OSError as error:
        raise SetupError(f"the secret in {path} cannot be kept: {error.strerror}; set KAISER_STATE_DIR") from error
    return path
