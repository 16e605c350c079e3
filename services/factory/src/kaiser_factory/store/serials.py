"""The beginning of queries of each serial: finds the serials in a primary key, without a look at every row."""


def serials_of(table: str) -> str:
    """`WITH RECURSIVE serials (place, serial)`: every serial that an environment has in a table.

    The primary key of the table begins with env and serial, so each serial takes one look into the index, however many
    rows it has. Parameters: env, and serials, the most that are found. A row without a serial ends them.
    """
    return f"""
        WITH RECURSIVE serials (place, serial) AS (
            (SELECT 1, serial FROM factory.{table} WHERE env = %(env)s ORDER BY serial LIMIT 1)
            UNION ALL
            SELECT place + 1, (
                SELECT later.serial FROM factory.{table} AS later
                WHERE later.env = %(env)s AND later.serial > serials.serial ORDER BY later.serial LIMIT 1
            ) FROM serials WHERE serial IS NOT NULL AND place < %(serials)s
        )"""
