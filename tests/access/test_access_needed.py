"""Each right on the bus is needed: all services run with their own, and what each did with them is read from the log.

A right that nobody used is too much; what was refused is too little. Each right that was used is then taken away from
a user who otherwise has the same, and the very same message is refused.
"""

import asyncio
import json
import re
import secrets as random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import paho.mqtt.client as paho
import pytest
import secured
from harness import Message, Stack, reading, wait_until
from kaiser_deploy import devices
from kaiser_deploy.grants import Grants, grants
from kaiser_deploy.nats_users import render
from leaving import leave
from mocks import Mocks, ok
from roles import as_role, run_roles
from secured import Secured, connect, refusal, refusals

SERVICES = ("ingest", "sensor", "actuator", "health", "logic", "alarm", "simulator", "websocket-gateway")
pytestmark = pytest.mark.timeout(900)  # eight services start at once, beside other tests

_LINE = re.compile(r'"\$G/user:([\w-]+)" - <<- \[(H?PUB|SUB) ([^\]]*)\]')

RARE = {
    (
        "logic",
        "$JS.API.DIRECT.GET.KV_logic_state.$KV.logic_state.>",
    ): "$JS.API.DIRECT.GET.KV_logic_state.$KV.logic_state.rule.x",
    ("migrate", "$JS.API.STREAM.UPDATE.*"): "$JS.API.STREAM.UPDATE.SENSORS",
    ("logic", "rpc.actuator.read_command"): "rpc.actuator.read_command",
    ("logic", "rpc.alarm.list"): "rpc.alarm.list",
    ("alarm", "_INBOX.logic.>"): "_INBOX.logic.x",
    ("sensor", "$JS.API.STREAM.PURGE.SENSORS"): "$JS.API.STREAM.PURGE.SENSORS",
    ("ingest", "_INBOX.recorder.>"): "_INBOX.recorder.x",
    ("health", "_INBOX.recorder.>"): "_INBOX.recorder.x",
    ("ingest", "factory.>"): "factory.live.ccu.stock._",
    ("ingest", "$JS.API.DIRECT.GET.FACTORY"): "$JS.API.DIRECT.GET.FACTORY",
    ("ingest", "topic.>"): "topic.live.ccu.state.stock",
    ("ingest", "$JS.API.STREAM.PURGE.TOPICS"): "$JS.API.STREAM.PURGE.TOPICS",
    ("ingest", "$JS.API.CONSUMER.INFO.OUTBOX.ingest-factory"): "$JS.API.CONSUMER.INFO.OUTBOX.ingest-factory",
    ("ingest", "$JS.API.CONSUMER.MSG.NEXT.OUTBOX.ingest-factory"): "$JS.API.CONSUMER.MSG.NEXT.OUTBOX.ingest-factory",
    ("ingest", "$JS.ACK.OUTBOX.ingest-factory.>"): "$JS.ACK.OUTBOX.ingest-factory.1.1.1.1.0",
}
"""Rights for what this test does not bring about: two processes that write a rule's state at once, a migration from a
version with other streams, readings acknowledged 15 s ago, a command whose end is not heard within 5 s, a rule on
alarms, the dialect of a factory, and a replay.
Each with the subject that is used then; logic's, common's, ingest's and factory's tests do these."""

