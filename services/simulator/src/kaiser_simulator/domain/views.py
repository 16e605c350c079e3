"""A mock as the API shows it; pure."""

from kaiser_common.contract.schemas.api.mock import Mock, MockActuatorView, MockSensor, MockSensorView

from kaiser_simulator.domain.device import MockDevice, actuators, is_connected, sensor_key
from kaiser_simulator.domain.firmware import is_acknowledged
from kaiser_simulator.domain.payloads import runtime_ms
from kaiser_simulator.domain.world import Record


def to_mock(device: MockDevice, record: Record, now_ms: int, *, brief: bool = False) -> Mock:
    """The mock with what it measured and did last."""
    setup, life = device.setup, device.life
    return Mock(
        esp_id=setup.esp_id,
        kaiser_id=setup.kaiser_id,
        name=setup.name,
        zone_id=life.zone_id,
        firmware=setup.firmware,
        firmware_version=setup.firmware_version,
        heartbeat_interval_s=setup.heartbeat_interval_s,
        running=life.running,
        registered=life.registered,
        state=life.state,
        connected=is_connected(device),
        acknowledged=is_acknowledged(device),
        emergency="active" if life.emergency else "normal",
        uptime_s=max(0, now_ms - life.booted_at) // 1000 if life.running else 0,
        last_heartbeat=record.last_heartbeat,
        messages_sent=record.sent,
        faults=life.faults,
        sensors=[_to_sensor(device, sensor, record, brief) for sensor in setup.sensors],
        actuators=to_actuators(device, now_ms),
    )


def to_actuators(device: MockDevice, now_ms: int) -> list[MockActuatorView]:
    """The actuators of a mock as the device has them."""
    return [
        MockActuatorView.model_construct(
            **actuator.__dict__,
            state=life.state,
            value=life.value,
            on_since=life.on_since,
            off_at=life.off_at,
            runtime_ms=runtime_ms(life, now_ms),
            emergency="active" if life.emergency else "normal",
            last_command=life.last_command,
            error=life.error,
        )
        for actuator, life in actuators(device)
    ]


def _to_sensor(device: MockDevice, sensor: MockSensor, record: Record, brief: bool) -> MockSensorView:
    """Not validated again: a page has thousands, and readings would wait for that."""
    last_ts, last_value = record.last.get(sensor_key(sensor.gpio, sensor.sensor_type), (None, None))
    override = device.sensor_life(sensor).override
    known = {**sensor.__dict__, "replay_csv": None} if brief else sensor.__dict__
    return MockSensorView.model_construct(**known, override=override, last_value=last_value, last_ts=last_ts)
