"""How many bytes all recordings may have together."""

from kaiser_recorder import metrics


class Budget:
    """Counts what recordings take; what is asked for beyond the limit is refused."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def set(self, used: int) -> None:
        """Set how many bytes are in use."""
        self.used = used
        metrics.BYTES.set(used)

    def take(self, size: int) -> bool:
        """Count `size` bytes more. False: that is more than may be; nothing is counted."""
        if self.used + size > self.limit:
            return False
        self.set(self.used + size)
        return True

    def full(self) -> str:
        """The reason for an operator."""
        return f"recordings may have {self.limit} bytes together (KAISER_RECORDER_BYTES): delete some"
