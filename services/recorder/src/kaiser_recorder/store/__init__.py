"""The SQL of the schema `recorder`, and the files that are being imported."""

from typing import Any

from psycopg import AsyncConnection

Connection = AsyncConnection[Any]
