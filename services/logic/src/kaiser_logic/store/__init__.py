"""The tables of rules and executions, the buckets of rules and their states, last values of other services."""

from typing import Any

from psycopg import AsyncConnection

Connection = AsyncConnection[Any]
