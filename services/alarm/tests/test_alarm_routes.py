"""Alarms of the running service reach the right receivers, which are real, and no others; the test sets the clock."""

import asyncio
import email
import email.policy
import re
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime, time, timedelta
from functools import partial
from zoneinfo import ZoneInfo

import pytest
from alarm_world import ask, channel, has, say, shown, until
from kaiser_alarm.handlers import answer
from kaiser_alarm.jobs import holder
from kaiser_alarm.jobs.holder import AlarmHolder
from kaiser_alarm.jobs.notify import Notifying
from kaiser_alarm.publish.reach import guarded
from kaiser_alarm.settings import AlarmSettings
from kaiser_common.bus.bucket import BucketWriter
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.mirror import Mirror
from kaiser_common.contract.schemas.api.alarms import AcknowledgeAlarm, Alarm
from kaiser_common.contract.schemas.api.notifications import Notifications, NotificationsQuery
from kaiser_common.contract.schemas.api.sensors import SensorConfig
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.contract.schemas.event import SensorDataEvent
from kaiser_common.contract.subjects import (
    DEVICES_BUCKET,
    SENSOR_CONFIGS_BUCKET,
    event_pack_subject,
    sensor_config_key,
)
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.service import Service
from receivers import HttpReceiver, Mailbox, http_receiver

BERLIN = "Europe/Berlin"
WEDNESDAY, THURSDAY, SATURDAY = 2, 3, 5
_NAMED = re.compile(r"Kind: (\w+)\s*(?:<br ?/?>)?\s*Source: ([\w/-]+)")


class Clock:
    """Stands still until it is set. Ahead of the real one, by which NATS dates events."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC) + timedelta(days=1)

    def __call__(self) -> int:
        return round(self.now.timestamp() * 1000)

    def go_to(self, weekday: int, clock: str) -> None:
        """The next such moment in Berlin."""
        local = self.now.astimezone(ZoneInfo(BERLIN))
        day = local.date() + timedelta(days=(weekday - local.weekday()) % 7)
        found = datetime.combine(day, time.fromisoformat(clock), ZoneInfo(BERLIN))
        self.now = (found if found > local else found + timedelta(days=7)).astimezone(UTC)


class Site:
    """The running service, with a receiver that takes the alarms of every severity and zone at any hour."""

    def __init__(self, bus: Bus, clock: Clock, everything: HttpReceiver) -> None:
        self.bus = bus
        self.clock = clock
        self.everything = everything
        self._marks = 0

    async def settled(self) -> None:
        """Wait until everything that is due is sent. A mark that is raised now goes to `everything` alone: once it is
        there, the service has looked at all earlier alarms."""
        self._marks += 1
        mark = f"mark-{self._marks}"
        await say(self.bus, "rule_alarm_raised", "ESP_MARK", severity="info", name=mark)

        async def all_sent() -> bool:
            if mark not in {source for _, source in named(self.everything)}:
                return False
            found = (await ask(self.bus, "notifications", NotificationsQuery(limit=1000), Notifications)).items
            return all(one.state == "sent" for one in found)

        await until(all_sent)


def named(receiver: HttpReceiver | Mailbox) -> list[tuple[str, str]]:
    """Kind and source of each alarm that a receiver was sent, in order."""
    if isinstance(receiver, HttpReceiver):
        return [pair for one in receiver.taken for pair in _NAMED.findall(one["message"])]
    mails = (email.message_from_string(mail, policy=email.policy.default) for mail in receiver.mails)
    bodies = (mail.get_body(("plain", "html")) for mail in mails)
    return [pair for body in bodies if body is not None for pair in _NAMED.findall(body.get_content())]


@pytest.fixture
def another():
    """`another()`: an HTTP receiver of its own."""
    with ExitStack() as opened:
        yield lambda: opened.enter_context(http_receiver())


@asynccontextmanager
async def running(bus: Bus, settings: AlarmSettings, clock: Callable[[], int]) -> AsyncIterator[None]:
    """The work of the service in this process, by a clock of the test's own."""
    service = Service("alarm")
    reach = guarded(tuple(settings.alarm_channel_networks))
    async with open_pool(settings, "alarm") as pool:
        new_broker = partial(Broker, bus, service, settings)
        service_work = AlarmHolder(bus, pool, new_broker, answer, settings, reach, clock)
        stop = asyncio.Event()
        work = asyncio.create_task(service_work.until(stop))
        try:
            yield
        finally:
            stop.set()
            async with asyncio.timeout(60):
                await work


