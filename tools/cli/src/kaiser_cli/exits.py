"""Exit statuses, and the errors that lead to them."""

import click

DONE = 0
FAILED = 1
"""The server or the device refused, or a check failed."""
WRONG_USE = 2
"""An argument is wrong or missing."""
UNCONFIRMED = 3
"""It was sent, but a device has not confirmed it in time."""
SIGN_IN = 4
"""Nobody is signed in, the sign-in has ended, or the role does not suffice."""
AWAY = 5
"""The server cannot be reached."""


class Stopped(click.ClickException):
    """An error with a status of its own. hint: what to do about it."""

    def __init__(self, message: str, status: int = FAILED, hint: str = "") -> None:
        super().__init__(f"{message}\n{hint}" if hint else message)
        self.exit_code = status  # type: ignore[misc]  # click declares it of the class, and asks the instance
