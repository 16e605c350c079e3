"""The error codes of Kaiser, with the verdict that carries one: Rejected."""

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


class Rejected(Exception):
    """A bad message: it never becomes valid, so it is put aside with its code instead of being tried again."""

    def __init__(self, code: Code, detail: str, field: str | None = None) -> None:
        super().__init__(f"{code.value} {code.name}: {detail}")
        self.code = code
        self.detail = detail
        self.field = field
