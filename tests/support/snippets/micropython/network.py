"""Wi-Fi that is there immediately."""

STA_IF = 0


class WLAN:
    """An interface."""

    def __init__(self, interface: int) -> None:
        assert interface == STA_IF

    def active(self, on: bool) -> None:
        """Switch it on."""

    def connect(self, name: str, password: str) -> None:
        """Join a network."""

    def isconnected(self) -> bool:
        """Whether it has joined."""
        return True
