"""umqtt.simple as far as a program that sends uses it: what is published is a line of topic, tab, payload."""

MOST = 3


class MQTTClient:
    """A client; it ends the program after its third message."""

    def __init__(
        self, client_id: str, server: str, port: int = 0, user: str = "", password: str = "", keepalive: int = 0
    ) -> None:
        print(f"server\t{server}:{port}")
        self.client = f"client\t{client_id} {user or '-'} {password or '-'}"
        self.will = ""
        self.published = 0
        assert keepalive > 0

    def set_last_will(self, topic: str, msg: str, retain: bool = False, qos: int = 0) -> None:
        """Set the message that the broker publishes when the client is lost."""
        assert retain
        assert qos == 1
        self.will = f"will\t{topic} {msg}"

    def connect(self) -> None:
        """Sign in."""
        print(self.client)
        print(self.will)

    def publish(self, topic: str, msg: str, retain: bool = False, qos: int = 0) -> None:
        """Send a message."""
        assert not retain
        assert qos in (0, 1)
        print(f"{topic}\t{msg}")
        self.published += 1
        if self.published == MOST:
            raise SystemExit
