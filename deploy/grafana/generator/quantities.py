"""Charts of readings, one for each quantity, so that each axis has its unit."""

from grafana_foundation_sdk.builders import timeseries
from panels import sql_graph

QUANTITIES = (
    ("Temperature", "celsius", "°C"),
    ("Humidity and moisture", "percent", "%"),
    ("Relative humidity", "humidity", "%RH"),
    ("Carbon dioxide", "ppm", "ppm"),
    ("Light", "lux", "lx"),
    ("Air pressure", "pressurehpa", "hPa"),
    ("Flow", "suffix: l/min", "l/min"),
    ("Conductivity", "suffix: µS/cm", "µS/cm"),
    ("Acidity", "suffix: pH", "pH"),
)
"""The quantity, Grafana's unit, and the unit of its readings: those of the sensor libraries (a test compares)."""


def charts(where: str, of: str, label: str) -> list[timeseries.Panel]:
    """A chart for each quantity and one for all else. where: an SQL condition on `data` and `devices`; of: words for
    the title; label: an SQL expression that names a series."""
    known = ", ".join(f"'{unit}'" for _, _, unit in QUANTITIES)
    panels = [
        _chart(f"{title}{of}", unit, f"{where} AND data.unit = '{reading_unit}'", label)
        for title, unit, reading_unit in QUANTITIES
    ]
    others = f"{where} AND coalesce(data.unit, '') NOT IN ({known})"
    return [*panels, _chart(f"Other quantities{of}", "short", others, label)]


def _chart(title: str, unit: str, where: str, label: str) -> timeseries.Panel:
    return sql_graph(
        title,
        "Mean of each interval.",
        f"""SELECT $__timeGroupAlias(time, $__interval), {label} AS metric,
                   avg(coalesce(data.value, data.raw_value, data.raw)) AS value
            FROM sensor.data AS data LEFT JOIN health.devices AS devices USING (esp_id)
            LEFT JOIN sensor.configs AS configs USING (esp_id, gpio, sensor_type, address)
            WHERE $__timeFilter(time) AND {where} GROUP BY 1, 2 ORDER BY 1""",
        unit,
    ).no_value("no reading of this quantity")
