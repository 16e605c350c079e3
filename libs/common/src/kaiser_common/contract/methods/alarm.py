"""Requests to alarm: alarms, limits of sensors, channels and routes of notification."""

from functools import partial

from kaiser_common.contract.rpc import GATEWAY, Audited, Nothing, RpcMethod
from kaiser_common.contract.schemas.api.alarms import (
    AcknowledgeAlarm,
    ActiveAlarms,
    Alarm,
    AlarmFigures,
    AlarmFiguresQuery,
    AlarmKey,
    AlarmsPage,
    AlarmSpans,
    AlarmSpansQuery,
    AlarmsQuery,
    AlarmStatistics,
    AlarmWithSteps,
    LimitsKey,
    LimitsOfSensors,
    LimitsPage,
    LimitsQuery,
    PutLimits,
    SensorLimits,
    ShelveAlarm,
    StatisticsQuery,
)
from kaiser_common.contract.schemas.api.notifications import (
    Channel,
    ChannelKey,
    Channels,
    ChannelTested,
    Notifications,
    NotificationsQuery,
    PutChannel,
    PutRoute,
    Route,
    RouteKey,
    Routes,
)

_method = partial(RpcMethod, "alarm")

METHODS: tuple[RpcMethod, ...] = (
    _method("active", Nothing, ActiveAlarms),
    _method("list", AlarmsQuery, AlarmsPage, callers=("logic", GATEWAY)),
    _method("read", AlarmKey, AlarmWithSteps),
    _method(
        "acknowledge",
        AcknowledgeAlarm,
        Alarm,
        least="operator",
        audited=Audited("acknowledge_alarm", ("alarm_id",), before="read", of="alarm"),
    ),
    _method(
        "shelve",
        ShelveAlarm,
        Alarm,
        least="operator",
        audited=Audited("shelve_alarm", ("alarm_id",), before="read", of="alarm"),
    ),
    _method(
        "unshelve",
        AlarmKey,
        Alarm,
        least="operator",
        audited=Audited("unshelve_alarm", ("alarm_id",), before="read", of="alarm"),
    ),
    _method("statistics", StatisticsQuery, AlarmStatistics),
    _method("spans", AlarmSpansQuery, AlarmSpans),
    _method("figures", AlarmFiguresQuery, AlarmFigures),
    _method("limits", LimitsQuery, LimitsPage),
    _method("limits_of", LimitsOfSensors, LimitsPage),
    _method("read_limits", LimitsKey, SensorLimits),
    _method(
        "put_limits",
        PutLimits,
        SensorLimits,
        least="operator",
        audited=Audited("set_limits", ("esp_id", "gpio", "sensor_type", "address"), before="read_limits", of="limits"),
    ),
    _method(
        "delete_limits",
        LimitsKey,
        Nothing,
        least="operator",
        audited=Audited(
            "delete_limits", ("esp_id", "gpio", "sensor_type", "address"), before="read_limits", of="limits"
        ),
    ),
    _method("channels", Nothing, Channels, least="operator"),
    _method(
        "put_channel",
        PutChannel,
        Channel,
        least="admin",
        audited=Audited("set_channel", ("channel_id",), before="channels", of="channels"),
    ),
    _method(
        "delete_channel",
        ChannelKey,
        Nothing,
        least="admin",
        audited=Audited("delete_channel", ("channel_id",), before="channels", of="channels"),
    ),
    _method("test_channel", ChannelKey, ChannelTested, least="admin", audited=Audited("send_test", ("channel_id",))),
    _method("routes", Nothing, Routes, least="operator"),
    _method(
        "put_route",
        PutRoute,
        Route,
        least="admin",
        audited=Audited("set_route", ("route_id",), before="routes", of="routes"),
    ),
    _method(
        "delete_route",
        RouteKey,
        Nothing,
        least="admin",
        audited=Audited("delete_route", ("route_id",), before="routes", of="routes"),
    ),
    _method("notifications", NotificationsQuery, Notifications),
)
