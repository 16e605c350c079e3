"""The pages of the audit log, which come from two tables: each entry once, newest first, whatever a page holds."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kaiser_common.contract.rpc import GATEWAY
from kaiser_common.contract.schemas.api.devices import AuditEntry, AuditPage
from kaiser_gateway.api.audit import AuditRequest, ReadPosition, merge
from pydantic import ValidationError


def entries(service: str, times: list[int]) -> list[AuditEntry]:
    """Newest first; ids count from 1."""
    return [
        AuditEntry(id=number, at=at, actor="ada", role="admin", request_id="r", action="a", target="t", service=service)
        for number, at in enumerate(sorted(times), 1)
    ][::-1]


def read_all(of_changes: list[AuditEntry], of_users: list[AuditEntry], limit: int, most: int) -> list[AuditEntry]:
    """Page after page; health answers at most `most` entries, as its pages are bounded in bytes."""
    found: list[AuditEntry] = []
    cursor = None
    for _ in range(len(of_changes) + len(of_users) + 1):
        place = ReadPosition.read(AuditRequest(cursor=cursor).cursor)
        left = [one for one in of_changes if one.id < place.changes]
        part = left[: min(limit, most)]
        more = len(part) < len(left) or len(part) == limit
        health = AuditPage(items=part, next_cursor=str(part[-1].id) if part and more else None)
        page = merge(health, [one for one in of_users if one.id < place.users][:limit], place, limit)
        assert len(page.items) <= limit
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return found
    raise AssertionError("the pages do not end")


TIMES = st.lists(st.integers(1, 9), max_size=12)


@settings(derandomize=True)
@given(changes=TIMES, users=TIMES, limit=st.integers(1, 5), most=st.integers(1, 5))
def test_each_entry_of_both_logs_comes_once_and_newest_first(changes, users, limit, most):
    of_changes, of_users = entries("logic", changes), entries(GATEWAY, users)
    found = read_all(of_changes, of_users, limit, most)
    assert [one for one in found if one.service != GATEWAY] == of_changes
    assert [one for one in found if one.service == GATEWAY] == of_users
    assert [one.at for one in found] == sorted([*changes, *users], reverse=True)


@pytest.mark.parametrize("cursor", ["0", "-1", "x", "1.", "1.0", "1.2.3", "99999999999999999999"])
def test_a_cursor_that_no_page_gave_is_refused(cursor):
    with pytest.raises(ValidationError):
        AuditRequest(cursor=cursor)