@pytest.fixture
def settings(make_database, tmp_path):
    return AlarmSettings(
        database_url=make_database(),
        state_dir=tmp_path,
        alarm_notify_s=0.1,
        alarm_channel_timeout_s=60,
        alarm_channel_networks=["127.0.0.0/8"],
    )


@pytest.fixture
async def site(bus, settings, another):
    clock, everything = Clock(), another()
    async with running(bus, settings, clock):
        await channel(bus, "everything", everything.url, severities=["critical", "warning", "info"])
        yield Site(bus, clock, everything)


async def offline(site: Site, *devices: str) -> None:
    """Raise a warning of each device."""
    for esp_id in devices:
        await say(site.bus, "device_offline", esp_id)


async def stopped(site: Site, *devices: str) -> None:
    """Raise a critical alarm of each device."""
    for esp_id in devices:
        await say(site.bus, "emergency_stop", esp_id, severity="critical", gpio=None)


async def bad_reading(bus: Bus, esp_id: str) -> None:
    """Raise a warning of a sensor."""
    reading = SensorDataEvent(
        kaiser_id="god", esp_id=esp_id, gpio=4, sensor_type="ds18b20", ts=1, value=None, quality="error"
    )
    await bus.publish(event_pack_subject(), reading.model_dump_json().encode())


async def test_an_alarm_reaches_the_receivers_of_its_severity_and_zone_and_no_other(site, another, mailbox):
    registry = await BucketWriter.open(site.bus, DEVICES_BUCKET)
    for esp_id, zone_id in (("ESP_N", "north"), ("ESP_S", "south"), ("ESP_NOWHERE", None)):
        record = DeviceRecord(esp_id=esp_id, kaiser_id="god", state="approved", zone_id=zone_id)
        await registry.put(esp_id, record.model_dump_json().encode())
    north, south, unused = another(), another(), another()
    await stopped(site, "ESP_S")
    await until(lambda: shown(site.bus, zone_id="south"), "the registry is read")
    await channel(site.bus, "north", north.url, zones=["north"])
    await channel(site.bus, "south", south.url, zones=["south"], severities=["warning"])
    await channel(site.bus, "critical", mailbox.url, severities=["critical"])
    await channel(site.bus, "unused", unused.url, enabled=False)
    await offline(site, "ESP_N", "ESP_S", "ESP_NOWHERE")
    await site.settled()
    await stopped(site, "ESP_N", "ESP_NOWHERE")
    await site.settled()
    assert sorted(named(north)) == [("device_offline", "ESP_N"), ("stop_in_force", "ESP_N")]
    assert named(south) == [("device_offline", "ESP_S")]
    assert sorted(named(mailbox)) == [("stop_in_force", esp_id) for esp_id in ("ESP_N", "ESP_NOWHERE", "ESP_S")]
    assert unused.taken == []
    alarms = [pair for pair in named(site.everything) if pair[0] != "rule_alarm"]
    assert len(alarms) == len(set(alarms)) == 6


