"""The stack's two errors: the user has something to fix, or something does not answer yet."""


class SetupError(Exception):
    """Something the user has to set, install or stop first; the text says what, in one line."""


class NotReadyError(Exception):
    """A server or service does not answer yet; the text says what it was asked and what came back."""
