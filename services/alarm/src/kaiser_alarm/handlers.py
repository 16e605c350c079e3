"""The table of contents of alarm: which RPC method goes to which function."""

from typing import Any

from kaiser_common.bus.rpc import Method, Nothing
from kaiser_common.contract.schemas.api.alarms import (
    AcknowledgeAlarm,
    AlarmKey,
    AlarmsQuery,
    LimitsKey,
    LimitsQuery,
    PutLimits,
    ShelveAlarm,
    StatisticsQuery,
)
from kaiser_common.contract.schemas.api.notifications import (
    ChannelKey,
    NotificationsQuery,
    PutChannel,
    PutRoute,
    RouteKey,
)

from kaiser_alarm.api.alarms import AlarmApi
from kaiser_alarm.api.channels import ChannelApi
from kaiser_alarm.api.limits import LimitsApi


def methods(alarms: AlarmApi, limits: LimitsApi, channels: ChannelApi) -> dict[str, Method[Any, Any]]:
    """By the name of the method."""
    return {
        "list": Method(AlarmsQuery, alarms.page),
        "read": Method(AlarmKey, alarms.read),
        "acknowledge": Method(AcknowledgeAlarm, alarms.acknowledge, least="operator"),
        "shelve": Method(ShelveAlarm, alarms.shelve, least="operator"),
        "unshelve": Method(AlarmKey, alarms.unshelve, least="operator"),
        "statistics": Method(StatisticsQuery, alarms.statistics),
        "limits": Method(LimitsQuery, limits.page),
        "read_limits": Method(LimitsKey, limits.read),
        "put_limits": Method(PutLimits, limits.put, least="operator"),
        "delete_limits": Method(LimitsKey, limits.delete, least="operator"),
        "channels": Method(Nothing, channels.channels, least="operator"),
        "put_channel": Method(PutChannel, channels.put, least="admin"),
        "delete_channel": Method(ChannelKey, channels.delete, least="admin"),
        "test_channel": Method(ChannelKey, channels.test, least="admin"),
        "routes": Method(Nothing, channels.routes, least="operator"),
        "put_route": Method(PutRoute, channels.put_route, least="admin"),
        "delete_route": Method(RouteKey, channels.delete_route, least="admin"),
        "notifications": Method(NotificationsQuery, channels.notifications),
    }
