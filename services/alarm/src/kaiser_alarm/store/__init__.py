"""The SQL of alarm (functions that take a connection), requests to the owners of states, encryption of channel URLs."""

from typing import Any

from psycopg import AsyncConnection

Connection = AsyncConnection[Any]
