"""One connection to an MQTT broker, from CONNECT to its end."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from kaiser_factory_dialect.topics import ends_connection
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from kaiser_ingest.domain import reason_codes
from kaiser_ingest.domain.incoming import Incoming
from kaiser_ingest.mqtt.client import Closed, MqttClient
from kaiser_ingest.mqtt.packets import PacketSplitter
from kaiser_ingest.mqtt.profiles import Profile, password_of, tls_context_of
from kaiser_ingest.mqtt.sending import ConnectionLost, MqttPublication

CONNECT_TIMEOUT_S = 5.0

_PUBLISH_OVERHEAD = 15
"""Bytes of a PUBLISH beside topic and payload: type, length, topic length, packet id, expiry."""


class ConnectFailed(Exception):
    """No connection; code is the CONNACK's where the broker sent one."""

    def __init__(self, text: str, code: int | None = None) -> None:
        super().__init__(text)
        self.code = code


class MqttConnection:
    """One connection to a broker, from CONNECT to its end; each attempt creates a new one."""

    def __init__(
        self,
        profile: Profile,
        *,
        client_id: str,
        mqtt5: bool,
        generation: int,
        will: MqttPublication,
        keepalive_s: int,
        session_expiry_s: int,
        will_delay_s: int,
        receive_maximum: int,
        kept_bytes: int,
        on_messages: Callable[[list[Incoming]], None],
        clean: bool = False,
    ) -> None:
        """will: under MQTT 5 only. clean: the broker forgets the session that it has, and keeps none behind the
        connection."""
        self._clean = clean
        self.mqtt5 = mqtt5
        self.generation = generation
        self._profile = profile
        self._client_id = client_id
        self._will = will
        self._keepalive_s = keepalive_s
        self._session_expiry_s = session_expiry_s
        self._will_delay_s = will_delay_s
        self._receive_maximum = receive_maximum
        self._kept_bytes = kept_bytes
        self._on_messages = on_messages
        self._client: MqttClient | None = None

    async def connect(self) -> bool:
        """CONNECT with the persistent session; True if the broker still had it. Raises ConnectFailed within 6 s."""
        try:
            context = await asyncio.to_thread(tls_context_of, self._profile)
            client = self._build(context, password_of(self._profile))
        except OSError as error:
            raise ConnectFailed(f"a file of the profile cannot be used: {error}") from error
        self._client = client
        with ExitStack() as undo:
            undo.callback(client.abort)
            try:
                await client.__aenter__()
            except MqttConnectError as error:
                code = _number(error.rc)
                raise ConnectFailed(reason_codes.connack_text(code), code) from error
            except aiomqtt.MqttError as error:
                raise ConnectFailed(str(error)) from error
            undo.pop_all()
        return client.session_present

    async def subscribe(self, filters: Sequence[str]) -> None:
        """Subscribe at QoS 1 and check each SUBACK code. Raises ConnectFailed."""
        try:
            codes = await self._open().subscribe([(each, 1) for each in filters], timeout=CONNECT_TIMEOUT_S)
        except aiomqtt.MqttError as error:
            raise ConnectFailed(f"SUBSCRIBE failed: {error}") from error
        refused = [(each, _number(code)) for each, code in zip(filters, codes, strict=True) if _number(code) != 1]
        if refused:
            text = "; ".join(f"{each}: {reason_codes.reason_text(code)}" for each, code in refused[:3])
            raise ConnectFailed(f"the broker refused filters: {text}", refused[0][1])

    async def subscribe_if_allowed(self, topic: str) -> bool:
        """Subscribe at QoS 0 to what is good to have; False if the broker refuses, or the connection has ended."""
        try:
            codes = await self._open().subscribe([(topic, 0)], timeout=CONNECT_TIMEOUT_S)
        except aiomqtt.MqttError:
            return False
        return all(_number(code) == 0 for code in codes)

    async def unsubscribe(self, filters: Sequence[str]) -> None:
        """Drop filters that the session may still have. Raises ConnectFailed."""
        try:
            await self._open().unsubscribe(list(filters), timeout=CONNECT_TIMEOUT_S)
        except aiomqtt.MqttError as error:
            raise ConnectFailed(f"UNSUBSCRIBE failed: {error}") from error

    async def publish(self, message: MqttPublication, timeout_s: float) -> int:
        """Publish and wait for the PUBACK's reason code. Raises ConnectionLost, TimeoutError."""
        async with asyncio.timeout(timeout_s):
            return await self.send(message)

    def send(self, message: MqttPublication, places: asyncio.Semaphore | None = None) -> asyncio.Future[int]:
        """Publish; the future gives the PUBACK's reason code (QoS 0: success) or raises ConnectionLost, as this does.

        A packet that the broker would hang up on is answered here, as a broker would. places: where `place` took one,
        which is released with the answer.
        """
        try:
            refused = self._refused(message)
            answer = self._open().send(message) if refused is None else _answered(refused)
        except ConnectionLost:
            if places is not None:
                places.release()
            raise
        if places is not None:
            answer.add_done_callback(lambda _: places.release())
        return answer

    async def place(self, timeout_s: float) -> asyncio.Semaphore:
        """Wait for a place for an ordinary message in the window of what has no PUBACK yet, for `send`.

        Raises TimeoutError, ConnectionLost. Urgent messages take none: some places are theirs alone.
        """
        places = self._open().ordinary_places
        if places.locked():
            async with asyncio.timeout(timeout_s):
                await places.acquire()
        else:
            await places.acquire()  # does not wait, and so needs no task
        return places

    async def answers(self, timeout_s: float) -> bool:
        """Whether the broker answers a ping that is sent now. Raises ConnectionLost where there is no connection."""
        return await self._open().answers(timeout_s)

    def _refused(self, message: MqttPublication) -> int | None:
        """The reason code of a packet on which the broker would hang up: it has said so of one so large, and NATS,
        which speaks MQTT 3.1.1 alone, does so on some topics."""
        most = self._open().broker_maximum_packet
        if most is not None and len(message.topic.encode()) + len(message.payload) + _PUBLISH_OVERHEAD > most:
            return reason_codes.PACKET_TOO_LARGE
        return reason_codes.TOPIC_NAME_INVALID if not self.mqtt5 and ends_connection(message.topic) else None

    def acknowledge(self, packet_ids: Sequence[int]) -> None:
        """Send PUBACKs in this order, as one write; nothing once the connection has ended."""
        if self._client is not None and not self._client.connection_lost().done():
            self._client.acknowledge(packet_ids)

    def pause(self) -> None:
        """Stop reading from the socket."""
        if self._client is not None:
            self._client.pause()

    def resume(self) -> None:
        """Read from the socket again."""
        if self._client is not None:
            self._client.resume()

    def rest(self) -> None:
        """Leave what arrives in the socket until `read` is called, for 20 ms at most; not while the broker is to answer
        something."""
        if self._client is not None:
            self._client.rest()

    def read(self) -> None:
        """In a rest, read what has arrived; where that is nothing, the rest ends."""
        if self._client is not None:
            self._client.read()

    async def closed(self) -> Closed:
        """Wait for the end of the connection and say why it came."""
        client = self._open()
        await asyncio.wait([client.connection_lost()])
        if client.connection_lost().exception() is not None and client.closed_as is None:
            return Closed(str(client.connection_lost().exception()), None)
        return client.closed_as or Closed("disconnected", None)

    async def disconnect(self, *, with_will: bool = False) -> None:
        """Send DISCONNECT and wait until the connection is closed, at most 2 s; then close it anyway.

        with_will (MQTT 5): the broker still sends the will once its delay is over, unless the session goes on before.
        """
        client = self._client
        if client is None:
            return
        if with_will:
            client.keep_will()
        try:
            async with asyncio.timeout(2.0):
                await client.__aexit__(None, None, None)
        except (aiomqtt.MqttError, TimeoutError):
            client.abort()

    def abort(self) -> None:
        """Close the socket immediately, without DISCONNECT."""
        if self._client is not None:
            self._client.abort()

    def _open(self) -> MqttClient:
        if self._client is None:
            raise ConnectionLost("not connected yet")
        return self._client

    def _build(self, context: ssl.SSLContext | None, password: str) -> MqttClient:
        options: dict[str, Any] = {}
        if self.mqtt5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = 0 if self._clean else self._session_expiry_s
            properties.ReceiveMaximum = self._receive_maximum
            options |= {"properties": properties, "clean_start": self._clean, "protocol": aiomqtt.ProtocolVersion.V5}
        else:
            options |= {"clean_session": self._clean, "protocol": aiomqtt.ProtocolVersion.V311}
        if self._profile.username:
            options |= {"username": self._profile.username, "password": password}
        return MqttClient(
            self._profile.host,
            self._profile.port,
            splitter=PacketSplitter(self.mqtt5, self.generation, self._kept_bytes),
            on_messages=self._on_messages,
            identifier=self._client_id,
            keepalive=self._keepalive_s,
            timeout=CONNECT_TIMEOUT_S,
            tls_context=context,
            will=self._delayed_will(),
            **options,
        )

    def _delayed_will(self) -> aiomqtt.Will | None:
        """The will, which waits: a restart, or a standby that goes on with the session, moves no pump. MQTT 3.1.1 has
        no delay, so there is no will there."""
        if not self.mqtt5:
            return None
        properties = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]
        properties.WillDelayInterval = self._will_delay_s
        return aiomqtt.Will(self._will.topic, self._will.payload, self._will.qos, self._will.retain, properties)


def _answered(code: int) -> asyncio.Future[int]:
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    answer.set_result(code)
    return answer


def _number(code: Any) -> int:
    """A reason code as a number, whichever form paho gives it."""
    return int(getattr(code, "value", code))
