"""SQL and KV of health: functions of a connection, and the bucket `devices`."""

from typing import Any

from psycopg import AsyncConnection

Connection = AsyncConnection[Any]