NOBODY = "MOCK_NOBODY"
_SENSOR = {"gpio": 4, "sensor_type": "ds18b20"}
_RULE = {
    "name": "never",
    "conditions": [{"type": "time_window", "start": "06:00", "end": "20:00"}],
    "actions": [{"type": "notification", "message": "x"}],
}
RARE |= {
    (user.user, right): right.replace("*", "x").replace(">", "x")
    for user in grants()
    for right in (*user.publish, *user.subscribe)
    if user.user in {"factory", "recorder"}
    or right.startswith(("rpc.factory.", "rpc.recorder.", "rpc.ingest-factory.", "_INBOX.factory."))
    or (user.user == "simulator" and (".TOPICS" in right or right.startswith("mqtt.factory.")))
    or (user.user == "websocket-gateway" and ".TOPICS" in right)
}
"""And the rights of the services factory and recorder, of an ingest of the factory alone, of the mock factory and
of the message centre, which are used only where there is one."""
ROUTES: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "factory/environment", None),
    ("GET", "messages/retained", None),
    ("POST", "messages/validate", {"topic": f"kaiser/god/esp/{NOBODY}/system/heartbeat", "payload": {}}),
    ("GET", "esp/devices", None),
    ("PATCH", f"esp/devices/{NOBODY}", {"name": "x"}),
    ("DELETE", f"esp/devices/{NOBODY}", None),
    ("POST", f"esp/devices/{NOBODY}/reject", None),
    ("GET", f"esp/devices/{NOBODY}/health", None),
    ("POST", f"esp/devices/{NOBODY}/command", {"command": "status"}),
    ("POST", f"esp/devices/{NOBODY}/subzones/north", {}),
    ("GET", f"esp/devices/{NOBODY}/messages", None),
    ("POST", "zones", {"zone_id": "nobody", "name": "Nobody's"}),
    ("GET", "zones/nobody", None),
    ("PATCH", "zones/nobody", {"name": "Nobody"}),
    ("DELETE", "zones/nobody", None),
    ("GET", "audit", None),
    ("GET", "sensors", None),
    ("GET", "sensors/latest", None),
    ("GET", "overview", None),
    ("GET", f"sensors/completeness?esp_id={NOBODY}", None),
    ("GET", f"sensors/data?esp_id={NOBODY}", None),
    ("GET", f"sensors/data?esp_id={NOBODY}&gpio=4&bucket=1m", None),
    ("GET", "sensors/measurements/0a1b2c3d", None),
    ("DELETE", f"sensors/{NOBODY}/4/ds18b20", None),
    ("GET", "actuators", None),
    ("GET", "actuators/emergencies", None),
    ("GET", f"actuators/{NOBODY}/25/history", None),
    ("PATCH", f"actuators/{NOBODY}/25", {"name": "x"}),
    ("DELETE", f"actuators/{NOBODY}/25", None),
    ("GET", "commands/0a1b2c3d", None),
    ("GET", "logic/rules", None),
    ("GET", "logic/rules/0a1b2c3d", None),
    ("PUT", "logic/rules/0a1b2c3d", _RULE),
    ("PATCH", "logic/rules/0a1b2c3d", {"name": "x"}),
    ("POST", "logic/test", {"settings": _RULE}),
    ("PATCH", f"sensors/{NOBODY}/4/ds18b20", {"name": "x"}),
    ("POST", "logic/rules/0a1b2c3d/test", {}),
    ("DELETE", "logic/rules/0a1b2c3d", None),
    ("GET", "alarms", None),
    ("GET", "alarms/statistics", None),
    ("GET", "alarms/spans?from=1&to=2", None),
    ("GET", "alarms/figures", None),
    ("GET", "alarms/limits", None),
    ("GET", "alarms/0a1b2c3d0a1b2c3d", None),
    ("POST", "alarms/0a1b2c3d0a1b2c3d/acknowledge", {}),
    ("POST", "alarms/0a1b2c3d0a1b2c3d/shelve", {"for_s": 60}),
    ("POST", "alarms/0a1b2c3d0a1b2c3d/unshelve", None),
    ("GET", f"alarms/limits/{NOBODY}/4/ds18b20", None),
    ("GET", "notifications", None),
    ("GET", "notifications/channels", None),
    ("PUT", "notifications/channels/nobody", {"name": "nobody", "url": "json://127.0.0.1:9/"}),
    ("POST", "notifications/channels/nobody/test", None),
    ("GET", "notifications/routes", None),
    ("PUT", "notifications/routes/nobody", {"channels": ["nobody"], "severities": ["info"]}),
    ("DELETE", "notifications/routes/nobody", None),
    ("DELETE", "notifications/channels/nobody", None),
    ("PUT", f"alarms/limits/{NOBODY}/4/ds18b20", {"hi": 30}),
    ("DELETE", f"alarms/limits/{NOBODY}/4/ds18b20", None),
    ("GET", "system/mqtt/profile", None),
    ("POST", "system/mqtt/profile", {"profile": "nothing"}),
    ("GET", "debug/mock-esp", None),
    ("POST", "debug/mock-esp/many", {"devices": [{"esp_id": "MOCK_MANY"}]}),
    ("DELETE", "debug/mock-esp/MOCK_MANY", None),
    ("GET", f"debug/mock-esp/{NOBODY}", None),
    ("GET", f"debug/mock-esp/{NOBODY}/messages", None),
    ("POST", f"debug/mock-esp/{NOBODY}/start", None),
    ("POST", f"debug/mock-esp/{NOBODY}/stop", None),
    ("POST", f"debug/mock-esp/{NOBODY}/heartbeat", None),
    ("POST", f"debug/mock-esp/{NOBODY}/state", {"state": "OPERATIONAL"}),
    ("DELETE", f"debug/mock-esp/{NOBODY}/faults", None),
    ("POST", f"debug/mock-esp/{NOBODY}/sensors", _SENSOR),
    ("DELETE", f"debug/mock-esp/{NOBODY}/sensors/4", None),
    ("POST", f"debug/mock-esp/{NOBODY}/sensors/4/value", {"value": 1}),
    ("DELETE", f"debug/mock-esp/{NOBODY}/sensors/4/value", None),
    ("GET", f"debug/mock-esp/{NOBODY}/actuators", None),
    ("POST", f"debug/mock-esp/{NOBODY}/actuators", {"gpio": 25, "actuator_type": "pump"}),
    ("DELETE", f"debug/mock-esp/{NOBODY}/actuators/25", None),
    ("GET", "debug/mock-factory", None),
    ("POST", "debug/mock-factory", {}),
    ("PUT", "debug/mock-factory/faults", {}),
    ("DELETE", "debug/mock-factory", None),
]
"""A request for each method of a service that `everything` does not ask for; the device of most is not there."""


