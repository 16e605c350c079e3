"""Requests and answers about channels, routes and notifications of alarms. Times are ms since 1970."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from kaiser_common.contract.schemas.api.alarms import ALARM_ID
from kaiser_common.contract.schemas.event import AlarmSeverity

_FROZEN = ConfigDict(frozen=True)
_STRICT = ConfigDict(frozen=True, extra="forbid")

CHANNEL_ID = r"^[a-z0-9][a-z0-9_-]{0,31}$"
ChannelId = Annotated[str, Field(pattern=CHANNEL_ID, examples=["on-call"])]
ClockTime = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", examples=["22:00"])]


class Channel(BaseModel):
    """A way to people. kind: the scheme of its URL, such as mailtos; the URL itself, a secret, is never shown again."""

    model_config = _FROZEN

    channel_id: str
    name: str
    kind: str
    enabled: bool
    changed_at: int
    changed_by: str
    last_sent_at: int | None = None
    last_failed_at: int | None = None
    last_error: str | None = None


class ChannelBody(BaseModel):
    """A channel to set. url: of Apprise, such as `mailtos://user:password@host?to=me@example.com`; None keeps it."""

    model_config = {
        **_STRICT,
        "json_schema_extra": {"examples": [{"name": "On call", "url": "ntfys://ntfy.example.com/greenhouse"}]},
    }

    name: str = Field(min_length=1, max_length=64)
    url: str | None = Field(default=None, min_length=3, max_length=2000)
    enabled: bool = True


class ChannelKey(BaseModel):
    """The id of a channel."""

    model_config = _FROZEN

    channel_id: ChannelId


class PutChannel(ChannelKey):
    """Set a channel."""

    channel: ChannelBody


class Channels(BaseModel):
    """All channels, by id."""

    channels: list[Channel]


class ChannelTested(BaseModel):
    """How a test message ended."""

    is_sent: bool
    error: str | None = None


class RouteBody(BaseModel):
    """Which alarms go to which channels. zones: empty for all. quiet_from, quiet_to: hours of `time_zone` without a
    message, also over midnight; what is raised then and still stands is sent at their end. active_from, active_to: the
    route works in these hours only; days_of_week: and on these days only, 0 Monday … 6 Sunday, the day on which the
    hours begin. repeat_s: again and again until somebody acknowledges, 0 once. after_s: only what nobody has
    acknowledged for this time (escalation)."""

    model_config = {
        **_STRICT,
        "json_schema_extra": {"examples": [{"channels": ["on-call"], "severities": ["critical"], "repeat_s": 600}]},
    }

    channels: list[ChannelId] = Field(min_length=1, max_length=20)
    severities: list[AlarmSeverity] = Field(default=["critical", "warning"], min_length=1, max_length=3)
    zones: list[Annotated[str, Field(max_length=64)]] = Field(default=[], max_length=100)
    quiet_from: ClockTime | None = None
    quiet_to: ClockTime | None = None
    active_from: ClockTime | None = None
    active_to: ClockTime | None = None
    days_of_week: list[Annotated[int, Field(ge=0, le=6)]] = Field(
        default=[], max_length=7, description="none: every day"
    )
    time_zone: str = Field(default="UTC", max_length=64)
    repeat_s: Annotated[int, Field(ge=60, le=604_800)] | Literal[0] = 0
    after_s: int = Field(default=0, ge=0, le=604_800)
    enabled: bool = True


class Route(RouteBody):
    """A route as it is set."""

    model_config = _FROZEN

    route_id: str
    changed_at: int
    changed_by: str


class RouteKey(BaseModel):
    """The id of a route."""

    model_config = _FROZEN

    route_id: ChannelId


class PutRoute(RouteKey):
    """Set a route."""

    route: RouteBody


class Routes(BaseModel):
    """All routes, by id."""

    routes: list[Route]


class AlarmNotification(BaseModel):
    """A notification of an alarm to a channel. key: what makes it the same notification when it is sent again."""

    model_config = _FROZEN

    key: str
    alarm_id: str
    channel_id: str
    state: Literal["waiting", "sent", "failed", "dropped"]
    tries: int
    is_summary: bool = False
    created_at: int
    ended_at: int | None = None
    error: str | None = None


class NotificationsQuery(BaseModel):
    """Of an alarm, of a channel, or all; the newest first."""

    model_config = _FROZEN

    alarm_id: str | None = Field(default=None, pattern=ALARM_ID)
    channel_id: ChannelId | None = None
    limit: int = Field(default=100, ge=1, le=1000)
    cursor: str | None = Field(default=None, max_length=300)


class Notifications(BaseModel):
    """Notifications, the newest first."""

    items: list[AlarmNotification]
    next_cursor: str | None = None
