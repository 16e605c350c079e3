"""Every metric of ingest, each with its help text; the per-message ones are plain numbers, read when they are
scraped."""

from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

CONNECTED = Gauge("kaiser_ingest_connected", "1 while the MQTT connection is up: subscribed, its probe acknowledged.")
SESSION_PRESENT = Gauge("kaiser_ingest_session_present", "1 if the broker still had our session at the last connect.")
SESSIONS_LOST = Counter(
    "kaiser_ingest_sessions_lost_total", "Connects at which the broker had lost our session and what it queued."
)
RECONNECTS = Counter("kaiser_ingest_reconnects_total", "Connections that ended or failed, by reason.", ["reason"])
BREAKER_OPEN = Gauge("kaiser_ingest_breaker_open", "1 while connecting has failed ten times in a row.")
BROKER_ROUND_TRIP = Histogram(
    "kaiser_ingest_broker_round_trip_seconds",
    "Time from a publish of ours to the broker's PUBACK.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
READER_PAUSES = Counter(
    "kaiser_ingest_reader_pauses_total", "Times the socket was not read because the in-flight window was full."
)
OUTBOX_PUBLISHED = Counter("kaiser_ingest_outbox_published_total", "Messages published on MQTT for other services.")
OUTBOX_EXPIRED = Counter("kaiser_ingest_outbox_expired_total", "Messages for MQTT dropped because they had expired.")
OUTBOX_REJECTED = Counter("kaiser_ingest_outbox_rejected_total", "Messages for MQTT that can never be published.")
OUTBOX_STOPPED = Counter(
    "kaiser_ingest_outbox_stopped_total", "Clears and commands dropped because an emergency stop is newer."
)
OUTBOX_OFFLINE = Counter("kaiser_ingest_outbox_offline_total", "Commands dropped because their device is offline.")
OUTBOX_REPEATED = Counter("kaiser_ingest_outbox_repeated_total", "Publishes on MQTT repeated after a lost PUBACK.")
PROFILE_SWITCHES = Counter(
    "kaiser_ingest_profile_switches_total", "Switches of the broker profile, by result.", ["result"]
)
STREAM_BYTES = Gauge("kaiser_ingest_stream_bytes", "Size of a stream.", ["stream"])
STREAM_MESSAGES = Gauge("kaiser_ingest_stream_messages", "Messages in a stream.", ["stream"])
STREAM_LIMIT = Gauge("kaiser_ingest_stream_limit_bytes", "Size at which a stream is full.", ["stream"])
PACK_READINGS = Histogram(
    "kaiser_ingest_pack_readings",
    "Readings of a pack: 1 at a low rate, hundreds at saturation.",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
)
PACK_BYTES = Histogram(
    "kaiser_ingest_pack_bytes", "Bytes of a pack.", buckets=(512, 2048, 8192, 32_768, 131_072, 262_144, 524_288)
)
EVENTS_DROPPED = Counter("kaiser_ingest_events_dropped_total", "System events lost because NATS was away.")

FACTORY_MESSAGES = Counter(
    "kaiser_ingest_factory_messages_total", "Messages of the factory, by kind and result.", ["kind", "result"]
)
FACTORY_ODDITIES = Counter(
    "kaiser_ingest_factory_oddities_total", "Oddities that were tolerated in messages of the factory, by name.", ["odd"]
)
FACTORY_UNKNOWN_FIELDS = Counter(
    "kaiser_ingest_factory_unknown_fields_total",
    "Fields of the factory's messages that Kaiser does not read.",
    ["kind"],
)
FACTORY_SENT = Counter(
    "kaiser_ingest_factory_sent_total",
    "Messages to the factory, by lane and how their publication ended.",
    ["lane", "outcome"],
)

ACK_SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)


class Result(StrEnum):
    """How a received MQTT message ended."""

    PUBLISHED = "published"
    REJECTED = "rejected"
    IGNORED = "ignored"


