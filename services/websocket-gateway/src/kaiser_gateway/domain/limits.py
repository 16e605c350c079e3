"""Rate limits, and the key that each caller is counted under; the time is an argument."""

from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

_HOST_BITS = 64


def source_of(address: str) -> str:
    """The name under which an address is counted. An IPv6 host has a network of 64 bits to itself, so its limits hold
    for all of that network. An IPv4 address in its IPv6 form counts as itself, and a text that is no address too."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{IPv6Address(int(parsed) >> _HOST_BITS << _HOST_BITS)}/{_HOST_BITS}"


@dataclass(slots=True)
class TokenBucket:
    """Holds up to `capacity` permits and gains `rate` a second."""

    rate: float
    capacity: float
    permits: float
    at: float

    @classmethod
    def full(cls, rate: float, now: float, capacity: float | None = None) -> "TokenBucket":
        """A bucket that starts full; by default it holds a second's worth, at least one permit."""
        size = max(1.0, rate if capacity is None else capacity)
        return cls(rate, size, size, now)

    def take(self, now: float) -> bool:
        """Take a permit if there is one."""
        self._fill(now)
        if self.permits < 1.0:
            return False
        self.permits -= 1.0
        return True

    def reserve(self, now: float) -> float:
        """Take a permit, in advance if there is none; the time until it is due."""
        self._fill(now)
        self.permits -= 1.0
        return max(0.0, -self.permits / self.rate)

    def wait_s(self, now: float) -> float:
        """Time until the next permit."""
        self._fill(now)
        return max(0.0, (1.0 - self.permits) / self.rate)

    def _fill(self, now: float) -> None:
        self.permits = min(self.capacity, self.permits + max(0.0, now - self.at) * self.rate)
        self.at = now


class Limiter:
    """A bucket a key, at most `keys` of them: the one not used for longest is forgotten first."""

    def __init__(self, rate: float, capacity: float, keys: int = 10_000) -> None:
        self._rate = rate
        self._capacity = capacity
        self._keys = keys
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def wait_s(self, key: str, now: float) -> float:
        """0 when allowed (and counted), else the time until it will be."""
        bucket = self._buckets.pop(key, None) or TokenBucket.full(self._rate, now, self._capacity)
        self._buckets[key] = bucket
        if len(self._buckets) > self._keys:
            self._buckets.popitem(last=False)
        return 0.0 if bucket.take(now) else bucket.wait_s(now)

    def left_s(self, key: str, now: float) -> float:
        """The time until the key is allowed again, without counting."""
        bucket = self._buckets.get(key)
        return 0.0 if bucket is None else bucket.wait_s(now)

    def give_back(self, key: str) -> None:
        """Undo the last count of this key."""
        bucket = self._buckets.get(key)
        if bucket is not None:
            bucket.permits = min(bucket.capacity, bucket.permits + 1.0)
