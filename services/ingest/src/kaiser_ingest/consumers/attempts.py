"""Records attempts to connect to a broker: counts and reports failures in a row, and chooses MQTT 5 or 3.1.1.

The record is in memory only: a process that is killed begins with none.
"""

from enum import StrEnum

import structlog
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.event import SystemEvent

from kaiser_ingest import metrics
from kaiser_ingest.domain import backoff, reason_codes
from kaiser_ingest.mqtt.client import Closed
from kaiser_ingest.mqtt.connection import ConnectFailed
from kaiser_ingest.publish import SystemEvents, system_event

log = structlog.get_logger()

_KICKS = 2
"""After this many unexplained losses another client is taken for the cause; an attempt that fails in between shows that
it was the broker."""


class Loss(StrEnum):
    """Why there is no connection: the bounded label of the metric."""

    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    CLOSED = "closed"
    TAKEN_OVER = "taken_over"
    LEFT = "left"


class ConnectAttempts:
    """Counts failures in a row, and reports each change by metrics, log and system events."""

    def __init__(self, events: SystemEvents, source: str) -> None:
        self._events = events
        self._source = source
        self.failures = 0
        self.last_error = "not connected yet"
        self._mqtt5: dict[str, bool] = {}
        self._kicks = 0

    def speaks_mqtt5(self, profile: str) -> bool:
        """Whether the next attempt with this profile asks for MQTT 5, or for 3.1.1."""
        return self._mqtt5.get(profile, True)

    def forget(self) -> None:
        """Another profile begins without failures."""
        self.failures = 0

    def came_up(self, *, session_lost: bool, profile: str) -> None:
        """A connection is up. session_lost: the broker should have had our session and has not."""
        if session_lost:
            metrics.SESSIONS_LOST.inc()
            log.error("mqtt_session_lost", profile=profile, hint="the broker forgot our session and what it had queued")
            self._events.report(
                "mqtt_session_lost", "error", "the MQTT broker lost the session: messages that it had queued are gone"
            )
        if backoff.breaker_is_open(self.failures):
            self._events.report("mqtt_breaker_closed", "info", "the MQTT broker is back", source=self._source)
        metrics.BREAKER_OPEN.set(0)

    def left(self) -> None:
        """We have closed the connection."""
        self.failures = 0
        metrics.RECONNECTS.labels(Loss.LEFT.value).inc()

    def lost(self, closed: Closed, lasted_s: float, broker: str) -> bool:
        """A connection that was up has ended; True if it did not last."""
        unstable = lasted_s < backoff.STABLE_AFTER_S
        # MQTT 3.1.1 has no reason, and that of MQTT 5 is lost where our acknowledgements meet the closed socket
        self._kicks = self._kicks + 1 if unstable and closed.code is None else 0
        taken_over = closed.code == reason_codes.SESSION_TAKEN_OVER or self._kicks >= _KICKS
        self.failures = backoff.failures_after_loss(self.failures, lasted_s)
        self.last_error = closed.text
        metrics.RECONNECTS.labels((Loss.TAKEN_OVER if taken_over else Loss.CLOSED).value).inc()
        if taken_over:
            log.error("mqtt_session_taken_over", code=int(Code.SESSION_TAKEN_OVER), reason=closed.text)
            self._events.report(
                "mqtt_session_taken_over",
                "critical",
                "another MQTT client uses the client id of ingest",
                code=Code.SESSION_TAKEN_OVER,
            )
        else:
            log.warning("mqtt_lost", code=int(Code.CONNECTION_LOST), reason=closed.text, lasted_s=round(lasted_s, 1))
        self._report_open_breaker(broker)
        return unstable or taken_over

    def failed(self, error: ConnectFailed, profile: str, broker: str) -> bool:
        """An attempt has failed. True: the broker does not speak MQTT 5, and is asked with 3.1.1 immediately."""
        self.last_error = str(error)
        protocol_refused = error.code in reason_codes.UNSUPPORTED_PROTOCOL or error.code is None
        if self.speaks_mqtt5(profile) and error.code in reason_codes.UNSUPPORTED_PROTOCOL:
            self._mqtt5[profile] = False
            log.info("mqtt5_refused", broker=broker, next="3.1.1")
            return True
        if not self.speaks_mqtt5(profile) and protocol_refused:
            self._mqtt5[profile] = True
        self._kicks = 0
        self.failures += 1
        refused = error.code is not None
        metrics.RECONNECTS.labels((Loss.REFUSED if refused else Loss.UNREACHABLE).value).inc()
        authentication = error.code in reason_codes.AUTHENTICATION
        log.warning(
            "mqtt_unreachable",
            broker=broker,
            profile=profile,
            code=int(Code.AUTHENTICATION_FAILED if authentication else Code.BROKER_UNAVAILABLE),
            reason=str(error),
            failures=self.failures,
        )
        self._report_open_breaker(broker)
        return False

    def _report_open_breaker(self, broker: str) -> None:
        if self.failures == backoff.BREAKER_FAILURES:
            metrics.BREAKER_OPEN.set(1)
            log.error(
                "mqtt_breaker_open",
                code=int(Code.CIRCUIT_OPEN),
                broker=broker,
                reason=self.last_error,
                next="at least one try a minute",
            )
            self._events.put(breaker_open(broker, self.last_error, self._source))


def breaker_open(broker: str, reason: str, source: str) -> SystemEvent:
    """The event that a broker cannot be used; broker: its address."""
    return system_event(
        "mqtt_breaker_open",
        "critical",
        f"the MQTT broker {broker} cannot be used, at least one try a minute: {reason}",
        code=Code.CIRCUIT_OPEN,
        source=source,
        broker=broker,
        reason=reason,
    )
