"""The service's metrics as Prometheus scrapes them: alarms by state, how they ended, and deliveries."""

import httpx
import psycopg
from alarm_world import FAST, ask, channel, has, say, shown, until
from kaiser_common.bus.connection import Outgoing
from kaiser_common.contract.schemas.api.alarms import AcknowledgeAlarm, Alarm
from kaiser_common.contract.subjects import event_subject
from prometheus_client.parser import text_string_to_metric_families


class Metrics:
    """The metrics of a port: the value of each series, by its name and the values of its labels."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/metrics"
        self.seen: dict[tuple[str, ...], float] = {}

    def scrape(self) -> dict[tuple[str, ...], float]:
        text = httpx.get(self._url, timeout=60).text
        self.seen = {
            (sample.name.removeprefix("kaiser_alarm_"), *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name.startswith("kaiser_alarm_")
        }
        return self.seen

    async def until(self, expected: dict[tuple[str, ...], float]) -> None:
        """Wait until these series have these values."""

        async def is_so() -> bool:
            return expected.items() <= self.scrape().items()

        try:
            await until(is_so)
        except AssertionError as error:
            different = {name: self.seen.get(name) for name in expected if self.seen.get(name) != expected[name]}
            raise AssertionError(f"{different} instead of {expected}") from error


async def test_alarms_their_steps_and_notifications_are_metrics(start, bus, receiver, free_port):
    metrics = Metrics(port := free_port())
    start(**FAST, KAISER_METRICS_PORT=str(port))
    await channel(bus, "hook", receiver.url)
    await bus.publish_batch([Outgoing(event_subject("system_event", "ESP_0"), b"no event", "bad")])
    for esp_id in ("ESP_1", "ESP_2"):
        await say(bus, "device_offline", esp_id)
    await say(bus, "emergency_stop", "ESP_1", severity="critical", gpio=None)
    await metrics.until(
        {
            ("open", "warning", "raised"): 2,
            ("open", "critical", "raised"): 1,
            ("active", "device_offline"): 2,
            ("active", "stop_in_force"): 1,
            ("steps_total", "raised"): 3,
            ("published_total",): 3,
            ("unreadable_events_total",): 1,
        }
    )
    assert metrics.seen["behind_seconds",] > 0
    await until(has(lambda: [one for one in receiver.taken if "stop" in one["message"]], 1))

    async def all_that_were_sent_are_counted() -> bool:
        return metrics.scrape()["notifications_total", "sent"] == len(receiver.taken)

    await until(all_that_were_sent_are_counted)

    (stop,) = await shown(bus, kind="stop_in_force")
    await ask(bus, "acknowledge", AcknowledgeAlarm(alarm_id=stop.alarm_id), Alarm)
    await say(bus, "device_online", "ESP_2")
    receiver.status = 500
    await say(bus, "device_offline", "ESP_3")
    await metrics.until(
        {
            ("open", "critical", "acknowledged"): 1,
            ("open", "warning", "cleared"): 1,
            ("open", "warning", "raised"): 2,
            ("active", "device_offline"): 2,
            ("steps_total", "acknowledged"): 1,
            ("steps_total", "cleared"): 1,
        }
    )
    await until(lambda: shown(bus, kind="delivery_failed"))
    assert metrics.scrape()["notifications_total", "failed_try"] >= 1


async def test_events_that_another_process_went_on_with_are_counted(start, bus, database, free_port):
    metrics = Metrics(port := free_port())
    start(KAISER_METRICS_PORT=str(port))
    await say(bus, "device_offline", "ESP_1")
    await until(lambda: shown(bus))
    await metrics.until({("fenced_total",): 0})
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE alarm.position SET sequence = sequence - 1")
    await say(bus, "device_offline", "ESP_2")
    await until(lambda: shown(bus, esp_id="ESP_2"))
    await metrics.until({("fenced_total",): 1})
    assert [one.times for one in await shown(bus)] == [1, 1]
