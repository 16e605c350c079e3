"""Makes a database read-only, like a standby or a database whose disk is full."""

import psycopg


def set_read_only(url: str, *, on: bool) -> None:
    """Takes effect immediately: open connections are ended."""
    with psycopg.connect(url, autocommit=True, options="-c default_transaction_read_only=off") as connection:
        name = connection.info.dbname
        state = "on" if on else "off"
        connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {state}')
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
            (name,),
        )