async def test_no_alarm_is_sent_before_the_zones_of_devices_are_read(bus, settings, receiver, monkeypatch):
    """Otherwise a route of a zone would not take the alarm, and every start would raise no_channel."""
    monkeypatch.setattr(holder, "_ZONES_WITHIN_S", 600.0)
    may_read, looks, look = asyncio.Event(), [], Notifying.look

    class Late(Mirror):
        async def keep(self):
            await may_read.wait()
            await super().keep()

    async def counted(job):
        looks.append(job)
        await look(job)

    def devices_of(bus):
        return Late(bus, DEVICES_BUCKET, DeviceRecord.model_validate_json, stamp=lambda record, _: record)

    monkeypatch.setattr(holder, "devices_of", devices_of)
    monkeypatch.setattr(Notifying, "look", counted)
    registry = await BucketWriter.open(bus, DEVICES_BUCKET)
    record = DeviceRecord(esp_id="ESP_N", kaiser_id="god", state="approved", zone_id="north")
    await registry.put("ESP_N", record.model_dump_json().encode())
    async with running(bus, settings, Clock()):
        await channel(bus, "north", receiver.url, zones=["north"])
        await say(bus, "device_offline", "ESP_N")
        await until(lambda: shown(bus, kind="device_offline"))
        assert looks == []
        may_read.set()
        await until(has(lambda: receiver.taken, 1))
        assert named(receiver) == [("device_offline", "ESP_N")]
        assert await shown(bus, kind="no_channel") == []


async def test_a_message_has_the_configured_names_and_the_ids(bus, settings, receiver):
    registry = await BucketWriter.open(bus, DEVICES_BUCKET)
    record = DeviceRecord(esp_id="ESP_N", kaiser_id="god", state="approved", name="North house")
    await registry.put("ESP_N", record.model_dump_json().encode())
    configs = await BucketWriter.open(bus, SENSOR_CONFIGS_BUCKET)
    config = SensorConfig(esp_id="ESP_N", gpio=4, sensor_type="ds18b20", name="East air")
    await configs.put(sensor_config_key("ESP_N", 4, "ds18b20"), config.model_dump_json().encode())
    async with running(bus, settings, Clock()):
        await channel(bus, "all", receiver.url, severities=["critical", "warning"])
        await bad_reading(bus, "ESP_N")
        await until(has(lambda: receiver.taken, 1))
    [sent] = receiver.taken
    assert sent["title"] == "warning: East air on gpio 4 of North house is faulty or out of range"
    assert "Source: ESP_N/4/ds18b20" in sent["message"]
    assert "Device: North house (ESP_N)" in sent["message"]


async def test_an_alarm_is_sent_without_the_names_of_sensors_while_they_cannot_be_read(
    bus, settings, receiver, monkeypatch
):
    class Never(Mirror):
        async def keep(self):
            await asyncio.Event().wait()

    monkeypatch.setattr(holder, "sensor_names_of", lambda bus: Never(bus, SENSOR_CONFIGS_BUCKET, bytes.decode))
    monkeypatch.setattr(holder, "_NAMES_WITHIN_S", 0.05)
    async with running(bus, settings, Clock()):
        await channel(bus, "all", receiver.url, severities=["critical", "warning"])
        await bad_reading(bus, "ESP_N")
        await until(has(lambda: receiver.taken, 1))
    assert named(receiver) == [("sensor_fault", "ESP_N/4/ds18b20")]


async def test_day_and_night_have_receivers_of_their_own_and_the_next_shift_gets_what_stands(site, another, mailbox):
    day, weekend = another(), another()
    site.clock.go_to(WEDNESDAY, "12:00")
    hours = {"time_zone": BERLIN}
    await channel(site.bus, "day", day.url, active_from="06:00", active_to="22:00", **hours)
    await channel(site.bus, "night", mailbox.url, active_from="22:00", active_to="06:00", **hours)
    await channel(site.bus, "weekend", weekend.url, days_of_week=[5, 6], **hours)
    await offline(site, "ESP_DAY", "ESP_SEEN")
    await site.settled()
    assert sorted(named(day)) == [("device_offline", "ESP_DAY"), ("device_offline", "ESP_SEEN")]
    [seen] = await shown(site.bus, esp_id="ESP_SEEN")
    await ask(site.bus, "acknowledge", AcknowledgeAlarm(alarm_id=seen.alarm_id), Alarm)
    site.clock.go_to(WEDNESDAY, "21:59")
    await site.settled()
    assert (mailbox.mails, weekend.taken) == ([], [])

    site.clock.go_to(WEDNESDAY, "22:00")
    await offline(site, "ESP_NIGHT")
    await site.settled()
    assert sorted(named(mailbox)) == [("device_offline", "ESP_DAY"), ("device_offline", "ESP_NIGHT")]
    assert (len(day.taken), weekend.taken) == (2, [])

    site.clock.go_to(SATURDAY, "07:00")
    await site.settled()
    assert sorted(named(weekend)) == [("device_offline", "ESP_DAY"), ("device_offline", "ESP_NIGHT")]
    assert named(day)[2:] == [("device_offline", "ESP_NIGHT")], "each shift is notified once of each alarm"
    assert len(mailbox.mails) == 2


