"""Keeps one MQTT session across all its connections: connects, serves, and connects again after a loss.

Killed at any point: every message that it acknowledged is stored. The broker keeps the session. Under MQTT 5 it
publishes the will once its delay is over; under 3.1.1 there is none.
"""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Literal

import structlog
from kaiser_common.bus.connection import BusUnavailable
from kaiser_common.bus.waiting import set_within
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.device import ServerStatus
from kaiser_common.contract.topics import Kind, build
from kaiser_common.runtime.loops import until_done

from kaiser_ingest import metrics
from kaiser_ingest.consumers.attempts import ConnectAttempts
from kaiser_ingest.consumers.entering import EnvironmentEntry
from kaiser_ingest.consumers.pipeline import DROPPED_TOPIC, Pipeline
from kaiser_ingest.domain import backoff, reason_codes
from kaiser_ingest.domain.factory_dialect import KEPT_PACKET_BYTES, FactoryDialect
from kaiser_ingest.domain.incoming import Incoming
from kaiser_ingest.mqtt.connection import ConnectFailed, MqttConnection
from kaiser_ingest.mqtt.packets import MAX_KEPT_BYTES
from kaiser_ingest.mqtt.profiles import Profile
from kaiser_ingest.mqtt.sending import ConnectionLost, MqttPublication
from kaiser_ingest.publish import SystemEvents
from kaiser_ingest.settings import IngestSettings
from kaiser_ingest.store.environments import Environments
from kaiser_ingest.store.session_store import SessionStore

log = structlog.get_logger()

PROBE_TIMEOUT_S = 5.0
DRAIN_S = 5.0
_FEW = 100
"""While so many messages are held, as at saturation, the socket is read beside storing."""
MAX_IN_FLIGHT_BYTES = 64 * 1024 * 1024
"""Most bytes of payloads received and not yet stored, before the socket is not read any more."""


class SwitchFailed(Exception):
    """The broker of the new profile did not come up; the old profile is active again."""


