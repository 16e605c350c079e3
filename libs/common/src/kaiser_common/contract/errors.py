"""Kaiser's error codes with their meaning and use, the exception Rejected with its code, and error texts for logs."""

from dataclasses import dataclass
from enum import IntEnum


class Code(IntEnum):
    """Stable numbers, in logs, REST problems, rejected messages and system events."""

    # ConfigErrorCode
    ESP_DEVICE_NOT_FOUND = 5001
    CONFIG_BUILD_FAILED = 5002
    CONFIG_PAYLOAD_INVALID = 5003
    CONFIG_PUBLISH_FAILED = 5004
    CONFIG_TIMEOUT = 5006
    ESP_OFFLINE = 5007
    # MqttErrorCode
    PUBLISH_FAILED = 5101
    PAYLOAD_SERIALIZATION_FAILED = 5103
    CONNECTION_LOST = 5104
    RETRY_EXHAUSTED = 5105
    BROKER_UNAVAILABLE = 5106
    AUTHENTICATION_FAILED = 5107
    SESSION_TAKEN_OVER = 5108
    # ValidationErrorCode
    INVALID_ESP_ID = 5201
    INVALID_GPIO = 5202
    INVALID_SENSOR_TYPE = 5203
    INVALID_ACTUATOR_TYPE = 5204
    MISSING_REQUIRED_FIELD = 5205
    FIELD_TYPE_MISMATCH = 5206
    VALUE_OUT_OF_RANGE = 5207
    DUPLICATE_ENTRY = 5208
    JSON_PARSE_ERROR = 5209
    PAYLOAD_TOO_LARGE = 5210
    TOPIC_MISMATCH = 5211
    UNKNOWN_TOPIC = 5212
    # DatabaseErrorCode
    QUERY_FAILED = 5301
    CONNECTION_FAILED = 5304
    INTEGRITY_ERROR = 5305
    # ServiceErrorCode
    DEPENDENCY_MISSING = 5402
    OPERATION_TIMEOUT = 5403
    RATE_LIMIT_EXCEEDED = 5404
    PERMISSION_DENIED = 5405
    CIRCUIT_OPEN = 5406
    PROCESSING_FAILED = 5407
    CALLER_MISSING = 5408
    NOT_SIGNED_IN = 5409
    LOGIN_REFUSED = 5410
    EMERGENCY_STOPPED = 5411
    INTERLOCKED = 5412
    ACTUATOR_INACTIVE = 5413
    STATE_CHANGED = 5414
    NOT_FOUND = 5415


@dataclass(frozen=True, slots=True)
class CodeRow:
    """The meaning of a code. statuses: the HTTP statuses of its answers. rejects: a message may be rejected with it
    (`GET /api/v1/rejected`), and replaying that message may answer it with 422. said: it is in logs and system events.

    A code without any of these is kept free: frontends know it, and Kaiser does not use it.
    """

    code: Code
    meaning: str
    statuses: tuple[int, ...] = ()
    rejects: bool = False
    said: bool = False


