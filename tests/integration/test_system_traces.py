"""Traces through the whole stack, as an OTLP receiver gets them."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import nats
import pytest
from harness import Stack, reading, wait_until
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Receiver:
    """Takes what exporters send and keeps it: (service, span) pairs."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = ExportTraceServiceRequest()
                body = self.rfile.read(int(self.headers["Content-Length"]))
                request.ParseFromString(_inflated(body, self.headers.get("Content-Encoding", "")))
                for each in request.resource_spans:
                    attributes = {one.key: one.value.string_value for one in each.resource.attributes}
                    spans = [span for scope in each.scope_spans for span in scope.spans]
                    receiver.spans += [(attributes["service.name"], span) for span in spans]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/traces"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def of(self, esp_id: str) -> dict[tuple[str, str], Any]:
        """The spans of messages of a device, by service and name: of the traces of which one names it."""
        traces = {
            span.trace_id
            for _, span in self.spans
            if any(esp_id in attribute.value.string_value for attribute in span.attributes)
        }
        return {(service, span.name): span for service, span in self.spans if span.trace_id in traces}


def _inflated(body: bytes, encoding: str) -> bytes:
    import gzip

    return gzip.decompress(body) if encoding == "gzip" else body


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


async def headers_of(stack: Stack, esp_id: str) -> dict[str, str]:
    """The headers of the newest event of a device."""
    client = await nats.connect(stack.addresses["nats_url"], max_reconnect_attempts=3)
    try:
        message = await client.jetstream().get_last_msg("EVENTS", "event.sensor_data.0")
        return dict(message.headers or {})
    finally:
        await client.close()


async def test_a_reading_is_followed_from_mqtt_to_database_and_websocket(
    make_stack: Callable[..., Stack], receiver: Receiver
) -> None:
    stack = make_stack(KAISER_OTLP_URL=receiver.url, KAISER_TRACE_RATIO="1", KAISER_MQTT_BROKER="nats")
    stack.start()
    [esp_id] = stack.register(1)
    sent_ns = time.time_ns()
    stack.publish([reading(esp_id, 4, int(time.time() * 1000), 21.5)])
    expected = {
        ("kaiser-ingest", "ingest"),
        ("kaiser-sensor", "store"),
        ("kaiser-sensor", "event"),
        ("kaiser-websocket-gateway", "offer to clients"),
    }
    wait_until(lambda: expected <= set(receiver.of(esp_id)), "every station has told its span")
    spans = receiver.of(esp_id)
    root = spans["kaiser-ingest", "ingest"]
    assert root.parent_span_id == b""
    for station in expected - {("kaiser-ingest", "ingest")}:
        assert spans[station].trace_id == root.trace_id
        assert spans[station].parent_span_id == root.span_id
    for span in spans.values():
        assert sent_ns - 1e9 < span.start_time_unix_nano <= span.end_time_unix_nano < sent_ns + 30e9
    headers = await headers_of(stack, esp_id)
    assert headers["traceparent"].startswith(f"00-{root.trace_id.hex()}-{root.span_id.hex()}-")


async def test_without_a_receiver_no_message_carries_a_trace(stack: Stack) -> None:
    [esp_id] = stack.register(1)
    stack.publish([reading(esp_id, 4, int(time.time() * 1000), 21.5)])
    wait_until(lambda: stack.rows([esp_id]) == 1, "the reading is stored")
    assert "traceparent" not in await headers_of(stack, esp_id)


def test_a_receiver_that_is_away_delays_nothing(make_stack: Callable[..., Stack], free_port: Callable[[], int]) -> None:
    stack = make_stack(
        KAISER_OTLP_URL=f"http://127.0.0.1:{free_port()}/v1/traces", KAISER_TRACE_RATIO="1", KAISER_MQTT_BROKER="nats"
    )
    stack.start()
    [esp_id] = stack.register(1)
    now_ms = int(time.time() * 1000)
    stack.publish([reading(esp_id, 4, now_ms + number, 21.5) for number in range(3000)])
    wait_until(lambda: stack.rows([esp_id]) == 3000, "all readings are stored")
    assert stack.stop() == 0


def test_the_sdk_is_not_even_imported_while_tracing_is_off() -> None:
    code = "import sys, kaiser_ingest.app, kaiser_sensor.app, kaiser_gateway.app; print(*sys.modules)"
    imported = subprocess.run([sys.executable, "-c", code], timeout=60, check=True, capture_output=True, text=True)
    assert not [name for name in imported.stdout.split() if name.startswith("opentelemetry.sdk")]
