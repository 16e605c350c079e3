"""From a reading to its physical value, pure."""

from kaiser_common.schemas.sensor import Reading

from kaiser_sensor.rows import Processed


def process(reading: Reading) -> Processed:
    """Keep the device's value; without one, the physical raw value stands in for a device that sends no raw count."""
    value = reading.value if reading.value is not None else reading.raw_value
    return Processed(
        reading=reading,
        sensor_type=reading.sensor_type,
        value=value,
        unit=reading.unit,
        quality=reading.quality,
        mode="raw" if reading.raw_mode else "device",
    )
