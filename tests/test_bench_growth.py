"""The benchmark fills the table of readings as sensor does, so that its figures are of such a table."""

import psycopg

from bench import growth

_QUARTER_OF_A_DAY_S = 21_600.0


def test_readings_of_past_days_are_in_a_partition_of_their_day(database: str) -> None:
    for first, last in ((0, 39), (40, 79)):
        growth.fill(database, first, last, spacing_s=_QUARTER_OF_A_DAY_S)
    with psycopg.connect(database) as connection:
        found = connection.execute(
            "SELECT tableoid::regclass::text, count(*), count(DISTINCT (time AT TIME ZONE 'UTC')::date)"
            " FROM sensor.data GROUP BY 1"
        ).fetchall()
    assert sum(rows for _, rows, _ in found) == 80
    assert len(found) >= 20
    assert {days for _, _, days in found} == {1}
