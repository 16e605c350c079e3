"""OpenTelemetry traces of sampled messages: how long each spent at every stage, from MQTT to database and WebSocket.

Off unless KAISER_OTLP_URL is set; while it is off, OpenTelemetry is not imported and no message carries an extra
header. A separate thread sends the spans from a queue of 2,048: if the receiver is slow or away, spans are lost, never
messages.
"""

import logging
import os
import random
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from kaiser_common import __version__
from kaiser_common.bus.pull import Delivery
from kaiser_common.runtime.settings import CommonSettings, SettingsError

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_QUEUE = 2048
_EVERY_MS = 1000
_SEND_WITHIN_S = 5.0
_CLOSE_WITHIN_MS = 1500


class Tracer:
    """Begins and follows spans. Times in ns since the epoch; a span counts once `end()` was called."""

    def __init__(self, service: str, url: str, ratio: float) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # it would log each failure of a receiver
        resource = Resource.create(
            {
                "service.name": f"kaiser-{service}",
                "service.version": __version__,
                "service.instance.id": f"{socket.gethostname()}-{os.getpid()}",
            }
        )
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(
            BatchSpanProcessor(
                OTLPSpanExporter(url, timeout=_SEND_WITHIN_S),
                max_queue_size=_QUEUE,
                schedule_delay_millis=_EVERY_MS,
            )
        )
        self._tracer = self._provider.get_tracer("kaiser", __version__)
        self._context = TraceContextTextMapPropagator()
        self._ratio = ratio

    def samples(self) -> bool:
        """Whether the message at hand is to be traced."""
        return random.random() < self._ratio

    def begin(self, name: str, started_ns: int, subject: str) -> "Span":
        """The first span of a trace."""
        return self._tracer.start_span(name, start_time=started_ns, attributes={"messaging.destination.name": subject})

    def follow(self, name: str, traceparent: str, started_ns: int, subject: str) -> "Span":
        """A span below the one that a message carries."""
        context = self._context.extract({"traceparent": traceparent})
        attributes = {"messaging.destination.name": subject}
        return self._tracer.start_span(name, context=context, start_time=started_ns, attributes=attributes)

    def note(self, name: str, deliveries: Iterable[Delivery]) -> None:
        """A span for each traced message, from when JetStream had it until now."""
        for delivery in deliveries:
            if traceparent := delivery.traceparent:
                self.follow(name, traceparent, delivery.timestamp_ns, delivery.subject).end()

    def close(self) -> None:
        """Send what waits, for at most two seconds; blocks."""
        self._provider.force_flush(_CLOSE_WITHIN_MS)
        self._provider.shutdown()


def open_tracer(settings: CommonSettings, service: str) -> Tracer | None:
    """The tracer, or None where tracing is off. SettingsError: it is on and OpenTelemetry is not installed."""
    if not settings.otlp_url:
        return None
    try:
        return Tracer(service, settings.otlp_url, settings.trace_ratio)
    except ImportError as error:
        raise SettingsError(f"KAISER_OTLP_URL is set, and {error}: install kaiser-common[tracing]") from error


def traceparent_of(span: "Span") -> str:
    """The header that lets another process follow (W3C Trace Context)."""
    context: Any = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
