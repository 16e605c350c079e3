"""Mosquitto's password file as text: one line per user, with the salted hash of mosquitto_passwd (PBKDF2, SHA-512)."""

import base64
import hashlib
import hmac

_ITERATIONS = 101  # mosquitto_passwd's own; these passwords are random, so a slow hash would add nothing


def set_password(text: str, user: str, password: str, salt: bytes) -> str:
    """The file with this user's password, whether it had one before or not."""
    line = f"{user}:$7${_ITERATIONS}${_text(salt)}${_text(_hash(password, salt, _ITERATIONS))}\n"
    return remove(text, user) + line


def remove(text: str, user: str) -> str:
    """The file without this user."""
    return "".join(line for line in text.splitlines(keepends=True) if line.partition(":")[0] != user)


def verifies(text: str, user: str, password: str) -> bool:
    """Whether the file lets this user in with this password."""
    for line in text.splitlines():
        name, _, stored = line.partition(":")
        if name == user and stored.count("$") == 4:
            _, _, iterations, salt, digest = stored.split("$")
            wanted = _hash(password, base64.b64decode(salt), int(iterations))
            return hmac.compare_digest(wanted, base64.b64decode(digest))
    return False


def _hash(password: str, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