async def test_quiet_hours_hold_alarms_back_and_at_their_end_those_that_stand_are_sent(site, another, mailbox):
    quiet = another()
    site.clock.go_to(WEDNESDAY, "23:00")
    hours = {"quiet_from": "22:00", "quiet_to": "06:00", "time_zone": BERLIN}
    await channel(site.bus, "quiet", quiet.url, **hours)
    await channel(site.bus, "critical", mailbox.url, severities=["critical"])
    await offline(site, "ESP_STANDS", "ESP_BACK")
    await stopped(site, "ESP_STOPPED")
    await site.settled()
    await say(site.bus, "device_online", "ESP_BACK")
    site.clock.go_to(THURSDAY, "05:59")
    await site.settled()
    assert quiet.taken == []
    assert named(mailbox) == [("stop_in_force", "ESP_STOPPED")]

    site.clock.go_to(THURSDAY, "06:00")
    await site.settled()
    assert sorted(named(quiet)) == [("device_offline", "ESP_STANDS"), ("stop_in_force", "ESP_STOPPED")]
    await offline(site, "ESP_LATER")
    await site.settled()
    assert named(quiet)[2:] == [("device_offline", "ESP_LATER")]
    assert len(mailbox.mails) == 1


async def test_an_alarm_is_repeated_on_each_receiver_until_it_is_acknowledged(site, another, mailbox):
    hook = another()
    await offline(site, "ESP_1")
    [alarm] = await until(lambda: shown(site.bus, kind="device_offline"))
    first_at = alarm.last_raised_at / 1000 + 144 * 600
    received = []
    for after_s in (0, 599.999, 600, 1199.999, 1200):
        site.clock.now = datetime.fromtimestamp(first_at + after_s, UTC)
        if not received:
            await channel(site.bus, "hook", hook.url, repeat_s=600)
            await channel(site.bus, "mail", mailbox.url, repeat_s=600)
        await site.settled()
        received.append((len(hook.taken), len(mailbox.mails)))
    assert received == [(1, 1), (1, 1), (2, 2), (2, 2), (3, 3)]

    await ask(site.bus, "acknowledge", AcknowledgeAlarm(alarm_id=alarm.alarm_id), Alarm)
    site.clock.now += timedelta(hours=5)
    await site.settled()
    assert (len(hook.taken), len(mailbox.mails)) == (3, 3)
    assert len(set(hook.references())) == 3
    assert set(named(hook)) == set(named(mailbox)) == {("device_offline", "ESP_1")}


async def test_a_channel_that_is_back_after_hours_gets_the_alarm_that_stands(site, another):
    late = another()
    late.status = 500
    await channel(site.bus, "late", late.url, severities=["critical"])
    await stopped(site, "ESP_1")

    async def tried(times: int) -> bool:
        query = NotificationsQuery(channel_id="late")
        found = (await ask(site.bus, "notifications", query, Notifications)).items
        return [(one.state, one.tries >= times) for one in found] == [("waiting", True)]

    for number in range(1, 9):
        await until(partial(tried, number))
        site.clock.now += timedelta(minutes=31)
    late.status = 200
    site.clock.now += timedelta(minutes=31)
    await until(has(lambda: late.taken, 1))
    assert named(late) == [("stop_in_force", "ESP_1")]
