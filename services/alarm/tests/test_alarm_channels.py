"""Notifications to a real mail server and a real HTTP receiver, which also refuses and never answers."""

import psycopg
import pytest
from alarm_world import FAST, ask, channel, has, notifications_of, say, shown, until
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.alarms import AcknowledgeAlarm, Alarm
from kaiser_common.contract.schemas.api.notifications import (
    Channel,
    ChannelBody,
    ChannelKey,
    Channels,
    ChannelTested,
    Notifications,
    NotificationsQuery,
    PutChannel,
    PutRoute,
    Route,
    RouteBody,
    RouteKey,
)


async def test_an_alarm_is_delivered_by_mail_and_by_http_once_a_key(start, bus, receiver, mailbox):
    start(**FAST)
    await channel(bus, "hook", receiver.url)
    await channel(bus, "mail", mailbox.url)
    await say(bus, "emergency_stop", severity="critical", gpio=None)
    await until(has(lambda: receiver.taken, 1))
    await until(has(lambda: mailbox.mails, 1))
    assert receiver.taken[0]["title"] == "critical: ESP_1: emergency_stop"
    assert "Subject: critical: ESP_1: emergency_stop" in mailbox.mails[0]
    (alarm,) = await shown(bus)
    query = NotificationsQuery(alarm_id=alarm.alarm_id)

    async def both_sent():
        found = (await ask(bus, "notifications", query, Notifications)).items
        return len(found) == 2 and all(one.state == "sent" for one in found)

    await until(both_sent)
    done = await ask(bus, "acknowledge", AcknowledgeAlarm(alarm_id=alarm.alarm_id), Alarm)
    assert done.state == "acknowledged"
    assert (len(receiver.taken), len(mailbox.mails)) == (1, 1)


async def test_an_alarm_that_flaps_unacknowledged_is_escalated_to_a_mail_server(start, bus, receiver, mailbox):
    start(**FAST)
    await channel(bus, "hook", receiver.url)
    await channel(bus, "mail", mailbox.url, after_s=5)

    async def flaps() -> bool:
        await say(bus, "device_online")
        await say(bus, "device_offline")
        return bool(mailbox.mails)

    await until(flaps, every_s=0.5)
    assert "device_offline" in mailbox.mails[0]
    (alarm,) = await shown(bus, kind="device_offline")
    assert alarm.times > 1
    assert alarm.acknowledged_at is None


async def test_a_channel_that_refuses_is_an_alarm_and_takes_the_message_later(start, bus, receiver, mailbox):
    receiver.status = 500
    start(**FAST)
    await channel(bus, "hook", receiver.url)
    await channel(bus, "mail", mailbox.url)
    await say(bus, "device_offline")
    (failed,) = await until(lambda: shown(bus, kind="delivery_failed"))
    assert (failed.source, failed.severity) == ("hook", "critical")
    await until(has(lambda: [mail for mail in mailbox.mails if "hook takes no messages" in mail], 1))
    receiver.status = 200
    await until(has(lambda: [one for one in receiver.taken if "device_offline" in one["message"]], 1))
    await until(lambda: shown(bus, kind="delivery_failed", state="cleared"))
    assert len(receiver.references()) == len(set(receiver.references()))


async def test_a_channel_that_never_answers_holds_up_no_other_and_gets_the_message_later(start, bus, receiver, mailbox):
    receiver.status = None
    start(**FAST | {"KAISER_ALARM_CHANNEL_TIMEOUT_S": "2"})
    await channel(bus, "hook", receiver.url)
    await channel(bus, "mail", mailbox.url)
    await say(bus, "device_offline")
    await until(has(lambda: mailbox.mails, 1))
    (failed,) = await until(lambda: shown(bus, kind="delivery_failed"))
    assert "no answer within 2 s" in failed.message
    [row] = await notifications_of(bus, "hook", "device_offline")
    assert (row.state, row.error) == ("waiting", "no answer within 2 s")
    receiver.status = 200
    await until(has(lambda: [one for one in receiver.taken if "device_offline" in one["message"]], 1))

    async def is_sent():
        return [one.state for one in await notifications_of(bus, "hook", "device_offline")] == ["sent"]

    await until(is_sent)
    await until(lambda: shown(bus, kind="delivery_failed", state="cleared"))


