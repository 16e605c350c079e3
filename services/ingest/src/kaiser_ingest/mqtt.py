"""The adapter to aiomqtt 2.5.1 and paho 2.2: one connection with manual acknowledgement; all that is private is here.

aiomqtt connects, subscribes and keeps alive. Three things it cannot do are done here: received PUBLISH packets go
straight to a callback and are acknowledged when told, many at once; the socket's reader can be paused; the CONNACK's
session flag, the PUBACK's reason and the DISCONNECT's reason are kept. aiomqtt 3 has these.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import aiomqtt
import paho.mqtt.client as paho
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from kaiser_ingest import reason_codes
from kaiser_ingest.frames import Incoming, MalformedPacket, PacketSplitter
from kaiser_ingest.profiles import Profile, password_of, tls_context_of

CONNECT_TIMEOUT_S = 5.0
MAX_OUTGOING = 500
"""Most messages of ours that wait for the broker's PUBACK, unless the broker allows fewer."""

_RECEIVE_BYTES = 256 * 1024
_PUBACK = 0x40
_PUBLISH_OVERHEAD = 10
"""Bytes of a PUBLISH beside topic and payload: type, length, topic length, packet id, no properties."""

_NEVER_CLOSED = "closed before the broker answered"


class ConnectFailed(Exception):
    """No connection; code is the CONNACK's where the broker sent one."""

    def __init__(self, text: str, code: int | None = None) -> None:
        super().__init__(text)
        self.code = code


class ConnectionLost(Exception):
    """The connection ended before the answer came."""


@dataclass(frozen=True, slots=True)
class Closed:
    """Why a connection ended. code is that of the broker's DISCONNECT, None where the socket just closed."""

    text: str
    code: int | None


