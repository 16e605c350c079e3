"""Requests to ingest: rejected messages, broker profiles, the environment of the factory, verdicts on messages."""

from functools import partial

from kaiser_common.contract.rpc import GATEWAY, Audited, Nothing, RpcMethod
from kaiser_common.contract.schemas.api.factory import EnvironmentStatus, RestartEnvironment
from kaiser_common.contract.schemas.api.inspection import PassedMessages, PassedMessagesQuery
from kaiser_common.contract.schemas.api.messages import CheckedMessage, CheckMessage, RetainedTopics
from kaiser_common.contract.schemas.api.rejected import (
    CauseReplay,
    CausesPage,
    CausesQuery,
    FixedMessage,
    FixRejected,
    RejectedItem,
    RejectedKey,
    RejectedPage,
    RejectedQuery,
    ReplayAnswer,
    ReplayedCause,
    ReplayRequest,
)
from kaiser_common.contract.schemas.api.system import MqttProfiles, SwitchProfile
from kaiser_common.contract.schemas.factory import FactoryEnvironment

ONLY_FACTORY = "ingest-factory"
"""The name under which an ingest is asked that speaks the factory's dialect alone."""

_method = partial(RpcMethod, "ingest")

METHODS: tuple[RpcMethod, ...] = (
    _method("rejected_list", RejectedQuery, RejectedPage, least="operator"),
    _method(
        "rejected_replay",
        ReplayRequest,
        ReplayAnswer,
        least="operator",
        audited=Audited("replay_rejected", ("seq",)),
    ),
    _method("rejected_causes", CausesQuery, CausesPage, least="operator"),
    _method(
        "rejected_replay_cause",
        CauseReplay,
        ReplayedCause,
        least="operator",
        callers=("health", GATEWAY),
        audited=Audited(
            "replay_cause", ("code", "esp_id", "serial", "topic", "field"), before="rejected_causes", of="items"
        ),
    ),
    _method("rejected_item", RejectedKey, RejectedItem, least="operator"),
    _method("rejected_check", FixRejected, CheckedMessage, least="operator"),
    _method(
        "rejected_fix",
        FixRejected,
        FixedMessage,
        least="operator",
        audited=Audited("fix_rejected", ("seq",), before="rejected_item"),
    ),
    _method("device_messages", PassedMessagesQuery, PassedMessages, least="operator"),
    _method("mqtt_profiles", Nothing, MqttProfiles),
    _method(
        "switch_profile",
        SwitchProfile,
        MqttProfiles,
        least="admin",
        also=(ONLY_FACTORY,),
        audited=Audited("switch_profile", ("profile",), before="mqtt_profiles"),
    ),
    _method("environment", Nothing, EnvironmentStatus, also=(ONLY_FACTORY,)),
    _method("check_message", CheckMessage, CheckedMessage, also=(ONLY_FACTORY,)),
    _method("retained", Nothing, RetainedTopics, also=(ONLY_FACTORY,)),
    _method(
        "restart_environment",
        RestartEnvironment,
        FactoryEnvironment,
        least="operator",
        callers=("recorder",),
        also=(ONLY_FACTORY,),
    ),
    _method("disarm_environment", Nothing, Nothing, least="operator", callers=("recorder",), also=(ONLY_FACTORY,)),
)
