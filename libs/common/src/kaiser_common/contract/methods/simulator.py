"""Requests to simulator: mock devices and their parts, and the mock factory."""

from functools import partial

from kaiser_common.contract.rpc import Audited, Nothing, RpcMethod
from kaiser_common.contract.schemas.api.mock import (
    AddActuator,
    AddSensor,
    CreateMock,
    CreateMocks,
    Mock,
    MockActuators,
    MockId,
    MockMessages,
    MockMessagesQuery,
    MockPin,
    MocksCreated,
    MocksPage,
    MocksQuery,
    SetEmergency,
    SetFaults,
    SetState,
    SetValues,
)
from kaiser_common.contract.schemas.api.mock_factory import CreateMockFactory, MockFactory, MockFactoryFaults

_method = partial(RpcMethod, "simulator")

METHODS: tuple[RpcMethod, ...] = (
    _method("list", MocksQuery, MocksPage, least="operator"),
    _method("read", MockId, Mock, least="operator"),
    _method("create", CreateMock, Mock, least="operator", audited=Audited("create_mock", ("esp_id",))),
    _method("create_many", CreateMocks, MocksCreated, least="operator", audited=Audited("create_mocks")),
    _method("delete", MockId, Nothing, least="operator", audited=Audited("delete_mock", ("esp_id",), before="read")),
    _method("start", MockId, Mock, least="operator", audited=Audited("start_mock", ("esp_id",), before="read")),
    _method("stop", MockId, Mock, least="operator", audited=Audited("stop_mock", ("esp_id",), before="read")),
    _method("heartbeat", MockId, Mock, least="operator"),
    _method("state", SetState, Mock, least="operator", audited=Audited("set_mock_state", ("esp_id",), before="read")),
    _method(
        "faults", SetFaults, Mock, least="operator", audited=Audited("set_mock_faults", ("esp_id",), before="read")
    ),
    _method(
        "emergency",
        SetEmergency,
        Mock,
        least="operator",
        audited=Audited("press_mock_emergency", ("esp_id",), before="read"),
    ),
    _method("messages", MockMessagesQuery, MockMessages, least="operator"),
    _method(
        "add_sensor", AddSensor, Mock, least="operator", audited=Audited("add_mock_sensor", ("esp_id",), before="read")
    ),
    _method(
        "remove_sensor",
        MockPin,
        Mock,
        least="operator",
        audited=Audited("delete_mock_sensor", ("esp_id", "gpio"), before="read"),
    ),
    _method("set_values", SetValues, Mock, least="operator"),
    _method("clear_value", MockPin, Mock, least="operator"),
    _method(
        "add_actuator",
        AddActuator,
        Mock,
        least="operator",
        audited=Audited("add_mock_actuator", ("esp_id",), before="read"),
    ),
    _method(
        "remove_actuator",
        MockPin,
        Mock,
        least="operator",
        audited=Audited("delete_mock_actuator", ("esp_id", "gpio"), before="read"),
    ),
    _method("actuators", MockId, MockActuators, least="operator"),
    _method("factory", Nothing, MockFactory, least="operator"),
    _method("create_factory", CreateMockFactory, MockFactory, least="operator", audited=Audited("create_mock_factory")),
    _method(
        "factory_faults",
        MockFactoryFaults,
        MockFactory,
        least="operator",
        audited=Audited("set_mock_factory_faults", before="factory"),
    ),
    _method(
        "delete_factory", Nothing, Nothing, least="operator", audited=Audited("delete_mock_factory", before="factory")
    ),
)
