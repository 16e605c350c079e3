"""Tables of actuators, commands and emergency stops, and the bucket of the stops in force."""

from typing import Any

from psycopg import AsyncConnection

Connection = AsyncConnection[Any]