@dataclass(frozen=True, slots=True)
class Publication:
    """A message of ours for the broker."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False


class _Tap:
    """The socket as paho sees it: receives only the packets that the splitter left, sends through."""

    def __init__(self, raw: socket.socket) -> None:
        self.raw = raw
        self.waiting = bytearray()
        self.ended = False

    def recv(self, size: int) -> bytes:
        if not self.waiting:
            if self.ended:
                return b""
            raise BlockingIOError
        data = bytes(self.waiting[:size])
        del self.waiting[:size]
        return data

    def send(self, data: bytes) -> int:
        return self.raw.send(data)

    def fileno(self) -> int:
        return self.raw.fileno()

    def close(self) -> None:
        self.raw.close()


class _Client(aiomqtt.Client):
    """aiomqtt whose socket is read by us."""

    def __init__(
        self,
        hostname: str,
        port: int,
        *,
        splitter: PacketSplitter,
        on_messages: Callable[[list[Incoming]], None],
        **options: Any,
    ) -> None:
        super().__init__(hostname, port, **options)
        self._splitter = splitter
        self._on_messages = on_messages
        self._tap: _Tap | None = None
        self._reading = False
        self._waiting_to_write = False
        self.session_present = False
        self.broker_receive_maximum = 65535
        self.broker_maximum_packet: int | None = None
        self.closed_as: Closed | None = None
        self.unacknowledged: dict[int, asyncio.Future[int]] = {}

    def connection_lost(self) -> asyncio.Future[None]:
        """Done once the connection has ended."""
        return self._disconnected

    def pause(self) -> None:
        """Read nothing more from the socket: TCP then holds the broker back."""
        if self._reading and self._tap is not None:
            self._reading = False
            self._loop.remove_reader(self._tap.fileno())
            self._stay_alive_while_paused()

    def resume(self) -> None:
        """Read again."""
        if not self._reading and self._tap is not None and self._is_open():
            self._reading = True
            self._loop.add_reader(self._tap.fileno(), self._on_readable)

    def abort(self) -> None:
        """Close the socket at once, without DISCONNECT: the broker will send the will."""
        if self._is_open():
            self._end()

    def acknowledge(self, packet_ids: Iterable[int]) -> None:
        """Send the PUBACKs of these packets in this order, as one write."""
        data = b"".join([b"\x40\x02" + packet_id.to_bytes(2, "big") for packet_id in packet_ids])
        self._client._packet_queue(_PUBACK, data, 0, 1)

    def send(self, message: Publication) -> asyncio.Future[int]:
        """Send a QoS 1 message; the future gives the PUBACK's reason code. Raises ConnectionLost."""
        acknowledged: asyncio.Future[int] = self._loop.create_future()
        information = self._client.publish(message.topic, message.payload, message.qos, message.retain)
        if information.rc not in (paho.MQTT_ERR_SUCCESS, paho.MQTT_ERR_QUEUE_SIZE):
            raise ConnectionLost(paho.error_string(information.rc))
        self.unacknowledged[information.mid] = acknowledged
        return acknowledged

    def _is_open(self) -> bool:
        """True until paho has let go of our socket."""
        sock: Any = self._client._sock
        return sock is not None and sock is self._tap

    def _stay_alive_while_paused(self) -> None:
        """While paused no PINGRESP can arrive: paho must not take that for a dead broker."""
        if not self._reading and self._client._sock is not None:
            self._client._ping_t = 0.0
            self._loop.call_later(self._keepalive / 2, self._stay_alive_while_paused)

    def _on_socket_open(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        self._loop.call_soon_threadsafe(self._attach, sock)

    def _on_socket_register_write(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        self._loop.call_soon_threadsafe(self._write)

    def _write(self) -> None:
        """Send what paho has queued at once; only what the socket does not take waits for it.

        aiomqtt registers the descriptor a moment later, when it may be closed and another connection's already.
        """
        if not self._is_open():
            return
        self._client.loop_write()
        wanted = self._is_open() and self._client.want_write()
        if self._tap is not None and wanted != self._waiting_to_write:
            self._waiting_to_write = wanted
            if wanted:
                self._loop.add_writer(self._tap.fileno(), self._write)
            elif self._tap.fileno() >= 0:
                self._loop.remove_writer(self._tap.fileno())

    def _on_socket_unregister_write(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        """Nothing: `_write` knows whether it waits."""

    def _on_socket_close(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        """Let go of the descriptor before it is closed."""
        if self._tap is not None and self._tap.fileno() >= 0:
            if self._reading:
                self._loop.remove_reader(self._tap.fileno())
            if self._waiting_to_write:
                self._loop.remove_writer(self._tap.fileno())
        self._reading = self._waiting_to_write = False
        if self._misc_task is not None and not self._misc_task.done():
            self._misc_task.cancel()

    def _attach(self, raw: socket.socket) -> None:
        if self._client._sock is not raw:
            return  # closed already
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._tap = _Tap(raw)
        self._client._sock = self._tap  # type: ignore[assignment]
        self.resume()
        self._misc_task = self._loop.create_task(self._misc_loop())
        self._write()

    def _on_readable(self) -> None:
        tap = self._tap
        if tap is None:
            return
        pending = True
        while pending and self._reading:
            try:
                data = tap.raw.recv(_RECEIVE_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            except OSError:
                data = b""
            if not data:
                self._end()
                return
            self._take(data, tap)
            pending = isinstance(tap.raw, ssl.SSLSocket) and tap.raw.fileno() >= 0 and tap.raw.pending() > 0

    def _take(self, data: bytes, tap: _Tap) -> None:
        try:
            messages = self._splitter.feed(data, time.time_ns() // 1_000_000)
        except MalformedPacket as error:
            self.closed_as = Closed(f"malformed packet: {error}", None)
            self._end()
            return
        if self._splitter.control:
            tap.waiting += self._splitter.control
            self._splitter.control.clear()
            while tap.waiting and self._is_open():
                self._client.loop_read()
        if messages:
            self._on_messages(messages)

    def _end(self) -> None:
        """Let paho see the end of the stream, and whoever waits for the CONNACK know at once."""
        if self._tap is not None:
            self._tap.waiting.clear()
            self._tap.ended = True
            self._client.loop_read()
        if not self._connected.done():
            self._connected.set_exception(aiomqtt.MqttError(_NEVER_CLOSED))

    def _on_connect(
        self, client: paho.Client, userdata: Any, flags: Any, reason_code: Any, properties: Properties | None = None
    ) -> None:
        self.session_present = bool(flags.session_present)
        self.broker_receive_maximum = int(getattr(properties, "ReceiveMaximum", 65535))
        self.broker_maximum_packet = getattr(properties, "MaximumPacketSize", None)
        client._max_inflight_messages = min(MAX_OUTGOING, self.broker_receive_maximum)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(
        self, client: paho.Client, userdata: Any, flags: Any, reason_code: Any, properties: Properties | None = None
    ) -> None:
        if self.closed_as is None:
            from_broker = bool(flags.is_disconnect_packet_from_server)
            code = int(reason_code.value) if from_broker else None
            text = reason_codes.reason_text(code) if code is not None else "the connection was closed"
            self.closed_as = Closed(text, code)
        for acknowledged in self.unacknowledged.values():
            if not acknowledged.done():
                acknowledged.set_exception(ConnectionLost(self.closed_as.text))
                acknowledged.exception()  # whoever waited sees it; the others do not care
        self.unacknowledged.clear()
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _on_publish(
        self, client: paho.Client, userdata: Any, mid: int, reason_code: Any, properties: Properties
    ) -> None:
        acknowledged = self.unacknowledged.pop(mid, None)
        if acknowledged is not None and not acknowledged.done():
            acknowledged.set_result(int(reason_code.value))


class MqttConnection:
    """One connection to a broker, from CONNECT to its end; made anew for each attempt."""

    def __init__(
        self,
        profile: Profile,
        *,
        client_id: str,
        mqtt5: bool,
        generation: int,
        will: Publication,
        keepalive_s: int,
        session_expiry_s: int,
        receive_maximum: int,
        on_messages: Callable[[list[Incoming]], None],
    ) -> None:
        self.mqtt5 = mqtt5
        self.generation = generation
        self._profile = profile
        self._client_id = client_id
        self._will = will
        self._keepalive_s = keepalive_s
        self._session_expiry_s = session_expiry_s
        self._receive_maximum = receive_maximum
        self._on_messages = on_messages
        self._client: _Client | None = None

    async def connect(self) -> bool:
        """CONNECT with the persistent session; True if the broker still had it. Raises ConnectFailed within 6 s."""
        try:
            context = await asyncio.to_thread(tls_context_of, self._profile)
            client = self._build(context, password_of(self._profile))
        except OSError as error:
            raise ConnectFailed(f"a file of the profile cannot be used: {error}") from error
        self._client = client
        try:
            await client.__aenter__()
        except MqttConnectError as error:
            code = _number(error.rc)
            client.abort()
            raise ConnectFailed(reason_codes.connack_text(code), code) from error
        except aiomqtt.MqttError as error:
            client.abort()
            raise ConnectFailed(str(error)) from error
        except BaseException:
            client.abort()
            raise
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

    async def unsubscribe(self, filters: Sequence[str]) -> None:
        """Drop filters that the session may still have. Raises ConnectFailed."""
        try:
            await self._open().unsubscribe(list(filters), timeout=CONNECT_TIMEOUT_S)
        except aiomqtt.MqttError as error:
            raise ConnectFailed(f"UNSUBSCRIBE failed: {error}") from error

    async def publish(self, message: Publication, timeout_s: float) -> int:
        """Publish and wait for the PUBACK's reason code. Raises ConnectionLost, TimeoutError."""
        return await asyncio.wait_for(self.send(message), timeout_s)

    def send(self, message: Publication) -> asyncio.Future[int]:
        """Publish at QoS 1; the future gives the PUBACK's reason code or raises ConnectionLost."""
        return self._open().send(message)

    def takes(self, message: Publication) -> bool:
        """False if the broker has said that it hangs up on a packet so large."""
        most = self._open().broker_maximum_packet
        return most is None or len(message.topic.encode()) + len(message.payload) + _PUBLISH_OVERHEAD <= most

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

    async def closed(self) -> Closed:
        """Wait for the end of the connection and say why it came."""
        client = self._open()
        await asyncio.wait([client.connection_lost()])
        if client.connection_lost().exception() is not None and client.closed_as is None:
            return Closed(str(client.connection_lost().exception()), None)
        return client.closed_as or Closed("disconnected", None)

    async def disconnect(self) -> None:
        """Send DISCONNECT and wait until the connection is closed, at most 2 s; then close it anyway."""
        client = self._client
        if client is None:
            return
        try:
            async with asyncio.timeout(2.0):
                await client.__aexit__(None, None, None)
        except (aiomqtt.MqttError, TimeoutError):
            client.abort()

    def abort(self) -> None:
        """Close the socket at once, without DISCONNECT."""
        if self._client is not None:
            self._client.abort()

    def _open(self) -> _Client:
        if self._client is None:
            raise ConnectionLost("not connected yet")
        return self._client

    def _build(self, context: ssl.SSLContext | None, password: str) -> _Client:
        options: dict[str, Any] = {}
        if self.mqtt5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = self._session_expiry_s
            properties.ReceiveMaximum = self._receive_maximum
            options |= {"properties": properties, "clean_start": False, "protocol": aiomqtt.ProtocolVersion.V5}
        else:
            options |= {"clean_session": False, "protocol": aiomqtt.ProtocolVersion.V311}
        if self._profile.username:
            options |= {"username": self._profile.username, "password": password}
        return _Client(
            self._profile.host,
            self._profile.port,
            splitter=PacketSplitter(self.mqtt5, self.generation),
            on_messages=self._on_messages,
            identifier=self._client_id,
            keepalive=self._keepalive_s,
            timeout=CONNECT_TIMEOUT_S,
            tls_context=context,
            will=aiomqtt.Will(self._will.topic, self._will.payload, self._will.qos, self._will.retain),
            **options,
        )


def _number(code: Any) -> int:
    """A reason code as a number, whichever form paho gives it."""
    return int(getattr(code, "value", code))
