"""The SQL of the sensor service, as functions that take a connection, and the KV buckets that it reads and writes."""

from typing import Any

from psycopg import AsyncConnection

Connection = AsyncConnection[Any]
