"""The SQL of the schema `factory`."""

from typing import Any

from psycopg import AsyncConnection

Connection = AsyncConnection[Any]
