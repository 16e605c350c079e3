"""Which IP addresses belong to the public internet, and which a connection may go to; pure."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

METADATA: frozenset[Address] = frozenset(
    map(
        ip_address,
        (
            "169.254.169.254",  # most clouds
            "169.254.170.2",  # AWS: a container's credentials
            "169.254.170.23",  # AWS: a pod's credentials
            "100.100.100.200",  # Alibaba Cloud
            "168.63.129.16",  # Azure; an address of the public internet otherwise
            "192.0.0.192",  # Oracle Cloud
            "fd00:ec2::254",  # AWS
            "fd00:ec2::23",  # AWS: a pod's credentials
            "fd20:ce::254",  # Google Cloud
        ),
    )
)
"""Where clouds give a machine its credentials. A network that is listed for another reason, such as 100.64.0.0/10, may
hold one of them."""

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_NOT_PUBLIC = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"), IPv6Network("3fff::/20"))
"""Networks without hosts of the internet, which `ipaddress` takes for public in some releases of Python."""


def is_public(address: Address) -> bool:
    """Whether an address is of the internet: not private, loopback, link-local, metadata of a cloud, nor multicast.

    An IPv6 address that carries an IPv4 address (mapped, 6to4, Teredo, NAT64) is as public as that.
    """
    carried = _carried(address)
    if address in METADATA or any(address in network for network in _NOT_PUBLIC) or not all(map(is_public, carried)):
        return False
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return address.ipv4_mapped is not None or address in _NAT64
    return address.is_global and not address.is_multicast


def may_reach(address: Address, networks: tuple[Network, ...]) -> bool:
    """Whether an address is public or in one of the networks that an administrator has listed. The metadata of a cloud
    is reached only where its address is listed alone, as /32 or /128."""
    if is_public(address):
        return True
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    of = mapped or address
    alone = not METADATA.isdisjoint({of, *_carried(of)})
    return any(
        of in network and (not alone or network.num_addresses == 1)
        for network in networks
        if network.version == of.version
    )


def _carried(address: Address) -> list[IPv4Address]:
    """The IPv4 addresses to which packets for an IPv6 address may go."""
    if isinstance(address, IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        found.append(IPv4Address(int(address) & 0xFFFF_FFFF))
    return [one for one in found if one is not None]
