"""URLs of channels are encrypted at rest: openssl reads them with the service's key and with no other. Without that key
the service goes on, and reports immediately the channels whose URL must be set again."""

import base64
import hmac
import json
import os
import subprocess

import forked
import psycopg
import pytest
from alarm_world import FAST, ask, channel, has, say, shown, until
from kaiser_alarm.settings import AlarmSettings
from kaiser_alarm.store.sealing import Sealing, WrongKey, key_of
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.notifications import (
    Channel,
    ChannelBody,
    ChannelKey,
    Channels,
    ChannelTested,
    Notifications,
    NotificationsQuery,
    PutChannel,
)
from kaiser_common.runtime.settings import SettingsError, load

SECRET = "hunter2secret"
URL = f"mailtos://user:{SECRET}@mail.example.com/?to=ops@example.com"
KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
OTHER_KEY = "YTEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


def opened(stored: str, key: str) -> str | None:
    """A stored URL as openssl decrypts it with a key (github.com/fernet/spec); None: not with this key."""
    raw = base64.urlsafe_b64decode(key + "=" * (-len(key) % 4))
    token = base64.urlsafe_b64decode(stored)
    version, iv, text, mark = token[0], token[9:25], token[25:-32], token[-32:]
    if version != 0x80 or not hmac.compare_digest(hmac.digest(raw[:16], token[:-32], "sha256"), mark):
        return None
    command = ["openssl", "enc", "-d", "-aes-128-cbc", "-K", raw[16:].hex(), "-iv", iv.hex()]
    return subprocess.run(command, input=text, capture_output=True, check=True, timeout=60).stdout.decode()


def everything_in(database: str) -> str:
    """Every row of every table of the service, as JSON."""
    with psycopg.connect(database) as connection:
        tables = connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'alarm'"
        ).fetchall()
        rows = [row for (table,) in tables for row in connection.execute(f"SELECT to_jsonb(one) FROM {table} AS one")]
    return json.dumps(rows)


def stored_url(database: str, channel_id: str) -> str:
    with psycopg.connect(database) as connection:
        query = "SELECT url FROM alarm.channels WHERE channel_id = %s"
        [(found,)] = connection.execute(query, (channel_id,)).fetchall()
    return found


async def put(bus, channel_id, url):
    body = PutChannel(channel_id=channel_id, channel=ChannelBody(name=channel_id, url=url))
    return await ask(bus, "put_channel", body, Channel)


async def test_a_stored_url_is_read_with_the_key_of_the_service_and_with_no_other(start, bus, database, tmp_path):
    start()
    await put(bus, "mail", URL)
    await put(bus, "again", URL)
    key = (tmp_path / "alarm-key").read_text().strip()
    assert (tmp_path / "alarm-key").stat().st_mode & 0o777 == 0o600
    stored = stored_url(database, "mail")
    assert opened(stored, key) == URL
    assert opened(stored, OTHER_KEY) is None
    assert opened(stored_url(database, "again"), key) == URL
    assert stored != stored_url(database, "again"), "the same URL is encrypted differently each time"
    rows = everything_in(database)
    assert '"mail"' in rows
    for hidden in (SECRET, base64.b64encode(SECRET.encode()).decode(), SECRET.encode().hex(), key):
        assert hidden not in rows