ERRORS: tuple[CodeRow, ...] = (
    CodeRow(
        Code.ESP_DEVICE_NOT_FOUND,
        "The device, factory machine, order or workpiece is unknown (404; 422 where a rule names it), or the device is"
        " not approved (409).",
        (404, 409, 422),
        rejects=True,
    ),
    CodeRow(Code.CONFIG_BUILD_FAILED, "A configuration could not be built."),
    CodeRow(
        Code.CONFIG_PAYLOAD_INVALID,
        "The message or configuration is empty, malformed or too large for the device, or the rule would trigger itself"
        " (422).",
        (422,),
        rejects=True,
    ),
    CodeRow(Code.CONFIG_PUBLISH_FAILED, "A configuration could not be published."),
    CodeRow(Code.CONFIG_TIMEOUT, "A device did not confirm its configuration in time."),
    CodeRow(Code.ESP_OFFLINE, "The device or machine is offline.", (409,), said=True),
    CodeRow(Code.PUBLISH_FAILED, "A message was not published on MQTT in time, and never will be.", said=True),
    CodeRow(
        Code.PAYLOAD_SERIALIZATION_FAILED,
        "A message that waited for MQTT could not be read, and was dropped.",
        said=True,
    ),
    CodeRow(Code.CONNECTION_LOST, "The connection to the MQTT broker was lost.", said=True),
    CodeRow(Code.RETRY_EXHAUSTED, "The MQTT broker refused a message each time.", said=True),
    CodeRow(
        Code.BROKER_UNAVAILABLE,
        "The MQTT broker, or the one of another profile, does not answer.",
        (502, 503),
        said=True,
    ),
    CodeRow(Code.AUTHENTICATION_FAILED, "The MQTT broker refused Kaiser's user or password.", said=True),
    CodeRow(Code.SESSION_TAKEN_OVER, "Another MQTT client uses ingest's client id.", said=True),
    CodeRow(Code.INVALID_ESP_ID, "The id of a device or machine is malformed.", (422,), rejects=True),
    CodeRow(
        Code.INVALID_GPIO,
        "The gpio is malformed or out of range (422), or the device has no such sensor or actuator (404; 422 where a"
        " rule commands it).",
        (404, 422),
        rejects=True,
    ),
    CodeRow(
        Code.INVALID_SENSOR_TYPE,
        "The sensor type is malformed or ambiguous (422), or such a sensor is not configured (404).",
        (404, 422),
        rejects=True,
    ),
    CodeRow(
        Code.INVALID_ACTUATOR_TYPE,
        "The actuator type is malformed, or the device or machine does not know the command.",
        (422,),
        rejects=True,
    ),
    CodeRow(Code.MISSING_REQUIRED_FIELD, "A required field is missing.", (422,), rejects=True),
    CodeRow(Code.FIELD_TYPE_MISMATCH, "A field has another type, or is not one of the fields.", (422,), rejects=True),
    CodeRow(
        Code.VALUE_OUT_OF_RANGE,
        "A value is out of its range (422), or a maximum number or size is exceeded (409, 413).",
        (409, 413, 422),
        rejects=True,
    ),
    CodeRow(
        Code.DUPLICATE_ENTRY,
        "It exists already, or its key was used for something else; of a reading: another value of the same sensor and"
        " time.",
        (409, 422),
        rejects=True,
    ),
    CodeRow(
        Code.JSON_PARSE_ERROR,
        "The payload or body is not valid JSON; of a body, `detail` says at which line and column.",
        (422,),
        rejects=True,
    ),
    CodeRow(Code.PAYLOAD_TOO_LARGE, "The payload is larger than its topic allows.", (422,), rejects=True),
    CodeRow(
        Code.TOPIC_MISMATCH,
        "The site, device or gpio in the payload is not the topic's, or the device belongs to another site.",
        (422,),
        rejects=True,
    ),
    CodeRow(Code.UNKNOWN_TOPIC, "No message has such a topic.", (422,), rejects=True),
    CodeRow(Code.QUERY_FAILED, "A query failed."),
    CodeRow(Code.CONNECTION_FAILED, "The database does not answer, or accepts no changes now.", (503,)),
    CodeRow(Code.INTEGRITY_ERROR, "The database refused the row.", (422,), rejects=True),
    CodeRow(
        Code.DEPENDENCY_MISSING,
        "Something that this needs is not running, is stopping, or is busy (503); a machine is in the wrong state for"
        " it (409).",
        (409, 503),
        said=True,
    ),
    CodeRow(
        Code.OPERATION_TIMEOUT,
        "A service, device or machine did not answer in time (504), or the request body came too slowly (408).",
        (408, 504),
        said=True,
    ),
    CodeRow(Code.RATE_LIMIT_EXCEEDED, "Too many requests or commands: try again later.", (429,)),
    CodeRow(
        Code.PERMISSION_DENIED,
        "The role does not suffice (403), or the environment or an order of the factory is not open to it (409); of a"
        " message: its sender may not send it.",
        (403, 409),
        rejects=True,
        said=True,
    ),
    CodeRow(Code.CIRCUIT_OPEN, "The MQTT broker failed several times: Kaiser pauses before it tries again.", said=True),
    CodeRow(
        Code.PROCESSING_FAILED,
        "A bug (500): see the log. Also what has no code of its own: no such route (404, 405), a request"
        " that is cut short (400), too large (413) or not possible now (409), an answer of another version (502).",
        (400, 404, 405, 409, 413, 422, 500, 502),
        rejects=True,
        said=True,
    ),
    CodeRow(Code.CALLER_MISSING, "A request on the bus does not name its caller.", (403,)),
    CodeRow(Code.NOT_SIGNED_IN, "The token is missing, not valid or expired: sign in, or renew it.", (401,)),
    CodeRow(
        Code.LOGIN_REFUSED,
        "The name or password (401) or the current password (403) is wrong, or the issuer refused the sign-in.",
        (401, 403),
    ),
    CodeRow(Code.EMERGENCY_STOPPED, "An emergency stop is in force: clear it first.", (423,)),
    CodeRow(Code.INTERLOCKED, "An actuator that must be off is on, or may be.", (409,)),
    CodeRow(Code.ACTUATOR_INACTIVE, "The actuator is inactive and accepts only OFF.", (409,)),
    CodeRow(
        Code.STATE_CHANGED,
        "Its state does not allow it, or no longer: another request came first, one is still open, or something still"
        " uses it (409; 412 if If-Match names another version). Read the state again, then decide.",
        (409, 412),
    ),
    CodeRow(
        Code.NOT_FOUND,
        "There is no zone, rule, alarm, command, recording, user or the like of that id. Devices, machines, orders and"
        " workpieces have 5001, sensors 5203, actuators 5202.",
        (404,),
    ),
)
"""Every code, once."""


def codes_of(status: int) -> list[CodeRow]:
    """The codes with which REST answers a status."""
    return [row for row in ERRORS if status in row.statuses]


class Rejected(Exception):
    """A bad message: it never becomes valid, so it is put aside with its code instead of being tried again."""

    def __init__(self, code: Code, detail: str, field: str | None = None) -> None:
        super().__init__(code, detail, field)
        self.code = code
        self.detail = detail
        self.field = field

    def __str__(self) -> str:
        return f"{self.code.value} {self.code.name}: {self.detail}"


def line_of(error: BaseException) -> str:
    """The first line of an error's text, or its class where it has none: for logs."""
    return (str(error) or type(error).__name__).splitlines()[0]