async def test_killed_at_any_time_each_alarm_is_delivered_and_none_twice_unless_it_was_under_way(
    start, bus, receiver, database
):
    process = start(**FAST)
    await channel(bus, "hook", receiver.url)
    for number in range(12):
        await say(bus, "device_offline", f"ESP_{number}")
        if number % 4 == 1:
            await until(has(lambda: receiver.taken, 1))
            process.kill()
            process.wait(60)
            process = start(**FAST)
    await until(lambda: all_ended(database, 12))
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT key, alarm_id, bundle FROM alarm.notifications").fetchall()
    assert len({key for key, _, _ in rows}) == len({alarm_id for _, alarm_id, _ in rows}) == 12
    assert set(receiver.references()) == {bundle for _, _, bundle in rows}
    with psycopg.connect(database) as connection:
        (tries,) = connection.execute(
            "SELECT sum(tries) FROM (SELECT max(tries) AS tries FROM alarm.notifications GROUP BY bundle) AS one"
        ).fetchone()
    assert len(receiver.taken) <= tries + 3 * 4  # four messages are under way at most when it is killed


async def all_ended(database, count):
    with psycopg.connect(database) as connection:
        (sent,) = connection.execute("SELECT count(*) FROM alarm.notifications WHERE state = 'sent'").fetchone()
    return sent >= count


