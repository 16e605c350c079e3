"""The SQL of health, as functions that take a connection, and its KV bucket `devices`."""

from typing import Any

from psycopg import AsyncConnection

Connection = AsyncConnection[Any]
