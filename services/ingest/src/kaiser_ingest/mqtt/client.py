"""The adapter to aiomqtt 2.5.1 and paho 2.2; their private names are used in this file only.

aiomqtt connects, subscribes and keeps alive. This file adds four things: received PUBLISH packets go straight to a
callback and are acknowledged on request, many together; messages are sent by sending.py, many together too; the
socket's reader can be paused, or rest for a moment; the CONNACK's session flag and the DISCONNECT's reason are kept.
aiomqtt 3 has these.
"""

import asyncio
import socket
import ssl
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiomqtt
import paho.mqtt.client as paho
from kaiser_common.bus.waiting import cancellable
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from kaiser_ingest.domain import reason_codes
from kaiser_ingest.domain.incoming import Incoming
from kaiser_ingest.mqtt.packets import MalformedPacket, PacketSplitter
from kaiser_ingest.mqtt.sending import MAX_OUTGOING, ConnectionLost, MqttPublication, MqttSender

LONGEST_REST_S = 0.02
"""The socket is read after this time at the latest, whether or not the pipeline asks."""


def ordinary_window(window: int) -> int:
    """How many of a window's places ordinary messages may take; the rest is kept for emergency stops."""
    return max(1, window - max(1, window // 10))


_RECEIVE_BYTES = 256 * 1024
_PUBACK = 0x40
_CLOSED_EARLY = "closed before the broker answered"


@dataclass(frozen=True, slots=True)
class Closed:
    """Why a connection ended. code is that of the broker's DISCONNECT, None where the socket just closed."""

    text: str
    code: int | None


def _acknowledge_segments(raw: socket.socket) -> None:
    """Have TCP acknowledge now what no packet of ours will answer, such as a PUBACK or a QoS 0 message.

    Linux delays that acknowledgement for up to 200 ms, and the broker holds back its next small packet until it comes
    (RFC 896): a device's reading.
    """
    if sys.platform == "linux":
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


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


class _Pings:
    """PINGREQs that wait for their PINGRESP, those of paho's keepalive included: a broker answers them in order."""

    def __init__(self, client: paho.Client) -> None:
        self._client = client
        self._send = client._send_pingreq
        self._handle = client._handle_pingresp
        self._waiting: deque[asyncio.Future[bool] | None] = deque()
        client._send_pingreq = self._on_send  # type: ignore[method-assign]
        client._handle_pingresp = self._on_answer  # type: ignore[method-assign]

    def send(self, loop: asyncio.AbstractEventLoop) -> "asyncio.Future[bool]":
        """Send one; the future is True once it is answered, False where the connection ends."""
        answered: asyncio.Future[bool] = loop.create_future()
        unanswered_since = self._client._ping_t
        if self._client._sock is None or self._on_send() != paho.MQTT_ERR_SUCCESS or not self._waiting:
            answered.set_result(False)
            return answered
        if unanswered_since > 0:  # or a broker that answers nothing would never count as gone
            self._client._ping_t = unanswered_since
        self._waiting[-1] = answered
        return answered

    @property
    def are_waiting(self) -> bool:
        """Whether one is not answered yet."""
        return bool(self._waiting)

    def end(self) -> None:
        """The connection has ended: no answer comes any more."""
        for answered in self._waiting:
            if answered is not None and not answered.done():
                answered.set_result(False)
        self._waiting.clear()

    def _on_send(self) -> MQTTErrorCode:
        self._waiting.append(None)  # before it is sent: paho may write, and read the answer, within the call
        code = self._send()
        if code != paho.MQTT_ERR_SUCCESS and self._waiting:
            self._waiting.pop()
        return code

    def _on_answer(self) -> MQTTErrorCode:
        answered = self._waiting.popleft() if self._waiting else None
        if answered is not None and not answered.done():
            answered.set_result(True)
        return self._handle()


class MqttClient(aiomqtt.Client):
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
        self._thread = threading.get_ident()
        self._splitter = splitter
        self._on_messages = on_messages
        self._tap: _Tap | None = None
        self._reading = False
        self._rest: asyncio.TimerHandle | None = None
        self._read_at = 0.0
        self._waiting_to_write = False
        self.session_present = False
        self.broker_receive_maximum = 65535
        self.broker_maximum_packet: int | None = None
        self.closed_as: Closed | None = None
        mqtt5 = self._client.protocol == paho.MQTTv5
        self._sender = MqttSender(self._client._mid_generate, self._send_bytes, mqtt5=mqtt5)
        self.ordinary_places = asyncio.Semaphore(ordinary_window(MAX_OUTGOING))
        self._pings = _Pings(self._client)

    def connection_lost(self) -> asyncio.Future[None]:
        """Done once the connection has ended."""
        return self._disconnected

    def pause(self) -> None:
        """Read nothing more from the socket: TCP then holds the broker back."""
        if self._reading and self._tap is not None:
            self._end_rest()
            self._reading = False
            self._loop.remove_reader(self._tap.fileno())
            self._stay_alive_while_paused()

    def resume(self) -> None:
        """Read again."""
        if not self._reading and self._tap is not None and self._is_open():
            self._reading = True
            self._loop.add_reader(self._tap.fileno(), self._on_readable)

    def rest(self) -> None:
        """Leave what arrives from now on in the socket until `read` is called, for 20 ms at most.

        At 500 messages a second the loop would wake for each of them, though they wait for the batch before them.
        While an answer to a packet of ours is expected there is no rest.
        """
        if self._reading and self._rest is None and not self._expects_answer() and self._tap is not None:
            self._loop.remove_reader(self._tap.fileno())
            self._read_at = self._loop.time()
            self._rest = self._loop.call_later(LONGEST_REST_S, self._on_long_rest)

    def read(self) -> None:
        """In a rest, read what has arrived; where that is nothing, the rest ends."""
        if self._rest is None:
            return
        self._read_at = self._loop.time()
        if not self._on_readable():
            self._end_rest()

    def keep_will(self) -> None:
        """Have the DISCONNECT that follows leave the will in force (MQTT 5, reason code 0x04)."""
        reason = ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message")
        self._client.disconnect = partial(self._client.disconnect, reason)  # type: ignore[method-assign]

    def abort(self) -> None:
        """Close the socket immediately, without DISCONNECT: the broker will publish the will."""
        if self._is_open():
            self._end()

    def acknowledge(self, packet_ids: Iterable[int]) -> None:
        """Send the PUBACKs of these packets in this order, as one write."""
        data = b"".join([b"\x40\x02" + packet_id.to_bytes(2, "big") for packet_id in packet_ids])
        self._client._packet_queue(_PUBACK, data, 0, 1)

    async def answers(self, timeout_s: float) -> bool:
        """Whether the broker answers a PINGREQ that is sent now: only then it also takes what is sent next."""
        self._end_rest()
        answered = self._pings.send(self._loop)
        done, _ = await asyncio.wait([answered], timeout=timeout_s)
        return bool(done) and answered.result()

    def send(self, message: MqttPublication) -> asyncio.Future[int]:
        """Send a message; the future gives the PUBACK's reason code, of QoS 0 success. Raises ConnectionLost."""
        if not self._is_open():
            raise ConnectionLost("not connected")
        answer = self._sender.send(message)
        if message.qos:
            self._end_rest()
        return answer

    def _send_bytes(self, data: bytes) -> None:
        if self._is_open():
            self._client._packet_queue(_PUBACK, data, 0, 1)  # a type and QoS after whose writing paho does nothing
            self._write()

    async def _wait_for(self, fut: Awaitable[Any], timeout: float | None) -> Any:
        """As aiomqtt's, which connecting, subscribing and disconnecting wait by."""
        with cancellable():
            return await super()._wait_for(fut, timeout)

    def _is_open(self) -> bool:
        """True until paho has released our socket."""
        sock: Any = self._client._sock
        return sock is not None and sock is self._tap

    def _expects_answer(self) -> bool:
        return self._sender.expects_answer or self._pings.are_waiting

    def _on_long_rest(self) -> None:
        """End a rest in which nothing was read for long: the pipeline waits for NATS."""
        left_s = self._read_at + LONGEST_REST_S - self._loop.time()
        if left_s > 0:
            self._rest = self._loop.call_later(left_s, self._on_long_rest)
        else:
            self._end_rest()

    def _end_rest(self) -> None:
        """Have the loop wake for what arrives."""
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
            if self._reading and self._tap is not None and self._is_open():
                self._loop.add_reader(self._tap.fileno(), self._on_readable)

    def _stay_alive_while_paused(self) -> None:
        """While paused no PINGRESP can arrive: paho must not take that for a dead broker."""
        if not self._reading and self._client._sock is not None:
            self._client._ping_t = 0.0
            self._loop.call_later(self._keepalive / 2, self._stay_alive_while_paused)

    def _on_socket_open(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        self._loop.call_soon_threadsafe(self._attach, sock)

    def _on_socket_register_write(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        """Write in a moment. While it connects, paho calls this in another thread; waking the loop from there costs
        three system calls."""
        if threading.get_ident() == self._thread:
            self._loop.call_soon(self._write)
        else:
            self._loop.call_soon_threadsafe(self._write)

    def _write(self) -> None:
        """Send paho's queue immediately; only data that the socket does not accept waits.

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
        """Release the descriptor before it is closed."""
        self._end_rest()
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

    def _on_readable(self) -> bool:
        """Take what the socket has; False: it had nothing."""
        tap = self._tap
        received, pending = False, tap is not None
        while pending and self._reading and tap is not None:
            try:
                data = tap.raw.recv(_RECEIVE_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError):
                return received
            except OSError:
                data = b""
            if not data:
                self._end()
                return received
            received = True
            self._take(data, tap)
            pending = isinstance(tap.raw, ssl.SSLSocket) and tap.raw.fileno() >= 0 and tap.raw.pending() > 0
        return received

    def _take(self, data: bytes, tap: _Tap) -> None:
        try:
            messages = self._splitter.feed(data, time.time_ns() // 1_000_000)
        except MalformedPacket as error:
            self.closed_as = Closed(f"malformed packet: {error}", None)
            self._end()
            return
        if not any(message.qos for message in messages):
            _acknowledge_segments(tap.raw)
        if self._splitter.pubacks:
            pubacks, self._splitter.pubacks = self._splitter.pubacks, []
            self._sender.acknowledged(pubacks)
        if self._splitter.control:
            tap.waiting += self._splitter.control
            self._splitter.control.clear()
            while tap.waiting and self._is_open():
                self._client.loop_read()
        if messages:
            self._on_messages(messages)

    def _end(self) -> None:
        """Let paho see the end of the stream, and wake a waiter for the CONNACK immediately."""
        if self._tap is not None:
            self._tap.waiting.clear()
            self._tap.ended = True
            self._client.loop_read()
        if not self._connected.done():
            self._connected.set_exception(aiomqtt.MqttError(_CLOSED_EARLY))

    def _on_connect(
        self, client: paho.Client, userdata: Any, flags: Any, reason_code: Any, properties: Properties | None = None
    ) -> None:
        self.session_present = bool(flags.session_present)
        self.broker_receive_maximum = int(getattr(properties, "ReceiveMaximum", 65535))
        self.broker_maximum_packet = getattr(properties, "MaximumPacketSize", None)
        self._sender.window = min(MAX_OUTGOING, self.broker_receive_maximum)
        self.ordinary_places = asyncio.Semaphore(ordinary_window(self._sender.window))
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(
        self, client: paho.Client, userdata: Any, flags: Any, reason_code: Any, properties: Properties | None = None
    ) -> None:
        if self.closed_as is None:
            from_broker = bool(flags.is_disconnect_packet_from_server)
            code = int(reason_code.value) if from_broker else None
            text = reason_codes.reason_text(code) if code is not None else "the connection was closed"
            self.closed_as = Closed(text, code)
        self._sender.end(self.closed_as.text)
        self._pings.end()
        super()._on_disconnect(client, userdata, flags, reason_code, properties)
