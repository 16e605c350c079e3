"""SQL of alarm: functions of a connection."""

from typing import Any

from psycopg import AsyncConnection

Connection = AsyncConnection[Any]
