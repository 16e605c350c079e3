"""Where webhooks may go, by a table of spellings; the request goes to the address that was checked."""

import asyncio
from ipaddress import ip_address, ip_network

import httpx
import pytest
from kaiser_common.contract.addresses import is_public, may_reach
from kaiser_logic.publish.destinations import CheckedTransport, Forbidden, resolve
from kaiser_logic.publish.webhooks import Webhooks
from pydantic import HttpUrl


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("::ffff:93.184.216.34", True),
        ("127.0.0.1", False),
        ("127.8.8.8", False),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:7f00:1::", False),
        ("fe80::1", False),
        ("fd00:ec2::254", False),
        ("ff02::1", False),
        ("2002:5db8:d822::1", True),
        ("64:ff9b::5db8:d822", True),
        ("192.0.0.8", False),
        ("192.88.99.1", False),
        ("240.0.0.1", False),
        ("::127.0.0.1", False),
        ("::ffff:0:169.254.169.254", False),
        ("64:ff9b:1::a9fe:a9fe", False),
        ("2001:0:a9fe:a9fe::1", False),
        ("fec0::1", False),
        ("3fff::1", False),
        ("5f00::1", False),
        ("4000::1", False),
    ],
)
def test_what_is_public(address, public):
    assert is_public(ip_address(address)) is public


METADATA = [
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
]


def spellings(address):
    """An address, and those of IPv6 that carry it: mapped, NAT64 and 6to4."""
    if ":" in address:
        return [address]
    high, low = divmod(int(ip_address(address)), 1 << 16)
    return [address, f"::ffff:{address}", f"64:ff9b::{address}", f"2002:{high:x}:{low:x}::1"]


@pytest.mark.parametrize("address", [spelt for each in METADATA for spelt in spellings(each)])
def test_the_metadata_of_a_cloud_is_reached_only_where_its_address_is_listed_alone(address):
    given = ip_address(address)
    everything = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    assert not may_reach(given, ())
    assert not may_reach(given, everything), "a network is listed for other hosts"
    listed = getattr(given, "ipv4_mapped", None) or given
    assert may_reach(given, (*everything, ip_network(listed)))


@pytest.mark.parametrize(
    "host",
    ["2852039166", "0xa9fea9fe", "0xa9.0xfe.0xa9.0xfe", "0251.0376.0251.0376", "169.254.43518", "::ffff:a9fe:a9fe"],
)
async def test_no_spelling_of_metadata_is_public(host):
    addresses = await asyncio.wait_for(resolve(host, 80), 60)
    assert {getattr(each, "ipv4_mapped", None) or each for each in addresses} == {ip_address("169.254.169.254")}
    assert not any(may_reach(address, ()) for address in addresses)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "::1", "::ffff:127.0.0.1", "0"],
)
async def test_no_spelling_of_this_machine_is_public(host):
    addresses = await asyncio.wait_for(resolve(host, 80), 60)
    assert addresses
    assert not any(is_public(address) for address in addresses)


class Sink(httpx.AsyncBaseTransport):
    """Notes the requests that would be sent; refuses the connections of the addresses given."""

    def __init__(self, *refusing):
        self.refusing = refusing
        self.requests = []

    async def handle_async_request(self, request):
        self.requests.append(request)
        if request.url.host in self.refusing:
            raise httpx.ConnectError("refused", request=request)
        return httpx.Response(204)


def resolving(*addresses):
    async def resolved(host, port):
        return [ip_address(address) for address in addresses]

    return resolved


async def post(sink, addresses, *, hosts=(), networks=(), url="https://hooks.example/x"):
    transport = CheckedTransport(hosts, [ip_network(network) for network in networks], resolving(*addresses), sink)
    async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
        return await client.post(url, json={})


async def test_the_request_goes_to_the_checked_address_under_the_hosts_name():
    sink = Sink()
    await post(sink, ["93.184.216.34"])
    [request] = sink.requests
    assert (request.url.host, request.headers["host"]) == ("93.184.216.34", "hooks.example")
    assert request.extensions["sni_hostname"] == "hooks.example"


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["169.254.169.254", "10.0.0.1"], METADATA, []])
async def test_a_name_that_resolves_to_private_addresses_only_is_refused(addresses):
    sink = Sink()
    with pytest.raises(Forbidden, match=r"hooks\.example"):
        await post(sink, addresses)
    assert sink.requests == []


async def test_of_several_addresses_only_public_ones_are_tried_one_after_the_other():
    sink = Sink("93.184.216.34")
    assert (await post(sink, ["10.0.0.1", "93.184.216.34", "93.184.216.35"])).status_code == 204
    assert [request.url.host for request in sink.requests] == ["93.184.216.34", "93.184.216.35"]


async def test_listed_networks_and_hosts_are_allowed():
    for options in ({"networks": ["10.1.0.0/16"]}, {"hosts": ["hooks.example"]}):
        assert (await post(Sink(), ["10.1.2.3"], **options)).status_code == 204
    with pytest.raises(Forbidden):
        await post(Sink(), ["10.2.2.3"], networks=["10.1.0.0/16", "fd00::/8"])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status):
    """With the client of webhooks over real sockets: one receiver redirects to another, which may be reached too."""
    asked = []

    async def answer(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.split()[1])
        writer.write(f"HTTP/1.1 {status} Elsewhere\r\nLocation: {inner}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async with (
        asyncio.timeout(60),
        await asyncio.start_server(answer, "127.0.0.1", 0) as server,
        Webhooks.open([], 30.0, [ip_network("127.0.0.0/8")]) as webhooks,
    ):
        port = server.sockets[0].getsockname()[1]
        inner = f"http://127.0.0.2:{port}/inner"
        reason = await webhooks.post(HttpUrl(f"http://127.0.0.1:{port}/hook"), {}, "a key")
    assert (asked, reason) == ([b"/hook"], f"webhook of 127.0.0.1: status {status}")