class MqttSession:
    """Holds the MQTT connection: `run` keeps it, others wait for it with `connection`."""

    def __init__(
        self,
        settings: IngestSettings,
        pipeline: Pipeline,
        kept: SessionStore,
        events: SystemEvents,
        factory: FactoryDialect | None = None,
        environments: Environments | None = None,
    ) -> None:
        self._settings = settings
        self._factory = factory
        self._attempts = ConnectAttempts(events, settings.source)
        self._entry = EnvironmentEntry(factory, environments, kept, events)
        self._kept_bytes = MAX_KEPT_BYTES if factory is None else KEPT_PACKET_BYTES
        self._kept = kept
        self._events = events
        self._pipeline = pipeline
        self.profiles: Mapping[str, Profile] = settings.profiles()
        self.active = settings.mqtt_profile
        self.connected_since: int | None = None
        """ms since 1970; None while there is no connection."""
        self.session_present: bool | None = None
        self._current: MqttConnection | None = None
        self._generation = 0
        self._paused = False
        self._is_recalled = False
        self._up = asyncio.Event()
        self._hurry = asyncio.Event()
        self._may_connect = asyncio.Event()
        self._may_connect.set()

    @property
    def failures(self) -> int:
        """Failures to connect in a row."""
        return self._attempts.failures

    @property
    def last_error(self) -> str:
        """Why there was no connection the last time that there was none."""
        return self._attempts.last_error

    @property
    def is_up(self) -> bool:
        """Whether the connection is up: subscribed, its probe acknowledged."""
        return self._up.is_set()

    async def check(self) -> None:
        """Readiness: raises ConnectionLost while there is no connection."""
        if not self._up.is_set():
            raise ConnectionLost(f"{self.profiles[self.active].address}: {self.last_error}")

    async def connection(self, timeout_s: float) -> MqttConnection | None:
        """The connection once it is up, or None if it is not within this time."""
        return self._current if await set_within(self._up, timeout_s) else None

    def client_id(self) -> str:
        """The client id at the broker of the active profile."""
        return self.profiles[self.active].client_id or f"kaiser-ingest-{self._settings.site}"

    async def run(self) -> None:
        """Connect, and connect again, until cancelled. Not before the profile that was switched to last is read: the
        default may be another broker."""
        self._is_recalled = False
        await until_done(self._recall_profile, "session_state_unreadable")
        try:
            while True:
                await self._may_connect.wait()
                started = time.monotonic()
                flapping = False
                try:
                    connection = await self._come_up(self.active)
                except ConnectFailed as error:
                    self._failed(error)
                else:
                    flapping = await self._serve(connection)
                await self._wait(started, flapping)
        finally:
            self.abort()

    async def _recall_profile(self) -> None:
        try:
            remembered = await self._kept.profile()
        except BusUnavailable as error:
            self._attempts.last_error = f"the profile that was switched to last is unknown: {error}"
            raise
        if remembered is not None and remembered in self.profiles:
            self.active = remembered
        self._is_recalled = True

    def _check_recalled(self) -> None:
        """Raises SwitchFailed while the active profile is not read: it would take the place of the one switched to."""
        if not self._is_recalled:
            raise SwitchFailed(self.last_error)

    async def leave(self, reason: str, manner: Literal["will", "silent", "told"] = "will") -> None:
        """Process all received messages, send DISCONNECT and wait for it.

        will: under MQTT 5 the will stays in force. A standby, or this process once it is started again, has its delay
        to go on with the session before devices are informed that the server is offline: firmware B then puts every
        actuator to its default. Under 3.1.1 a will has no delay, and devices are not informed: firmware B goes to its
        safe state after 120 s without a heartbeat ack. silent: another session on this broker follows immediately.
        told: this broker is left for good.
        """
        connection = self._current
        if connection is None or not self._up.is_set():
            return
        self._up.clear()
        connection.pause()
        drained = await self._pipeline.drained(DRAIN_S)
        connection.resume()  # the PUBACK of the status must be read; other messages that arrive are not acknowledged
        if manner == "told":
            await self._publish_offline(connection, reason)
        await connection.disconnect(with_will=manner == "will" and connection.mqtt5)
        log.info("mqtt_disconnected", reason=reason, drained=drained)

    async def _publish_offline(self, connection: MqttConnection, reason: str) -> None:
        try:
            await connection.publish(self._status("offline", reason), 2.0)
        except (ConnectionLost, TimeoutError) as error:
            log.warning("status_not_published", reason=str(error) or "no PUBACK")

    def abort(self) -> None:
        """Close the connection immediately: the lease is lost, another process may connect."""
        self._up.clear()
        metrics.CONNECTED.set(0)
        connection, self._current = self._current, None
        if connection is not None:
            connection.abort()
            self._pipeline.forget(connection.generation)

    async def switch(self, name: str) -> None:
        """Move to another profile, while no other switch goes on. KeyError: no such profile. SwitchFailed: the old one
        is active again, or not read yet."""
        self.profiles[name]
        self._check_recalled()
        if name == self.active:
            return
        old = self.active
        log.info("profile_switch_started", old=old, new=name)
        await self._leave_for(name)
        try:
            is_up = await self.connection(self._settings.mqtt_switch_s) is not None
        except asyncio.CancelledError:
            self.active = old  # the lease was lost: the caller is not told that the new one is active
            raise
        if is_up:
            await self._kept.remember_profile(name)
            metrics.PROFILE_SWITCHES.labels("done").inc()
            self._events.report(
                "mqtt_profile_switched", "info", f"MQTT broker profile {name} is active", profile=name, old=old
            )
            self._entry.report()
            return
        reason = self.last_error
        await self._leave_for(old)
        metrics.PROFILE_SWITCHES.labels("failed").inc()
        self._events.report(
            "mqtt_profile_switch_failed",
            "error",
            f"profile {name} could not be connected, back to {old}: {reason}",
            code=Code.BROKER_UNAVAILABLE,
            profile=name,
            old=old,
            reason=reason,
        )
        raise SwitchFailed(reason)

    async def restart(self, name: str) -> None:
        """Enter the environment of the active profile once more, as a new epoch, while no other switch goes on.
        SwitchFailed: another one is active, or its broker does not come up; then it is entered once that does."""
        self._check_recalled()
        if name != self.active:
            raise SwitchFailed(f"profile {self.active} is active")
        self._entry.begin_anew()
        await self._leave_for(name)
        if await self.connection(self._settings.mqtt_switch_s) is None:
            raise SwitchFailed(self.last_error)
        self._entry.report()

    async def ask_retained_again(self) -> bool:
        """Have the broker send what it retains of the factory once more, and take each message as new. Without a
        connection nothing is asked: the next one brings it. False: the broker refused, or did not answer."""
        if self._factory is None:
            return True
        self._factory.forget()
        connection = self._current if self._up.is_set() else None
        if connection is None:
            return True
        of_devices = self._settings.device_filters(self.active)
        try:
            await connection.subscribe(sorted(self._factory.wanted(of_devices) - of_devices))
        except (ConnectFailed, ConnectionLost) as error:
            log.warning("retained_not_asked_for", reason=str(error))
            return connection is not self._current
        return True

    def on_messages(self, messages: Sequence[Incoming]) -> None:
        """Take what the connection received. Over the window the socket is not read any more; while few messages are
        being stored, what follows is read once the pipeline asks for it."""
        self._pipeline.offer(messages)
        connection = self._current
        if self._paused or connection is None:
            return
        if self._is_full():
            self._paused = True
            connection.pause()
            metrics.READER_PAUSES.inc()
        elif self._pipeline.held < _FEW:
            connection.rest()

    def read(self) -> None:
        """Take what has arrived since, because the pipeline is free for it."""
        if self._current is not None:
            self._current.read()

    def on_stored(self, messages: Sequence[Incoming]) -> None:
        """Acknowledge in receive order, on the connection that delivered and on no other."""
        connection = self._current
        if connection is None:
            return
        packet_ids = [each.packet_id for each in messages if each.qos and each.generation == connection.generation]
        if packet_ids:
            connection.acknowledge(packet_ids)
        if self._paused and not self._is_full(0.75):
            self._paused = False
            connection.resume()

    def _is_full(self, share: float = 1.0) -> bool:
        """Whether this share of the window, or of the bytes that may be in flight, is in use."""
        return (
            self._pipeline.in_flight > self._settings.ingest_window * share
            or self._pipeline.in_flight_bytes > MAX_IN_FLIGHT_BYTES * share
        )

    async def _leave_for(self, name: str) -> None:
        old, new = self.profiles[self.active], self.profiles[name]
        same_session = old.client_id == new.client_id
        self._may_connect.clear()  # `run` would connect to the old one once more
        try:
            await self.leave(
                "profile switch", "told" if old.place != new.place else "will" if same_session else "silent"
            )
            self.active = name
        finally:
            self._may_connect.set()
        self._attempts.forget()
        self._hurry.set()

    async def _come_up(self, name: str) -> MqttConnection:
        """A connection that counts as up: subscribed afresh, with its probe acknowledged. Raises ConnectFailed."""
        profile = self.profiles[name]
        self._generation += 1
        self._paused = False
        mqtt5 = self._attempts.speaks_mqtt5(name)
        client_id = profile.client_id or f"kaiser-ingest-{self._settings.site}"
        filters = self._settings.device_filters(name)
        emptied = await self._entry.enter(name, profile, client_id, self._generation, filters, mqtt5=mqtt5)
        connection = MqttConnection(
            profile,
            client_id=client_id,
            mqtt5=mqtt5,
            generation=self._generation,
            will=self._status("offline", "unexpected_disconnect"),
            keepalive_s=self._settings.mqtt_keepalive_s,
            session_expiry_s=self._settings.mqtt_session_expiry_s,
            will_delay_s=self._settings.mqtt_will_delay_s,
            receive_maximum=self._settings.ingest_window,
            kept_bytes=self._kept_bytes,
            on_messages=self.on_messages,
        )
        self._current = connection
        with ExitStack() as undo:
            undo.callback(self._pipeline.forget, connection.generation)
            undo.callback(connection.abort)
            try:
                known_filters = await self._kept.filters(name)
                session_present = await connection.connect()
                await self._subscribe(connection, name, known_filters)
                await self._probe(connection)
            except ConnectionLost as error:
                raise ConnectFailed(f"the connection was lost immediately: {error}") from error
            except BusUnavailable as error:
                raise ConnectFailed(f"the filters of the session are unknown: {error}") from error
            undo.pop_all()
        if name != self.active:
            await connection.disconnect()
            raise ConnectFailed("the profile was switched in the meantime")
        self._is_up(connection, name, session_present, expected=known_filters is not None and not emptied)
        return connection

    async def _subscribe(self, connection: MqttConnection, name: str, known: frozenset[str] | None) -> None:
        """Subscribe to what is wanted, drop what an earlier version subscribed."""
        wanted = self._settings.device_filters(name)
        if self._factory is not None:
            wanted = self._factory.wanted(wanted)
        surplus = sorted((known or frozenset()) - wanted)
        if surplus:
            await connection.unsubscribe(surplus)
            log.info("filters_dropped", filters=surplus)
        await connection.subscribe(sorted(wanted))
        if known != wanted:
            await self._kept.remember_filters(name, wanted)

    async def _probe(self, connection: MqttConnection) -> None:
        """The retained status is the probe: a connection counts once the broker has acknowledged a QoS 1 publish."""
        started = time.monotonic()
        try:
            code = await connection.publish(self._status("online", None), PROBE_TIMEOUT_S)
        except TimeoutError as error:
            raise ConnectFailed(f"the broker did not acknowledge the probe within {PROBE_TIMEOUT_S:g} s") from error
        if code >= reason_codes.FAILURE_FROM:
            raise ConnectFailed(f"the broker refused the probe: {reason_codes.reason_text(code)}", code)
        metrics.BROKER_ROUND_TRIP.observe(time.monotonic() - started)

    def _is_up(self, connection: MqttConnection, name: str, session_present: bool, *, expected: bool) -> None:
        metrics.SESSION_PRESENT.set(session_present)
        self.session_present = session_present
        self.connected_since = time.time_ns() // 1_000_000
        self._attempts.came_up(session_lost=expected and not session_present, profile=name)
        metrics.CONNECTED.set(1)
        self._up.set()
        log.info(
            "mqtt_connected",
            broker=self.profiles[name].address,
            profile=name,
            protocol="5" if connection.mqtt5 else "3.1.1",
            session_present=session_present,
        )

    async def _serve(self, connection: MqttConnection) -> bool:
        """Wait for the end of a connection that is up; True if it did not last."""
        since = time.monotonic()
        await self._watch_broker(connection)
        closed = await connection.closed()
        left = not self._up.is_set()
        self._up.clear()
        self.connected_since = None
        metrics.CONNECTED.set(0)
        self._pipeline.forget(connection.generation)
        self._current = None
        if left:
            self._attempts.left()
            return False
        return self._attempts.lost(closed, time.monotonic() - since, self.profiles[self.active].address)

    async def _watch_broker(self, connection: MqttConnection) -> None:
        """Subscribe to Mosquitto's count of dropped messages; Mosquitto forgets a count that does not change within a
        minute."""
        if not self._settings.mqtt_broker_statistics or not connection.mqtt5:
            return
        if await connection.subscribe_if_allowed(DROPPED_TOPIC):
            self._pipeline.accounts.broker_dropped = self._pipeline.accounts.broker_dropped or 0
        else:
            log.info("broker_statistics_refused", topic=DROPPED_TOPIC)

    def _failed(self, error: ConnectFailed) -> None:
        self._current = None
        if self._attempts.failed(error, self.active, self.profiles[self.active].address):
            self._hurry.set()

    async def _wait(self, started: float, flapping: bool) -> None:
        """Wait before the next attempt; a switch of the profile cuts it short."""
        if self.failures == 0 and not self._hurry.is_set():
            return
        floor_s = self._settings.mqtt_flapping_s if flapping else 0.0
        since_s, longest_s = time.monotonic() - started, self._settings.mqtt_retry_s
        wait_s = backoff.wait_s(self.failures, random.random(), since_s, floor_s, longest_s)
        if await set_within(self._hurry, wait_s):
            self._hurry.clear()

    def _status(self, status: Literal["online", "offline"], reason: str | None) -> MqttPublication:
        payload = ServerStatus(status=status, timestamp=int(time.time()), reason=reason)
        return MqttPublication(
            build(Kind.SERVER_STATUS, self._settings.site), payload.model_dump_json(exclude_none=True).encode(), 1, True
        )