@dataclass(frozen=True)
class Used:
    """A user's publish or subscribe as the server saw it."""

    user: str
    verb: str
    subject: str


class Trace:
    """Reads the log of a server as it grows, each line once, for the actions of its users."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read_to = 0
        self.used: set[Used] = set()
        self.refused: list[str] = []
        self.rejections: Counter[str] = Counter()
        """How many messages each user has put aside."""

    def read(self) -> "Trace":
        """Read what was written since the last time."""
        with self._log.open("rb") as file:
            file.seek(self._read_to)
            lines, end, _ = file.read().rpartition(b"\n")
        self._read_to += len(lines) + len(end)
        text = lines.decode(errors="replace")
        found = list(_used(text))
        self.used.update(found)
        self.refused += [line for line in text.splitlines() if "Permissions Violation" in line]
        self.rejections.update(each.user for each in found if each.subject.startswith("rejected."))
        return self

    def users_of(self, prefix: str) -> int:
        """How many users have published to subjects that begin so."""
        return len({each.user for each in self.read().used if each.subject.startswith(prefix)})


class SecuredStack(Stack):
    """Everything of compose.yaml, as processes."""

    def __init__(self, secrets_folder: Path, http_port: int, broker: Secured) -> None:
        super().__init__(secrets_folder)
        self.addresses = {"http_url": f"http://127.0.0.1:{http_port}"}
        self._broker = broker

    def publish_as(self, esp_id: str, messages: list[Message]) -> None:
        """Send messages as a device that has a password."""
        password = devices.admit(self.state_dir, esp_id)
        self._broker.reread()

        def try_it() -> bool:
            client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
            client.username_pw_set(esp_id, password)
            client.connect("127.0.0.1", self._broker.port)
            client.loop_start()
            try:
                sent = [client.publish(each.topic, each.payload, qos=1) for each in messages]
                for each in sent:
                    each.wait_for_publish(2.0)
                return all(each.is_published() for each in sent)
            except RuntimeError:
                return False
            finally:
                leave(client)

        wait_until(try_it, "the broker has the messages")


@pytest.fixture(scope="module")
def whole(
    server_folder: Path, secrets_folder: Path, broker: Secured, free_port: Callable[[], int]
) -> Iterator[tuple[SecuredStack, Secured, Callable[[str], subprocess.Popen[bytes]]]]:
    """The stack, its bus, and `second(service)`, which starts one more replica and returns the first."""
    from kaiser_stack.postgres import Postgres
    from kaiser_stack.private import PrivateServer

    home = server_folder / "needed"
    with ExitStack() as running:
        database = PrivateServer(Postgres(home / "db", shared_buffers="64MB", durable=False), home / "db-log")
        running.callback(database.kill)
        database.start()
        url = database.server.url()
        run_roles(url, secrets_folder)
        server = running.enter_context(secured.nats_server(home / "bus", secrets_folder, free_port(), free_port()))
        http_port = free_port()
        changes = {
            "nats://nats:4222": f"nats://127.0.0.1:{server.port}",
            "@timescaledb:5432/kaiser": as_role(url, "x").partition("x")[2],
            "KAISER_MQTT_HOST": "127.0.0.1",
            "KAISER_MQTT_PORT": str(broker.port),
            "KAISER_HTTP_HOST": "127.0.0.1",
            "KAISER_HTTP_PORT": str(http_port),
        }
        count = iter(range(100))

        def start(name: str, **more: str) -> subprocess.Popen[bytes]:
            log = home / f"{name}-{next(count)}.log"
            return running.enter_context(secured.service(name, changes | more, secrets_folder, log))

        assert start("migrate").wait(60) == 0
        first = {name: start(name) for name in SERVICES}

        def second(name: str) -> subprocess.Popen[bytes]:
            started = start(name, KAISER_HTTP_PORT=str(free_port()))
            return first.get(name, started)

        stack = SecuredStack(secrets_folder, http_port, broker)
        wait_until(lambda: _signs_in(stack), "the gateway signs in, so it has its database", 240.0)
        yield stack, server, second


def _signs_in(stack: Stack) -> bool:
    try:
        stack.sign_in().close()
    except httpx.HTTPError:
        return False
    return True


@pytest.fixture(scope="module")
def used(whole: tuple[SecuredStack, Secured, Callable[[str], subprocess.Popen[bytes]]]) -> tuple[set[Used], list[str]]:
    """The actions of each user while everything was asked of the stack, and those that were refused."""
    stack, server, second = whole
    mocks = Mocks(stack)
    trace = Trace(server.log)
    everything(stack, mocks, server, trace)
    first = [second(name) for name in ("ingest", "logic", "alarm", "simulator")]
    second("health")  # and one that begins compares the bucket with its table
    wait_until(lambda: trace.users_of("$JS.API.DIRECT.GET.KV_lease") == 4, "standbys look whose turn it is", 240.0)
    for process in first:  # who takes over reads what the first has left
        process.terminate()
    wait_until(lambda: trace.users_of("$JS.API.CONSUMER.MSG.NEXT.KV_logic_state"), "logic is taken over", 240.0)
    second("doctor").wait(60)  # it tells reds here: its exit status does not matter
    trace.read()
    return trace.used, trace.refused


def everything(stack: SecuredStack, mocks: Mocks, server: Secured, trace: Trace) -> None:
    """Ask everything of the stack that makes a service use a right."""
    rest = mocks.rest
    real, stranger = "ESP_0A1B2C3D", "ESP_DD000001"
    ok(rest.post("/api/v1/esp/devices", json={"esp_id": real}))
    fast = {"gpio": 4, "sensor_type": "ds18b20", "base_value": 20, "interval_s": 0.5}
    mock = mocks.make(firmware="b", sensors=[fast], actuators=[{"gpio": 25, "actuator_type": "pump"}])
    pump = f"/api/v1/actuators/{mock}/25"
    wait_until(lambda: rest.get(f"/api/v1/esp/devices/{mock}").json().get("online"), "the mock is online")
    ok(rest.put(f"/api/v1/sensors/{mock}/4/ds18b20", json={"publish_processed": True}))
    ok(rest.put(pump, json={"actuator_type": "pump"}))
    wait_until(lambda: rest.post(f"{pump}/command", json={"command": "ON"}).status_code == 202, "commands are taken")
    wait_until(lambda: ok(rest.get(pump))["state"] is True, "the pump runs")

    condition = {"type": "sensor", "esp_id": mock, "gpio": 4, "sensor_type": "ds18b20", "operator": ">", "value": -1000}
    off = {"type": "actuator", "esp_id": mock, "gpio": 25, "command": "OFF"}
    rule = {"name": "off", "conditions": [condition], "actions": [off, {"type": "notification", "message": "done"}]}
    rule_id = ok(rest.post("/api/v1/logic/rules", json=rule))["rule_id"]
    executions = {"rule_id": rule_id}
    wait_until(
        lambda: rest.get("/api/v1/logic/executions", params=executions).json().get("items"), "the rule has fired"
    )

    ok(rest.post(f"/api/v1/sensors/{mock}/4/measure"))
    ok(rest.post(f"/api/v1/esp/devices/{mock}/zone", json={"zone_id": "north"}))
    ok(rest.post(f"/api/v1/esp/devices/{mock}/config", json={}))
    ok(rest.post("/api/v1/actuators/emergency_stop", json={"esp_id": mock, "reason": "test"}))
    ok(rest.post("/api/v1/actuators/clear_emergency", json={"esp_id": mock}))
    mocks.ask("POST", mock, "/emergency", {"reason": "alert"})
    wait_until(lambda: mocks.said(mock, "/config_response"), "the mock has its configuration")

    now_ms = int(time.time() * 1000)
    good, bad = reading(real, 4, now_ms, 20.0), Message(f"kaiser/god/esp/{real}/sensor/4/data", b"{")
    stack.publish_as(real, [good, bad])
    stack.publish_as(stranger, [reading(stranger, 4, now_ms, 20.0), _heartbeat(stranger)])
    wait_until(lambda: rest.get(f"/api/v1/esp/devices/{stranger}").status_code == 200, "the stranger waits")
    ok(rest.post(f"/api/v1/esp/devices/{stranger}/approve?replay=true"))
    rejected = wait_until(lambda: rest.get("/api/v1/rejected").json()["items"], "a message is rejected")
    of_rejected = f"/api/v1/rejected/{rejected[0]['seq']}"
    ok(rest.get(of_rejected))
    for what in ("check", "fix"):  # that a correction is rejected again is an answer of the owner too
        rest.post(f"{of_rejected}/{what}", json={"topic": bad.topic, "payload": "{}"})
    rest.post(f"{of_rejected}/replay")
    ok(rest.get("/api/v1/rejected/causes"))
    ok(rest.post("/api/v1/rejected/replay", json={"code": rejected[0]["code"]}))
    ok(rest.get("/api/v1/system/status"))
    asyncio.run(_listen_and_resume(stack))
    refused = [refused_by_the_gateway(rest, *route) for route in ROUTES]
    assert [each for each in refused if each] == []
    asyncio.run(_poison(server, trace))
    mocks.end()


def refused_by_the_gateway(rest: httpx.Client, method: str, path: str, body: dict[str, Any] | None) -> str:
    """Ask, again where too many requests came in a second; empty where an owner has answered."""
    answers = (rest.request(method, f"/api/v1/{path}", json=body) for _ in range(1000))
    answer = wait_until(lambda: next(each for each in answers if each.status_code != 429), path)
    if answer.status_code in (401, 405, 422, 500, 502, 503, 504):
        return f"{method} {path}: {answer.status_code} {answer.text}"
    return ""


def test_what_the_services_did_was_within_their_rights(used: tuple[set[Used], list[str]]):
    assert used[1] == []


def test_each_right_is_used_and_refused_to_a_user_who_has_all_others(
    used: tuple[set[Used], list[str]], server_folder: Path, secrets_folder: Path, free_port: Callable[[], int]
):
    proofs = list(_proofs(used[0]))
    unused = [f"{user}: {verb} {right}" for user, verb, right, subject in proofs if subject is None]
    assert not unused, "\n".join(unused)
    without = [_without(index, user, verb, right) for index, (user, verb, right, _) in enumerate(proofs)]
    users = render([*grants(), *without])
    passwords = "".join(f'without_{index}_password: "{_PASSWORD}"\n' for index in range(len(proofs)))
    folder = server_folder / "without"
    with secured.nats_server(folder, secrets_folder, free_port(), free_port(), users, passwords) as server:
        asyncio.run(_refused_without(server, proofs))


_PASSWORD = random.token_hex(16)
_AT_ONCE = 8


async def _refused_without(server: Secured, proofs: list[tuple[str, str, str, str]]) -> None:
    at_once = asyncio.Semaphore(_AT_ONCE)

    async def passes(user: str) -> None:
        own = [(verb, subject) for of_user, verb, _, subject in proofs if of_user == user]
        async with at_once:
            assert await refusals(server, user, own) == [], user

    async def tried(index: int, user: str, verb: str, right: str, subject: str) -> None:
        async with at_once:
            told = await refusal(server, f"without-{index}", verb, subject, _PASSWORD)
        assert "permissions violation" in told.lower(), f"{user} does not need {right}: {subject} passes without it"

    await asyncio.gather(
        *(passes(user) for user in sorted({proof[0] for proof in proofs})),
        *(tried(index, *proof) for index, proof in enumerate(proofs)),
    )


def _without(index: int, user: str, verb: str, right: str) -> Grants:
    [full] = [each for each in grants() if each.user == user]
    left = {name: tuple(each for each in getattr(full, name) if each != right) for name in ("publish", "subscribe")}
    return replace(full, user=f"without-{index}", **{verb: left[verb]})


def _proofs(used: set[Used]) -> Iterator[tuple[str, str, str, str | None]]:
    """Of each right of each user a subject that it alone let pass; None if there was none."""
    for user in grants():
        for verb, rights in (("publish", user.publish), ("subscribe", user.subscribe)):
            did = sorted({each.subject for each in used if (each.user, each.verb) == (user.user, verb)})
            for right in sorted(set(rights)):
                others = [other for other in rights if other != right]
                own = (one for one in did if _lets(right, one) and not any(_lets(other, one) for other in others))
                yield user.user, verb, right, next(own, RARE.get((user.user, right)))


def _lets(right: str, subject: str) -> bool:
    """Whether a right lets a publish or subscribe pass; a queue group's name follows a space in both."""
    subject, _, queue = subject.partition(" ")
    right, _, group = right.partition(" ")
    if group and group != queue:
        return False
    wanted, tokens = right.split("."), subject.split(".")
    for index, token in enumerate(wanted):
        if token == ">":
            return len(tokens) > index
        if index >= len(tokens) or (token not in ("*", tokens[index])):
            return False
    return len(tokens) == len(wanted)


