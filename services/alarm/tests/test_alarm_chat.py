"""Notifications to ntfy and to a Matrix room: HTTP servers that ask for a password, and answer as the real ones."""

from alarm_world import FAST, channel, has, say, shown, until
from chat_servers import matrix_server, ntfy_server


async def test_an_alarm_is_published_to_a_topic_of_ntfy_once_its_password_is_right(start, bus):
    with ntfy_server() as ntfy:
        ntfy.password = "another one"
        start(**FAST)
        await channel(bus, "phone", ntfy.url("greenhouse"))
        await say(bus, "emergency_stop", severity="critical", gpio=None)
        [failed] = await until(lambda: shown(bus, kind="delivery_failed"))
        assert (failed.source, ntfy.taken) == ("phone", [])
        ntfy.password = "a password of tests"
        await until(has(lambda: [one for one in ntfy.taken if "emergency_stop" in one["title"]], 1))
        await until(lambda: shown(bus, kind="delivery_failed", state="cleared"))
    [stop] = [one for one in ntfy.taken if "emergency_stop" in one["title"]]
    assert (stop["topic"], stop["title"]) == ("greenhouse", "critical: ESP_1: emergency_stop")
    assert "Reference: " in stop["message"]


async def test_each_alarm_is_a_message_of_its_own_in_a_room_of_matrix(start, bus):
    with matrix_server() as matrix:

        async def is_signed_out() -> bool:
            return not matrix.tokens

        start(**FAST)
        await channel(bus, "room", matrix.url)
        for device in ("ESP_1", "ESP_2"):
            await say(bus, "device_offline", device)
            await until(has(lambda device=device: [one for one in matrix.taken if device in one["body"]], 1))
        await until(is_signed_out)
    assert [one["msgtype"] for one in matrix.taken] == ["m.text", "m.text"]
    assert [("ESP_1" in one["body"], "ESP_2" in one["body"]) for one in matrix.taken] == [(True, False), (False, True)]
