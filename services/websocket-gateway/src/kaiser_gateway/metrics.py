"""Metrics of the gateway, each with its help text."""

from kaiser_common.bus.metrics import LATENCY_BUCKETS
from prometheus_client import Counter, Gauge, Histogram

CLIENTS = Gauge("kaiser_gateway_clients", "WebSocket clients connected.")
CLOSED = Counter("kaiser_gateway_closed_clients_total", "WebSocket clients closed by us.", ["code"])
FRAMES = Counter("kaiser_gateway_sent_frames_total", "Frames sent to WebSocket clients.")
CONFLATED = Counter("kaiser_gateway_conflated_events_total", "Events replaced by newer ones before a client read them.")
VIEWERS = Gauge("kaiser_gateway_viewers", "Viewers of the message centre connected.")
MESSAGES_SENT = Counter("kaiser_gateway_sent_messages_total", "Live MQTT messages sent to viewers.")
REPLAYS = Counter("kaiser_gateway_replays_total", "Completed replays of kept events.")
EVENTS = Counter("kaiser_gateway_events_total", "Events read from the bus.", ["type"])
ISSUER_FETCHES = Counter("kaiser_gateway_issuer_fetches_total", "Fetches of the OIDC issuer's keys.", ["result"])
CONNECTIONS_REFUSED = Counter(
    "kaiser_gateway_connections_refused_total", "Connections closed by a limit of the public port.", ["reason"]
)
SIGN_INS = Counter("kaiser_gateway_sign_ins_total", "Attempts to sign in.", ["result"])
REQUESTS = Histogram(
    "kaiser_gateway_request_seconds",
    "Time to answer a REST request.",
    ["method", "route", "status"],
    buckets=LATENCY_BUCKETS,
)
