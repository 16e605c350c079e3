"""Messages to the central control (CCU) and to TXT controllers: orders, cancelling, reset, charging, camera."""

from typing import Any

from kaiser_common.contract.errors import Code

from kaiser_factory_dialect.catalogue import FactoryKind
from kaiser_factory_dialect.fields import MAX_ID, Fields
from kaiser_factory_dialect.steer_checks import Checks, Circumstances, refuse_request
from kaiser_factory_dialect.steer_targets import Draft, agv_command
from kaiser_factory_dialect.times import to_iso_ms
from kaiser_factory_dialect.topics import build, is_serial
from kaiser_factory_dialect.world import Factory

_TYPES = {"RED": "RED", "WHITE": "WHITE", "BLUE": "BLUE", "ROT": "RED", "WEISS": "WHITE", "BLAU": "BLUE"}
_ORDER_TYPES = ("PRODUCTION", "STORAGE")
_CAMERA = ("relmove_up", "relmove_down", "relmove_left", "relmove_right", "home", "stop")
_MAX_DEGREE = 180
_SENSORS = ("bme680", "ldr", "cam")


def order(fields: Fields, factory: Factory, at: Circumstances, checks: Checks) -> list[Draft]:
    """A request for an order: a production, or the storage of a workpiece."""
    kind = _TYPES.get(fields.needed_text("type"))
    if kind is None:
        refuse_request(Code.FIELD_TYPE_MISMATCH, f"type must be one of {', '.join(_TYPES)}", "type")
    order_type = fields.text("order_type") or "PRODUCTION"
    if order_type not in _ORDER_TYPES:
        refuse_request(Code.FIELD_TYPE_MISMATCH, f"order_type must be one of {', '.join(_ORDER_TYPES)}", "order_type")
    workpiece = fields.identity("workpiece_id")
    if order_type == "STORAGE" and workpiece is None:
        refuse_request(Code.MISSING_REQUIRED_FIELD, "a storage order needs workpiece_id", "workpiece_id")
    payload = {
        "type": kind,
        "timestamp": to_iso_ms(at.now),
        "orderType": order_type,
        "requestId": f"kaiser-{at.fresh.uuid()}",
    }
    return [(build(FactoryKind.CCU_REQUEST), payload | ({"workpieceId": workpiece} if workpiece else {}), None)]


def cancel(fields: Fields, factory: Factory, at: Circumstances, checks: Checks) -> list[Draft]:
    """Cancel orders that have not begun."""
    ids = fields.texts("order_ids")
    if not ids or any(not 0 < len(one) <= MAX_ID for one in ids):
        refuse_request(Code.MISSING_REQUIRED_FIELD, "order_ids must list at least one order id", "order_ids")
    for order_id in ids:
        found = factory.orders.get(order_id)
        checks.need(found is not None, order_id, 404, Code.ESP_DEVICE_NOT_FOUND, f"there is no order {order_id}")
        assert found is not None
        word = found.order.state
        text = f"order {order_id} is {word}: only an ENQUEUED one can be cancelled"
        checks.need(word == "ENQUEUED", f"order {order_id} is {word}", 409, Code.DEPENDENCY_MISSING, text)
    return [(build(FactoryKind.CCU_CANCEL), list(ids), None)]


def reset(fields: Fields, factory: Factory, at: Circumstances, checks: Checks) -> list[Draft]:
    """Reset the CCU: it forgets its orders and, with_storage, the stock."""
    with_storage = fields.boolean("with_storage") or False
    confirm = fields.needed_text("confirm")
    if confirm != "RESET":
        refuse_request(Code.VALUE_OUT_OF_RANGE, 'confirm must be "RESET"', "confirm")
    return [(_setting("reset"), {"timestamp": to_iso_ms(at.now), "withStorage": with_storage}, None)]


def park(fields: Fields, factory: Factory, at: Circumstances, checks: Checks) -> list[Draft]:
    """Have the CCU park the factory."""
    return [(_setting("park"), {"timestamp": to_iso_ms(at.now)}, None)]


def charge(fields: Fields, factory: Factory, at: Circumstances, checks: Checks) -> list[Draft]:
    """Send an AGV to the charger, or away from it."""
    wanted = fields.boolean("charge")
    if wanted is None:
        refuse_request(Code.MISSING_REQUIRED_FIELD, "charge is required", "charge")
    machine = agv_command(fields, factory, checks)
    return [(_setting("charge"), {"serialNumber": machine.serial, "charge": wanted}, None)]


def pair(fields: Fields, factory: Factory, at: Circumstances, checks: Checks) -> list[Draft]:
    """Have the CCU pair an AGV."""
    machine = agv_command(fields, factory, checks)
    return [(build(FactoryKind.CCU_PAIR), {"serialNumber": machine.serial}, None)]


def camera(fields: Fields, factory: Factory, at: Circumstances, checks: Checks) -> list[Draft]:
    """Move the camera of a TXT."""
    cmd, degree = fields.needed_text("cmd"), fields.number("degree")
    if cmd not in _CAMERA:
        refuse_request(Code.FIELD_TYPE_MISMATCH, f"cmd must be one of {', '.join(_CAMERA)}", "cmd")
    if degree is not None and not 0 <= degree <= _MAX_DEGREE:
        refuse_request(Code.VALUE_OUT_OF_RANGE, f"degree must be 0 to {_MAX_DEGREE}", "degree")
    payload = {"ts": to_iso_ms(at.now), "cmd": cmd} | ({} if degree is None else {"degree": degree})
    return [(build(FactoryKind.OBSERVED, _txt(fields), name="ptu"), payload, None)]


def sensor_period(fields: Fields, factory: Factory, at: Circumstances, checks: Checks) -> list[Draft]:
    """How often a TXT measures (period in s), or whether its camera films and how fast (on, fps)."""
    sensor = fields.needed_text("sensor")
    if sensor not in _SENSORS:
        refuse_request(Code.FIELD_TYPE_MISMATCH, f"sensor must be one of {', '.join(_SENSORS)}", "sensor")
    payload: dict[str, Any] = {"ts": to_iso_ms(at.now)}
    if sensor == "cam":
        payload |= {"on": fields.boolean("on"), "fps": fields.number("fps")}
    else:
        payload |= {"period": fields.number("period")}
    absent = [name for name, value in payload.items() if value is None]
    if absent:
        refuse_request(Code.MISSING_REQUIRED_FIELD, f"{absent[0]} is required", absent[0])
    return [(f"/j1/txt/{_txt(fields)}/c/{sensor}", payload, None)]


def _txt(fields: Fields) -> str:
    """The number of a TXT; 1 unless the request names another."""
    number = fields.text("txt") or "1"
    if not is_serial(number):
        refuse_request(Code.INVALID_ESP_ID, "txt must be the number of a TXT", "txt")
    return number


def _setting(name: str) -> str:
    return build(FactoryKind.CCU_SET, name=name)