def test_a_text_is_opened_with_its_own_key_alone_and_a_changed_one_not_at_all():
    sealed = Sealing(KEY).seal(URL)
    assert Sealing(KEY).open(sealed) == Sealing(KEY.rstrip("=")).open(sealed) == opened(sealed, KEY) == URL
    with pytest.raises(WrongKey):
        Sealing(OTHER_KEY).open(sealed)
    for place in (0, len(sealed) // 2, len(sealed) - 8):
        changed = sealed[:place] + ("A" if sealed[place] != "A" else "B") + sealed[place + 1 :]
        with pytest.raises(WrongKey):
            Sealing(KEY).open(changed)


async def test_with_another_key_each_channel_is_an_alarm_at_once_and_a_new_url_ends_it(
    start, bus, receiver, mailbox, database, tmp_path
):
    """No alarm has to be sent first. The service goes on, and channels that were set with the new key work."""
    process = start(**FAST)
    await channel(bus, "hook", receiver.url)
    await say(bus, "device_offline", "ESP_BEFORE")
    await until(has(lambda: receiver.taken, 1))
    process.terminate()
    process.wait(60)
    process = start(**FAST, KAISER_ALARM_KEY=OTHER_KEY)
    [failed] = await until(lambda: shown(bus, kind="delivery_failed"))
    assert (failed.source, failed.severity, failed.state) == ("hook", "critical", "raised")
    assert "another key" in failed.message
    assert "set the URL" in failed.message
    [listed] = (await ask(bus, "channels", Nothing(), Channels)).channels
    assert "another key" in str(listed.last_error)
    tested = await ask(bus, "test_channel", ChannelKey(channel_id="hook"), ChannelTested)
    assert (tested.is_sent, "another key" in str(tested.error)) == (False, True)

    await channel(bus, "mail", mailbox.url)
    await say(bus, "device_offline", "ESP_AFTER")
    await until(has(lambda: [mail for mail in mailbox.mails if "ESP_AFTER" in mail], 1))
    await until(has(lambda: [mail for mail in mailbox.mails if "hook takes no messages" in mail], 1))
    assert len(receiver.taken) == 1
    assert process.poll() is None

    await put(bus, "hook", receiver.url)
    await ask(bus, "test_channel", ChannelKey(channel_id="hook"), ChannelTested)
    await until(lambda: shown(bus, kind="delivery_failed", state="cleared"))
    assert opened(stored_url(database, "hook"), OTHER_KEY) == receiver.url
    assert opened(stored_url(database, "hook"), (tmp_path / "alarm-key").read_text().strip()) is None


async def test_a_lost_key_file_is_an_alarm_too_and_with_the_old_key_what_waits_is_delivered(
    start, bus, receiver, tmp_path
):
    process = start(**FAST)
    await channel(bus, "hook", receiver.url)
    await say(bus, "device_offline", "ESP_BEFORE")
    await until(has(lambda: receiver.taken, 1))
    process.terminate()
    process.wait(60)
    old = tmp_path / "alarm-key"
    kept = old.rename(tmp_path / "kept")
    process = start(**FAST)
    await until(lambda: shown(bus, kind="delivery_failed", state="raised"))
    await say(bus, "device_offline", "ESP_MEANWHILE")

    async def was_tried() -> bool:
        found = (await ask(bus, "notifications", NotificationsQuery(channel_id="hook"), Notifications)).items
        return any(one.state == "waiting" and one.tries for one in found)

    await until(was_tried)
    process.terminate()
    process.wait(60)
    kept.replace(old)
    start(**FAST)
    await until(has(lambda: [one for one in receiver.taken if "ESP_MEANWHILE" in one["message"]], 1))
    await until(lambda: shown(bus, kind="delivery_failed", state="cleared"))
    assert len(receiver.references()) == len(set(receiver.references()))


@pytest.mark.parametrize("where", ["setting", "file", "state folder"])
@pytest.mark.parametrize("key", ["too-short-1", "x" * 43 + "!", KEY + KEY, "ä" * 22])
def test_what_is_no_key_is_refused_at_the_start_without_showing_it(tmp_path, free_port, where, key):
    environment = {**os.environ, "KAISER_STATE_DIR": str(tmp_path), "KAISER_METRICS_PORT": str(free_port())}
    name = "KAISER_ALARM_KEY"
    if where == "setting":
        environment[name] = key
    else:
        path = tmp_path / ("alarm-key" if where == "state folder" else "key")
        path.write_text(key + "\n")
        if where == "file":
            environment["KAISER_ALARM_KEY_FILE"], name = str(path), "KAISER_ALARM_KEY_FILE"
        else:
            name = str(path)
    ended = forked.run(["kaiser-alarm"], timeout=60, env=environment)
    assert ended.returncode == 2
    assert name in ended.stderr
    assert "32 bytes in URL-safe base64" in ended.stderr
    assert key not in ended.stderr + ended.stdout


@pytest.mark.parametrize("where", ["file", "state folder"])
def test_a_key_file_that_cannot_be_read_is_named_with_its_setting(tmp_path, monkeypatch, where):
    monkeypatch.setenv("KAISER_STATE_DIR", str(tmp_path))
    path = tmp_path / "alarm-key"
    path.mkdir()
    name = "the key"
    if where == "file":
        monkeypatch.setenv("KAISER_ALARM_KEY_FILE", str(path))
        name = "KAISER_ALARM_KEY_FILE"
    with pytest.raises(SettingsError, match=f"{name}={path}: the file cannot be read: Is a directory"):
        load(AlarmSettings)


def test_a_key_file_that_is_no_text_is_named_too(tmp_path, monkeypatch):
    monkeypatch.setenv("KAISER_ALARM_KEY_FILE", str(tmp_path / "key"))
    (tmp_path / "key").write_bytes(b"\xff" * 43)
    with pytest.raises(SettingsError, match=f"KAISER_ALARM_KEY_FILE={tmp_path}/key: .* holds something else"):
        load(AlarmSettings)


def test_a_key_file_that_is_named_must_be_there_and_the_one_of_the_state_folder_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("KAISER_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("KAISER_ALARM_KEY_FILE", str(tmp_path / "missing"))
    with pytest.raises(SettingsError, match=r"KAISER_ALARM_KEY_FILE=.*missing"):
        load(AlarmSettings)
    monkeypatch.delenv("KAISER_ALARM_KEY_FILE")
    key = key_of(load(AlarmSettings))
    assert Sealing(key).open(Sealing(key_of(load(AlarmSettings))).seal(URL)) == URL
    assert (tmp_path / "alarm-key").read_text().strip() == key
