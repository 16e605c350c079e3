"""Judges an error of failed work: the database or NATS is away, the database refuses a row, or it is a bug."""

from enum import StrEnum

import psycopg
from nats.errors import BadSubjectError, MaxPayloadError
from nats.errors import Error as NatsError
from psycopg_pool import PoolTimeout

from kaiser_common.bus.connection import BusUnavailable
from kaiser_common.contract.errors import line_of
from kaiser_common.runtime.database import UNAVAILABLE

OUTAGES: tuple[type[Exception], ...] = (*UNAVAILABLE, psycopg.Error, BusUnavailable, NatsError)
"""The errors of the database and of NATS. Some errors of the database are bugs of ours: see `reason_of`."""


class Verdict(StrEnum):
    """The consequence of an error for the message that was handled."""

    RETRY = "retry"
    """The database or NATS is away or hindered: the same may succeed later."""
    REJECT = "reject"
    """The database refuses a row: leave it out."""
    BUG = "bug"
    """The code is wrong: a consume loop rejects the message (5407), other code raises."""


def verdict(error: Exception) -> Verdict:
    """The verdict of an error of the database, by its SQLSTATE class.

    RETRY: 08 connection, 25 transaction state (read-only), 40 rollback, 53 resources, 55 not in state, 57 intervention,
    58 system, XX internal; no SQLSTATE, because the connection itself failed. REJECT: 22 data, 23 integrity, 54 program
    limit, such as an index row over 2,704 bytes. BUG: every other.
    """
    if isinstance(error, PoolTimeout):
        return Verdict.RETRY
    if not isinstance(error, psycopg.Error):
        return Verdict.BUG
    if isinstance(error, psycopg.DataError | psycopg.IntegrityError):  # also found by psycopg itself, without SQLSTATE
        return Verdict.REJECT
    state = error.sqlstate
    if state is not None and state[:2] == "54":
        return Verdict.REJECT
    if state is None:
        return Verdict.RETRY if isinstance(error, psycopg.OperationalError) else Verdict.BUG
    if state[:2] in ("08", "25", "40", "53", "55", "57", "58", "XX"):
        return Verdict.RETRY
    return Verdict.BUG


def judge(error: Exception) -> Verdict:
    """The verdict of an error of a handler; of a group of errors theirs if all have the same, else BUG."""
    if isinstance(error, ExceptionGroup):
        verdicts = {judge(each) for each in error.exceptions}
        return verdicts.pop() if len(verdicts) == 1 else Verdict.BUG
    if isinstance(error, MaxPayloadError | BadSubjectError):  # the message made us publish it
        return Verdict.BUG
    if isinstance(error, BusUnavailable | NatsError | TimeoutError | ConnectionError):
        return Verdict.RETRY
    return verdict(error)


def may_be_the_message(error: Exception) -> bool:
    """Whether one message may be the cause of an error that says RETRY: a statement too long (57014), internal (XX)."""
    if isinstance(error, ExceptionGroup):
        return all(map(may_be_the_message, error.exceptions))
    state = error.sqlstate if isinstance(error, psycopg.Error) else None
    return state is not None and (state == "57014" or state.startswith("XX"))


def reason_of(error: Exception) -> str:
    """The reason of an outage, in one line. A wrong SQL statement is a bug: its error is raised again."""
    if isinstance(error, psycopg.Error) and verdict(error) is not Verdict.RETRY:
        raise error
    return line_of(error)
