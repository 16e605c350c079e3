"""The table of mocks, and changes that are stored before they are in force."""

from typing import Any

from psycopg import AsyncConnection

Connection = AsyncConnection[Any]
