"""Notification survives floods, flapping, a mail server with a certificate that nobody vouches for."""

import json
import random
import ssl
import string
import subprocess

import psycopg
import pytest
from alarm_world import FAST, ask, channel, has, notifications_of, say, shown, until
from kaiser_alarm.domain.life import Clear, Key, Raise, applied
from kaiser_alarm.domain.routing import MOST_A_MINUTE, DueNotification, RecentMessages, worth_now
from kaiser_common.bus.connection import Outgoing
from kaiser_common.contract.schemas.api.alarms import AlarmStatistics, StatisticsQuery
from kaiser_common.contract.schemas.event import SensorDataEvent, SystemEvent
from kaiser_common.contract.subjects import event_pack_subject, event_subject
from receivers import mail_server

COUNT = 10_000


def offline(number: int) -> Outgoing:
    esp_id = f"ESP_{number}"
    body = SystemEvent(event="device_offline", severity="warning", message=f"{esp_id} is gone", esp_id=esp_id, ts=1)
    return Outgoing(event_subject("system_event", esp_id), body.model_dump_json().encode(), f"off-{number}")


@pytest.mark.parametrize(
    "poison",
    [
        {"esp_id": "ESP_0", "message": "\0"},
        {"esp_id": "".join(random.Random(1).choices(string.ascii_letters + string.digits, k=9_000))},
        {"esp_id": "ESP_0", "ts": 10**21},
        {"esp_id": 7},
    ],
    ids=["U+0000", "a source that no index takes", "far time", "no text"],
)
async def test_an_event_that_the_database_refuses_ends_nothing_and_its_neighbours_are_alarms(start, bus, poison):
    body = {"event": "device_offline", "severity": "warning", "message": "m", "ts": 1, **poison}
    before, behind = offline(1), offline(2)
    bad = Outgoing(event_subject("system_event", "ESP_0"), json.dumps(body).encode(), "bad")
    await bus.publish_batch([before, bad, behind])
    process = start(**FAST)

    async def both():
        return {"ESP_1", "ESP_2"} <= {one.source for one in await shown(bus)}

    await until(both)
    await say(bus, "device_offline", "ESP_3")
    await until(lambda: shown(bus, esp_id="ESP_3"))
    assert process.poll() is None


async def test_ten_thousand_alarms_are_all_stored_in_few_messages_and_hide_no_other(start, bus, receiver, database):
    start(**FAST)
    await channel(bus, "hook", receiver.url)
    for first in range(0, COUNT, 500):
        if first == COUNT // 2:
            await say(bus, "emergency_stop", "ESP_X", severity="critical", gpio=None)
        await bus.publish_batch([offline(number) for number in range(first, first + 500)])

    async def all_stored():
        counts = await ask(bus, "statistics", StatisticsQuery(), AlarmStatistics)
        return (counts.warning, counts.critical, counts.unacknowledged) == (COUNT, 1, COUNT + 1)

    await until(all_stored, within_s=240.0)
    await until(has(lambda: [one for one in receiver.taken if "ESP_X" in one["title"] + one["message"]], 1))
    texts = [one["title"] + one["message"] for one in receiver.taken]
    assert len(receiver.references()) == len(set(receiver.references()))
    with psycopg.connect(database) as connection:
        (spread,) = connection.execute(
            "SELECT max(messages) FROM (SELECT count(DISTINCT bundle) AS messages FROM alarm.notifications"
            " GROUP BY date_trunc('minute', created_at)) AS a_minute"
        ).fetchone()
        (longest,) = connection.execute("SELECT max(length(message)) FROM alarm.alarms").fetchone()
    assert spread <= 2 * (MOST_A_MINUTE + 2)  # a minute of the clock lies in two of the service's
    assert longest < 100
    assert max(map(len, texts)) < 5000


def notification(kind="device_offline", severity="warning", times=1):
    key = Key(kind, "ESP_1")
    findings = [(Raise(key, severity, "m", 1), "1")]
    findings += [(one, "2") for _ in range(times - 1) for one in (Clear(key, 2), Raise(key, severity, "m", 3))]
    return DueNotification("key", "hook", applied({}, findings)[-1].alarm)


@pytest.mark.parametrize(
    ("one", "recent", "expected"),
    [
        (notification(), RecentMessages(), True),
        (notification(), RecentMessages(MOST_A_MINUTE - 1, frozenset({("warning", "device_offline")})), True),
        (notification(), RecentMessages(MOST_A_MINUTE, frozenset({("warning", "device_offline")})), False),
        (notification("stop"), RecentMessages(MOST_A_MINUTE, frozenset({("warning", "device_offline")})), True),
        (
            notification(severity="critical"),
            RecentMessages(MOST_A_MINUTE, frozenset({("warning", "device_offline")})),
            True,
        ),
    ],
)
def test_a_flood_of_one_kind_waits_and_another_kind_or_a_worse_severity_does_not(one, recent, expected):
    assert worth_now(one, recent) is expected


def test_an_alarm_that_is_raised_again_waits_and_a_worse_one_does_not():
    again = notification(times=3)
    told = RecentMessages(1, frozenset(), frozenset({(again.alarm.alarm_id, "warning")}))
    assert not worth_now(again, told)
    assert worth_now(again, RecentMessages(1))
    worse = again._replace(alarm=again.alarm.model_copy(update={"severity": "critical"}))
    assert worth_now(worse, told)


async def test_a_flapping_sensor_is_one_alarm_that_counts_and_one_message(start, bus, receiver, database):
    start(**FAST)
    await channel(bus, "hook", receiver.url)

    async def say_reading(number, quality, value):
        body = SensorDataEvent(
            kaiser_id="god", esp_id="ESP_1", gpio=4, sensor_type="ds18b20", ts=number, value=value, quality=quality
        )
        await bus.publish(event_pack_subject(), body.model_dump_json().encode())

    await say_reading(1, "error", None)
    await until(has(lambda: receiver.taken, 1))
    for number in range(2, 200, 2):
        await say_reading(number, "good", 20.0)
        await say_reading(number + 1, "error", None)

    async def counted():
        (alarm,) = await shown(bus)
        return alarm.times == 100 and alarm.state == "raised"

    await until(counted)
    await say(bus, "device_offline", "ESP_2")
    await until(has(lambda: receiver.taken, 2))
    assert ["ds18b20" in one["message"] for one in receiver.taken] == [True, False]
    with psycopg.connect(database) as connection:
        (rows,) = connection.execute("SELECT count(*) FROM alarm.alarms WHERE kind = 'sensor_fault'").fetchone()
    assert rows == 1


@pytest.fixture
def distrusted(free_port, tmp_path):
    """A mail server with STARTTLS and a certificate that it signed itself."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate),
         "-days", "1", "-subj", "/CN=mail.example.com"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with mail_server(free_port(), context) as found:
        yield found


async def test_a_mail_server_with_a_bad_certificate_gets_no_mail_and_is_an_alarm_on_another_channel(
    start, bus, receiver, distrusted
):
    start(**FAST)
    await channel(bus, "mail", distrusted.url)
    await channel(bus, "hook", receiver.url)
    await say(bus, "device_offline")
    (failed,) = await until(lambda: shown(bus, kind="delivery_failed"))
    assert failed.source == "mail"
    [row] = await notifications_of(bus, "mail", "device_offline")
    assert (row.state, row.error) == ("waiting", "the channel refused the message or could not be reached")
    await until(has(lambda: [one for one in receiver.taken if "mail takes no messages" in one["message"]], 1))
    assert distrusted.mails == []
