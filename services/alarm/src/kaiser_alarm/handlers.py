"""The table of contents of alarm: which RPC method goes to which function."""

from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.wiring import UNREACHABLE

from kaiser_alarm.api.alarms import AlarmApi
from kaiser_alarm.api.channels import ChannelApi
from kaiser_alarm.api.limits import LimitsApi


def answer(broker: Broker, alarms: AlarmApi, limits: LimitsApi, channels: ChannelApi) -> None:
    """Register what the holder of the lease answers. Events are read in order by consumers/events."""
    rpc = broker.rpc(unavailable=UNREACHABLE)
    rpc.method("list")(alarms.page)
    rpc.method("read")(alarms.read)
    rpc.method("acknowledge", least="operator")(alarms.acknowledge)
    rpc.method("shelve", least="operator")(alarms.shelve)
    rpc.method("unshelve", least="operator")(alarms.unshelve)
    rpc.method("statistics")(alarms.statistics)
    rpc.method("limits")(limits.page)
    rpc.method("read_limits")(limits.read)
    rpc.method("put_limits", least="operator")(limits.put)
    rpc.method("delete_limits", least="operator")(limits.delete)
    rpc.method("channels", least="operator")(channels.channels)
    rpc.method("put_channel", least="admin")(channels.put)
    rpc.method("delete_channel", least="admin")(channels.delete)
    rpc.method("test_channel", least="admin")(channels.test)
    rpc.method("routes", least="operator")(channels.routes)
    rpc.method("put_route", least="admin")(channels.put_route)
    rpc.method("delete_route", least="admin")(channels.delete_route)
    rpc.method("notifications")(channels.notifications)