def _used(log: str) -> Iterator[Used]:
    """PUB and HPUB name the subject first; SUB names a queue group in the middle, if there are three words."""
    for user, verb, words in _LINE.findall(log):
        subject, *more = words.split()
        queue = more[0] if verb == "SUB" and len(more) == 2 else ""
        yield Used(user, "subscribe" if verb == "SUB" else "publish", f"{subject} {queue}".strip())


async def _listen_and_resume(stack: SecuredStack) -> None:
    async with stack.events([]) as events:
        await events._socket.send(json.dumps({"action": "resume", "after": 0}))
        await events.until("resumed")
        await events.until("sensor_data", 60.0)


async def _poison(server: Secured, trace: Trace) -> None:
    """Publish an unreadable message on each stream that a service takes from: it is rejected."""
    before = Counter(trace.read().rejections)
    for user, subject in (
        ("ingest", "esp.sensor.data.god.ESP_0A1B2C3D.4"),
        ("ingest", "esp.sensor.response.god.ESP_0A1B2C3D.4"),
        ("ingest", "esp.actuator.status.god.ESP_0A1B2C3D.4"),
        ("ingest", "esp.system.error.god.ESP_0A1B2C3D"),
        ("logic", "logic.execution.poison"),
        ("health", "mqtt.out.god.ESP_0A1B2C3D.setup"),  # and what came too late for its device: ingest tells
    ):
        client = await connect(server, user, lambda _: None)
        late = b'{"topic": "kaiser/god/esp/ESP_0A1B2C3D/config", "payload": "{}", "expires_at": 1}'
        try:
            await client.jetstream().publish(subject, late if user == "health" else b"{", timeout=60)
        finally:
            await client.close()
    await asyncio.to_thread(
        wait_until,
        lambda: (
            trace.read().rejections - before >= Counter({"sensor": 2, "actuator": 1, "health": 1, "logic": 1})
            and Used("ingest", "publish", "event.system_event.ESP_0A1B2C3D") in trace.used
        ),
        "each of them has put it aside, and ingest has told what came too late",
    )


def _heartbeat(esp_id: str) -> Message:
    body = {"ts": int(time.time()), "esp_id": esp_id, "uptime": 60, "heap_free": 45_000, "wifi_rssi": -45}
    return Message(f"kaiser/god/esp/{esp_id}/system/heartbeat", json.dumps(body).encode())
