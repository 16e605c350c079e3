"""Which IP addresses belong to the public internet, and which a connection may go to; pure."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NAT64 = IPv6Network("64:ff9b::/96")


def is_public(address: Address) -> bool:
    """Whether an address is of the internet: not private, loopback, link-local (as cloud metadata is), nor multicast.

    An IPv6 address that carries an IPv4 address (mapped, 6to4, Teredo, NAT64) is as public as that.
    """
    if isinstance(address, IPv6Address):
        carried = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in _NAT64:
            carried.append(IPv4Address(int(address) & 0xFFFF_FFFF))
        if any(one is not None and not is_public(one) for one in carried):
            return False
        if address.ipv4_mapped is not None:
            return True
    return address.is_global and not address.is_multicast


def may_reach(address: Address, networks: tuple[Network, ...]) -> bool:
    """Whether an address is public or in one of the networks that an administrator has listed."""
    carried = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    of = carried or address
    return is_public(address) or any(of in network for network in networks if network.version == of.version)
