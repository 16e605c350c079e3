"""MQTT topic filters: which topics a filter matches, which filters it covers, and the smallest set that covers all."""

from collections.abc import Iterable

from kaiser_factory_dialect.catalogue import DEFAULT_INTERFACES, VDA_VERSIONS

_LONGEST_BYTES = 65_535


def fault(topic_filter: str) -> str | None:
    """The fault of a filter, as text for an operator; None for a valid filter."""
    if not topic_filter or "\x00" in topic_filter:
        return "a filter has at least one character and none of them is U+0000"
    if len(topic_filter.encode(errors="surrogatepass")) > _LONGEST_BYTES:
        return f"a filter has at most {_LONGEST_BYTES} bytes"
    if "*" in topic_filter:
        return "a broker takes * literally: use + for one level, # for all that follow"
    levels = topic_filter.split("/")
    if any("#" in level and (level != "#" or at < len(levels) - 1) for at, level in enumerate(levels)):
        return "# stands alone in the last level"
    if any("+" in level and level != "+" for level in levels):
        return "+ stands alone in its level"
    return None


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a filter matches a topic. # and a leading + match no topic that begins with $."""
    return covers(topic_filter, topic)


def covers(wide: str, narrow: str) -> bool:
    """Whether every topic that `narrow` matches is matched by `wide` too; a topic covers itself."""
    wanted, given = wide.split("/"), narrow.split("/")
    if given[0].startswith("$") and wanted[0] in {"#", "+"}:
        return False
    for at, level in enumerate(wanted):
        if level == "#":
            return True
        if at >= len(given) or given[at] == "#" or (level != "+" and level != given[at]):
            return False
    return len(given) == len(wanted)


def minimal_cover(filters: Iterable[str]) -> tuple[str, ...]:
    """The filters that no other of them covers, sorted: MQTT 5 delivers a copy for each filter that matches."""
    distinct = sorted(set(filters))
    return tuple(one for one in distinct if not any(other != one and covers(other, one) for other in distinct))


def subscriptions(interfaces: Iterable[str] = DEFAULT_INTERFACES, observe: Iterable[str] = ()) -> tuple[str, ...]:
    """The filters that ingest subscribes for the factory (QoS 1): its roots, those of VDA 5050, and the observed
    topics."""
    roots = ("module/v1/#", "fts/v1/#", "ccu/#", "/j1/txt/#", "osf/#", "dsp/#")
    vehicles = (f"{interface}/{version}/#" for interface in interfaces for version in VDA_VERSIONS)
    return minimal_cover((*roots, *vehicles, *observe))
