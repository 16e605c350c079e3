"""One message as an MQTT connection received it."""

from typing import NamedTuple


class Incoming(NamedTuple):
    """One PUBLISH as received. packet_id is 0 at QoS 0; generation counts connections."""

    topic: bytes
    payload: bytes
    packet_id: int
    qos: int
    retained: bool
    duplicate: bool
    generation: int
    received_at_ms: int