class Accounts(Collector):
    """The accounts of received messages: received = published + rejected + ignored + in flight, for each kind.

    A batch of readings is one message: published if any of its readings was.
    """

    def __init__(self, in_flight: Callable[[], Mapping[str, int]], oldest_age_s: Callable[[], float]) -> None:
        self.received: Tally[str] = Tally()
        self.finished: Tally[tuple[str, Result]] = Tally()
        self.ignored: Tally[str] = Tally()
        self.rejected: Tally[int] = Tally()
        self.odd: Tally[tuple[str, str]] = Tally()
        """Fields that were left out, cut or replaced, by kind and name."""
        self.broker_dropped: int | None = None
        """How many messages the broker has dropped since it started; None until it reports a number."""
        self._in_flight = in_flight
        self._oldest_age_s = oldest_age_s
        self._ack_seconds = [0] * (len(ACK_SECONDS_BUCKETS) + 1)
        self._ack_seconds_sum = 0.0

    def acknowledged(self, at: int, received: Mapping[int, int]) -> None:
        """Note the time until stored, at `at` (ms), of as many messages as were received at each ms."""
        for received_at, count in received.items():
            seconds = (at - received_at) / 1000
            self._ack_seconds[bisect_left(ACK_SECONDS_BUCKETS, seconds)] += count
            self._ack_seconds_sum += seconds * count

    def in_flight(self) -> Mapping[str, int]:
        """Messages received and not yet stored, by kind."""
        return self._in_flight()

    def collect(self) -> Iterator[Metric]:
        """The accounts as Prometheus reads them."""
        received = CounterMetricFamily("kaiser_ingest_received_messages", "Messages received on MQTT.", labels=["kind"])
        for kind, number in self.received.items():
            received.add_metric([kind], number)
        yield received
        finished = CounterMetricFamily(
            "kaiser_ingest_messages", "Received messages that were processed, by result.", labels=["kind", "result"]
        )
        for (kind, result), number in self.finished.items():
            finished.add_metric([kind, result.value], number)
        yield finished
        in_flight = GaugeMetricFamily(
            "kaiser_ingest_in_flight_messages", "Messages received and not yet stored.", labels=["kind"]
        )
        for kind, number in self.in_flight().items():
            in_flight.add_metric([kind], number)
        yield in_flight
        yield self._by_label("kaiser_ingest_ignored_messages", "Messages ignored, by reason.", "reason", self.ignored)
        yield self._by_label(
            "kaiser_ingest_rejected",
            "Rejections by error code; a batch of readings may have several.",
            "code",
            {str(code): number for code, number in self.rejected.items()},
        )
        oddities = CounterMetricFamily(
            "kaiser_ingest_oddities",
            "Fields of accepted messages that were omitted, cut or replaced because they made no sense.",
            labels=["kind", "field"],
        )
        for (kind, field), number in self.odd.items():
            oddities.add_metric([kind, field], number)
        yield oddities
        yield GaugeMetricFamily(
            "kaiser_ingest_oldest_unacknowledged_seconds",
            "Age of the oldest message received and not yet stored: alert if it only grows.",
            self._oldest_age_s(),
        )
        if self.broker_dropped is not None:
            yield CounterMetricFamily(
                "kaiser_ingest_broker_dropped_messages",
                "Messages that the MQTT broker dropped since it started (Mosquitto's $SYS).",
                value=self.broker_dropped,
            )
        yield self._ack_histogram()

    def _ack_histogram(self) -> Metric:
        total = 0
        buckets = []
        for bound, number in zip([*map(str, ACK_SECONDS_BUCKETS), "+Inf"], self._ack_seconds, strict=True):
            total += number
            buckets.append((bound, float(total)))
        return HistogramMetricFamily(
            "kaiser_ingest_ack_seconds",
            "Time from receipt on MQTT until JetStream had the message on disk.",
            buckets=buckets,
            sum_value=self._ack_seconds_sum,
        )

    @staticmethod
    def _by_label(name: str, sentence: str, label: str, numbers: Mapping[str, int]) -> Metric:
        family = CounterMetricFamily(name, sentence, labels=[label])
        for value, number in numbers.items():
            family.add_metric([value], number)
        return family
