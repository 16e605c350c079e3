"""The table of contents of alarm: which RPC method goes to which function."""

from kaiser_common.contract.methods.alarm import METHODS
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.wiring import UNREACHABLE, register

from kaiser_alarm.api.alarms import AlarmApi
from kaiser_alarm.api.channels import ChannelApi
from kaiser_alarm.api.figures import FiguresApi
from kaiser_alarm.api.limits import LimitsApi


def answer(broker: Broker, alarms: AlarmApi, figures: FiguresApi, limits: LimitsApi, channels: ChannelApi) -> None:
    """Register what the holder of the lease answers. Events are read in order by consumers/events."""
    register(
        broker.rpc(unavailable=UNREACHABLE),
        METHODS,
        {
            "active": alarms.active,
            "list": alarms.page,
            "read": alarms.read,
            "acknowledge": alarms.acknowledge,
            "shelve": alarms.shelve,
            "unshelve": alarms.unshelve,
            "statistics": alarms.statistics,
            "spans": figures.spans,
            "figures": figures.figures,
            "limits": limits.page,
            "limits_of": limits.of_sensors,
            "read_limits": limits.read,
            "put_limits": limits.put,
            "delete_limits": limits.delete,
            "channels": channels.channels,
            "put_channel": channels.put,
            "delete_channel": channels.delete,
            "test_channel": channels.test,
            "routes": channels.routes,
            "put_route": channels.put_route,
            "delete_route": channels.delete_route,
            "notifications": channels.notifications,
        },
    )
