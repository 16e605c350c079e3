"""A factory with PostgreSQL away: its present is answered and published, its past and steering are refused with 503.

Once PostgreSQL is back all of it is there."""

import json
import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import paho.mqtt.client as paho
import pytest
from harness import Message, Stack, wait_until
from leaving import leave
from paho.mqtt.enums import CallbackAPIVersion
from websockets.sync.client import ClientConnection, connect

pytestmark = pytest.mark.timeout(400)  # it waits for a stack

FACTORY = "/api/v1/factory"
STORE = "SVR3QA0022"
PARK = "ccu/set/park"
TYPES = ["factory_module", "factory_stock", "factory_order"]
OF_THE_PAST = [
    "orders",
    "orders/order-1",
    "orders/order-1/timeline",
    "workpieces/04",
    "quality",
    "quality/1/picture",
    "figures?from=0&to=1000",
    "commands",
    "commands/none",
]


def said(order_id: str, colour: str) -> list[Message]:
    """The store works on an order and has a workpiece of a colour; the central control has the order."""
    workpiece = {"type": colour, "id": "04", "state": "RAW"}
    order = {"orderId": order_id, "orderType": "PRODUCTION", "type": colour, "state": "IN_PROGRESS"}
    of_topic: dict[str, Any] = {
        f"module/v1/ff/{STORE}/connection": {"serialNumber": STORE, "connectionState": "ONLINE"},
        f"module/v1/ff/{STORE}/state": {"serialNumber": STORE, "orderId": order_id, "actionState": None, "errors": []},
        "ccu/state/stock": {"stockItems": [{"hbw": STORE, "location": "A1", "workpiece": workpiece}]},
        "ccu/order/active": [order | {"productionSteps": []}],
    }
    return [Message(topic, json.dumps(payload).encode()) for topic, payload in of_topic.items()]


def present(rest: httpx.Client) -> dict[str, Any]:
    """The store as the answers about the present show it; empty while the service is away."""
    answers = {path: rest.get(f"{FACTORY}/{path}") for path in ("modules", f"modules/{STORE}", "stock", "coverage")}
    if not all(answer.is_success for answer in answers.values()):
        return {}
    [row], one, [store], coverage = (
        answers["modules"].json()["items"],
        answers[f"modules/{STORE}"].json(),
        answers["stock"].json()["items"],
        answers["coverage"].json(),
    )
    assert (row["serial"], row["order_id"], row["connection"]) == (STORE, one["order_id"], one["connection"])
    return {
        "order": one["order_id"],
        "connection": one["connection"],
        "bay": store["bays"][0]["type"],
        "kinds": set(coverage["kinds"]),
    }


def as_said(order_id: str, colour: str) -> dict[str, Any]:
    kinds = {"module.connection", "module.state", "ccu.stock", "ccu.active"}
    return {"order": order_id, "connection": "ONLINE", "bay": colour, "kinds": kinds}


@contextmanager
def socket_of(stack: Stack, rest: httpx.Client) -> Iterator[ClientConnection]:
    """A WebSocket that gets the events of the factory."""
    token = rest.headers["Authorization"].removeprefix("Bearer ")
    host = stack.addresses["http_url"].removeprefix("http://")
    with connect(f"ws://{host}/api/v1/ws/realtime/{secrets.token_hex(4)}?token={token}", open_timeout=60) as socket:
        socket.send(json.dumps({"action": "subscribe", "filters": {"types": TYPES}}))
        while json.loads(socket.recv(60))["type"] != "subscribed":
            pass
        yield socket


def framed(socket: ClientConnection, order_id: str, colour: str) -> set[str]:
    """The types of frames that say of the store and the order what is expected, once there is one of each."""
    found: set[str] = set()
    while found != set(TYPES):
        frame = json.loads(socket.recv(120))
        match frame["type"], frame.get("data"):
            case "factory_module", {"serial": serial, "order_id": of_module} if of_module == order_id:
                assert serial == STORE
                found.add(frame["type"])
            case "factory_stock", {"hbw": hbw, "bays": [{"type": kind}]} if (hbw, kind) == (STORE, colour):
                found.add(frame["type"])
            case "factory_order", {"order_id": of_order, "state": "IN_PROGRESS"} if of_order == order_id:
                found.add(frame["type"])
    return found


