"""The reach of channels: Apprise's own plugins against receivers on this machine."""

import socket
import threading
from contextlib import closing
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network

import pytest
from kaiser_alarm.domain.notification_texts import Text
from kaiser_alarm.publish.channels import ChannelSender, WrongUrl, kind_of
from kaiser_alarm.publish.reach import Reach, Unreachable, guarded

TEXT = Text("critical", "a leak")
SETTING = "KAISER_ALARM_CHANNEL_NETWORKS"


@cache
def reach(networks: tuple[str, ...]) -> Reach:
    """Once for the same networks: what is guarded stays so for the life of this process."""
    return guarded(tuple(ip_network(each) for each in networks))


async def sent(url: str, *networks: str) -> str | None:
    with closing(ChannelSender(60.0, reach(networks))) as sender:
        return await sender.send(url, TEXT)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "[::1]", "0.0.0.0"])
async def test_a_channel_does_not_reach_this_machine_unless_its_network_is_listed(receiver, host):
    """Every spelling of it that Apprise takes; the administrator gets the reason."""
    assert SETTING in (await sent(receiver.url.replace("127.0.0.1", host), "10.0.0.0/8") or "")
    assert receiver.taken == []


async def test_a_network_that_is_listed_is_reached(receiver):
    assert await sent(receiver.url, "10.0.0.0/8", "127.0.0.0/8") is None
    assert len(receiver.taken) == 1


@pytest.mark.parametrize(
    "url",
    [
        "mailto://127.0.0.1:9/?from=a@example.com&to=b@example.com&mode=insecure",
        "mqtt://127.0.0.1:9/topic",
        "xml://169.254.169.254/latest/meta-data",
        "json://168.63.129.16/machine",
        "form://192.168.0.1/",
    ],
)
async def test_no_library_that_sends_a_message_reaches_a_private_address(url):
    assert SETTING in (await sent(url) or "")


async def test_a_redirect_of_a_channel_leads_to_no_private_address(receiver):
    """The receiver that redirects is on a network that is listed, the one that it names is not."""
    moved = f"http://127.0.0.2:{receiver.url.rpartition(':')[2]}"

    class Moved(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(307)
            self.send_header("Location", moved)
            self.end_headers()

        def log_message(self, *_) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Moved)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        assert "127.0.0.2" in (await sent(f"json://127.0.0.1:{server.server_port}/hook", "127.0.0.1/32") or "")
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("name", ["apprise-xmpp", "apprise-xmpp-keepalive", "paho-mqtt-client-x", "apprise-later"])
def test_a_thread_that_a_plugin_starts_reaches_no_private_address(receiver, name):
    """The names that Apprise and paho give to theirs."""
    reach(("10.0.0.0/8",))
    outcomes: list[object] = []

    def run() -> None:
        try:
            socket.create_connection(("127.0.0.1", int(receiver.url.rpartition(":")[2].partition("/")[0])), 60).close()
            outcomes.append("connected")
        except OSError as error:
            outcomes.append(type(error))

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    thread.join(60)
    assert outcomes == [Unreachable]


@pytest.mark.parametrize(
    "url",
    [
        "slack://a/b/c/?template=/etc/passwd",
        "fcm://p@k/?KeyFile=http://127.0.0.1/",
        "slack://a/b/c/?x=1;template=/etc/passwd",
        "slack://a/b/c/?%74emplate=/etc/passwd",
        "slack://a/b/c/?%20template=/etc/passwd",
        "https://hooks.slack.com/services/T1/B1/c?x=1;%54emplate=/etc/passwd",
        "fcm://p@k/?a=b&+%6beyfile+=/etc/passwd",
        "vapid://a%40b.c/d%40e.f/?%73ubfile=/etc/passwd",
        "mailtos://u:p@example.com/?to=a@b.c;pgppub=/etc/passwd",
        "mailtos://u:p@example.com/?to=a@b.c&pgpprv=/etc/passwd",
    ],
)
def test_a_url_that_reads_a_file_is_refused(url):
    with pytest.raises(WrongUrl, match="reads a file"):
        kind_of(url)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("slack://a/b/c/?footer=template=", "slack"),
        ("mailtos://u:p@example.com/?to=a@b.c&subject=pgp", "mailtos"),
        ("json://example.org/template=/hook", "json"),
    ],
)
def test_a_url_that_reads_no_file_is_taken(url, kind):
    assert kind_of(url) == kind
