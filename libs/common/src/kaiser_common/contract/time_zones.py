"""Whether a name is that of a time zone; imports the standard library alone."""

import zoneinfo

from kaiser_common.contract.nearest import nearest


def zone_problem(name: str) -> str:
    """Why a name is no IANA time zone, with the nearest one; empty for a zone, no name, and where no zone is known."""
    known = zoneinfo.available_timezones()
    if not name or not known or name in known:
        return ""
    alike = nearest(name, known)
    return f"{name!r} is no time zone of the IANA" + (f": is it {alike}?" if alike else ", such as Europe/Berlin")