@contextmanager
def central_control(stack: Stack) -> Iterator[list[dict[str, Any]]]:
    """The requests to park that the broker delivers to the central control."""
    received: list[dict[str, Any]] = []
    subscribed = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(stack.addresses["mqtt_username"], stack.addresses["mqtt_password"])
    client.on_connect = lambda *_: client.subscribe(PARK, qos=1)
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda _, __, message: received.append(json.loads(message.payload))
    client.connect(stack.addresses["mqtt_host"], int(stack.addresses["mqtt_port"]))
    client.loop_start()
    try:
        assert subscribed.wait(60)
        yield received
    finally:
        leave(client)


def refused(rest: httpx.Client, key: str) -> list[tuple[str, int, int]]:
    """Each request that needs the tables, with its status and code; together, as each waits for the database."""
    with ThreadPoolExecutor(len(OF_THE_PAST) + 2) as together:
        asked = {path: together.submit(rest.get, f"{FACTORY}/{path}") for path in OF_THE_PAST}
        asked["preview"] = together.submit(rest.post, f"{FACTORY}/steering/preview", json={"do": "park"})
        asked["steering"] = together.submit(park, rest, key)
    answers = {name: future.result() for name, future in asked.items()}
    return [(name, answer.status_code, answer.json().get("code")) for name, answer in answers.items()]


def park(rest: httpx.Client, key: str) -> httpx.Response:
    return rest.post(f"{FACTORY}/steering", json={"do": "park"}, headers={"Idempotency-Key": key})


def journal(rest: httpx.Client) -> list[str] | None:
    """The state of each command, None while the journal cannot be read."""
    answer = rest.get(f"{FACTORY}/commands")
    return [one["state"] for one in answer.json()["items"]] if answer.is_success else None


def test_without_the_database_the_factory_is_shown_and_published_and_steering_sends_nothing(
    make_stack: Callable[..., Stack],
) -> None:
    stack = make_stack(KAISER_MQTT_BROKER="mosquitto", KAISER_MQTT_DIALECTS='["esp", "factory"]').start()
    key = secrets.token_hex(8)
    with stack.sign_in() as rest, central_control(stack) as parked:

        def shown() -> bool:
            stack.publish(said("order-1", "RED"))  # what is said before ingest has subscribed is heard by nobody
            return present(rest) == as_said("order-1", "RED")

        wait_until(shown, "the factory is shown")
        wait_until(lambda: rest.get(f"{FACTORY}/orders/order-1").is_success, "the order is stored")

        stack.control("kill", "postgres")
        before = stack.pid("factory")
        stack.kill("factory")  # its state is built from TOPICS and FACTORY alone
        wait_until(lambda: stack.pid("factory") != before, "another process of factory runs")
        wait_until(lambda: present(rest) == as_said("order-1", "RED"), "the factory is shown without the database")
        with socket_of(stack, rest) as socket:
            stack.publish(said("order-2", "BLUE"))
            assert framed(socket, "order-2", "BLUE") == set(TYPES)
            assert present(rest) == as_said("order-2", "BLUE")
            assert [one for one in refused(rest, key) if one[1:] != (503, 5304)] == []

            stack.control("start", "postgres")
            wait_until(lambda: rest.get(f"{FACTORY}/orders/order-2").is_success, "what came meanwhile is stored")
            assert journal(rest) == []
            answer = wait_until(lambda: (sent := park(rest, key)).is_success and sent, "the factory is steered again")
            assert [each["state"] for each in answer.json()["commands"]] == ["queued"]
            wait_until(lambda: journal(rest) == ["sent"], "the journal says that it was sent")
            wait_until(lambda: parked, "the central control has the request")
            stack.publish(said("order-3", "WHITE"))
            assert framed(socket, "order-3", "WHITE") == set(TYPES)
    assert len(parked) == 1, "of the requests while the database was away none was sent"