async def test_a_flood_is_one_summary_that_hides_no_other_condition(start, bus, receiver, database):
    process = start()
    for number in range(300):
        await say(bus, "device_offline", f"ESP_{number}")
    await say(bus, "emergency_stop", "ESP_X", severity="critical", gpio=None)

    async def all_raised():
        return len(await shown(bus, limit=1000)) == 301

    await until(all_raised)
    await channel(bus, "hook", receiver.url)
    process.terminate()
    process.wait(60)
    start(**FAST)
    await until(lambda: all_ended(database, 301))
    (summary,) = receiver.taken
    keys, cursor = [], None
    while True:
        page = await ask(bus, "notifications", NotificationsQuery(limit=100, cursor=cursor), Notifications)
        keys += [one.key for one in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert len(keys) == len(set(keys)) == 301
    assert summary["title"] == "critical: 301 alarms"
    assert "critical stop_in_force: 1 (ESP_X)" in summary["message"]
    assert "warning device_offline: 300" in summary["message"]


async def test_without_a_channel_for_its_severity_that_is_an_alarm_itself(start, bus, receiver):
    """It ends only with an enabled route that takes the severity to an enabled channel."""
    start(**FAST)
    await say(bus, "device_offline")
    [missing] = await until(lambda: shown(bus, kind="no_channel", state="raised"))
    assert missing.source == "warning"
    await channel(bus, "hook", receiver.url, severities=["critical"])
    await channel(bus, "off", receiver.url, severities=["warning"], enabled=False)
    off = ChannelBody(name="dark", url=receiver.url, enabled=False)
    await ask(bus, "put_channel", PutChannel(channel_id="dark", channel=off), Channel)
    to_dark = RouteBody(channels=["dark"], severities=["warning"])
    await ask(bus, "put_route", PutRoute(route_id="dark", route=to_dark), Route)
    await say(bus, "emergency_stop", severity="critical", gpio=None)
    await until(has(lambda: receiver.taken, 1))  # it has looked at these routes
    assert [one.source for one in await shown(bus, kind="no_channel", state="raised")] == ["warning"]
    dark = PutChannel(channel_id="dark", channel=off.model_copy(update={"enabled": True}))
    await ask(bus, "put_channel", dark, Channel)
    await until(lambda: shown(bus, kind="no_channel", state="cleared"))
    assert await shown(bus, kind="no_channel", state="raised") == []


@pytest.mark.parametrize("end", ["test", "disable", "remove"])
async def test_a_channel_that_works_again_or_is_used_no_more_has_not_failed(start, bus, receiver, end):
    receiver.status = 500
    start(**FAST)
    await channel(bus, "hook", receiver.url)
    await say(bus, "device_offline")
    await until(lambda: shown(bus, kind="delivery_failed", state="raised"))
    if end == "test":
        receiver.status = 200
        tested = await ask(bus, "test_channel", ChannelKey(channel_id="hook"), ChannelTested)
        assert tested.is_sent
    elif end == "disable":
        off = PutChannel(channel_id="hook", channel=ChannelBody(name="hook", enabled=False))
        await ask(bus, "put_channel", off, Channel)
    else:
        await ask(bus, "delete_route", RouteKey(route_id="hook"), Nothing)
        await ask(bus, "delete_channel", ChannelKey(channel_id="hook"), Nothing)
    await until(lambda: shown(bus, kind="delivery_failed", state="cleared"))


async def test_a_channels_secret_is_encrypted_and_never_shown(start, bus, database):
    start()
    url = "mailtos://user:hunter2secret@mail.example.com/?to=ops@example.com"
    request = PutChannel(channel_id="mail", channel=ChannelBody(name="Mail", url=url))
    found = await ask(bus, "put_channel", request, Channel)
    assert found.kind == "mailtos"
    listed = await ask(bus, "channels", Nothing(), Channels)
    assert "hunter2secret" not in listed.model_dump_json() + found.model_dump_json()
    with psycopg.connect(database) as connection:
        (stored,) = connection.execute("SELECT url FROM alarm.channels").fetchone()
    assert "hunter2secret" not in stored
    kept = PutChannel(channel_id="mail", channel=ChannelBody(name="Mail of ops"))
    assert (await ask(bus, "put_channel", kept, Channel)).name == "Mail of ops"


@pytest.mark.parametrize("url", ["nothing", "nosuchkind://host", "syslog://", "mailto://"])
async def test_a_url_that_names_no_channel_is_refused(start, bus, url):
    start()
    request = PutChannel(channel_id="bad", channel=ChannelBody(name="bad", url=url))
    with pytest.raises(RpcError) as refused:
        await ask(bus, "put_channel", request, Channel)
    assert (refused.value.problem.status, refused.value.problem.field) == (422, "url")


async def test_routes_and_channels_are_checked_and_belong_to_administrators(start, bus, receiver):
    start()
    for fields, field in (
        ({"channels": ["nobody"]}, "channels"),
        ({"channels": ["hook"], "time_zone": "Europe/Nowhere"}, "time_zone"),
        ({"channels": ["hook"], "quiet_from": "22:00"}, "quiet_from, quiet_to"),
        ({"channels": ["hook"], "active_to": "22:00"}, "active_from, active_to"),
        ({"channels": ["hook"], "active_from": "06:00", "active_to": "06:00"}, "active_from, active_to"),
    ):
        await channel(bus, "hook", receiver.url)
        with pytest.raises(RpcError) as refused:
            await ask(bus, "put_route", PutRoute(route_id="r", route=RouteBody(**fields)), Route)
        assert (refused.value.problem.status, refused.value.problem.field) == (422, field)
    with pytest.raises(RpcError) as refused:
        await ask(bus, "delete_channel", ChannelKey(channel_id="hook"), Nothing)
    assert refused.value.problem.status == 409
    operator = Caller(user="otto", role="operator")
    with pytest.raises(RpcError) as refused:
        await call(bus, "alarm", "test_channel", ChannelKey(channel_id="hook"), ChannelTested, caller=operator)
    assert refused.value.problem.status == 403


async def test_notifications_and_the_test_of_a_channel_are_in_the_language_that_is_set(start, bus, receiver):
    start(**FAST, KAISER_ALARM_LANGUAGE="de")
    await channel(bus, "hook", receiver.url)
    await say(bus, "device_offline", "ESP_1")
    await until(has(lambda: receiver.taken, 1))
    assert receiver.taken[0]["title"] == "Warnung: ESP_1 ist offline"
    assert "Quelle: ESP_1\nAusgelöst: " in receiver.taken[0]["message"]
    await ask(bus, "test_channel", ChannelKey(channel_id="hook"), ChannelTested)
    assert receiver.taken[1]["title"] == "Kaiser: Test"
    assert receiver.taken[1]["message"] == "ada hat diesen Test des Kanals hook gesendet."


async def test_the_test_button_says_how_it_ended(start, bus, receiver):
    start(**FAST)
    await channel(bus, "hook", receiver.url)
    tested = await ask(bus, "test_channel", ChannelKey(channel_id="hook"), ChannelTested)
    assert tested == ChannelTested(is_sent=True)
    assert receiver.taken[0]["title"] == "Kaiser: test"
    receiver.status = 500
    tested = await ask(bus, "test_channel", ChannelKey(channel_id="hook"), ChannelTested)
    assert not tested.is_sent
