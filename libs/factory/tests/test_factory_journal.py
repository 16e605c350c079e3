"""The journal of commands: the handed vectors, each rule for the end of a command, and what holds for any messages."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_factory_dialect import journal
from kaiser_factory_dialect.commands import FactoryCommand, command_of
from kaiser_factory_dialect.journal import JournalEntry, due_at, expire, is_open, lost, queue, sent, settle
from kaiser_factory_dialect.messages import FactoryMessage
from kaiser_factory_dialect.reading import Arrival, FactoryAccepted, read

VECTORS = json.loads((Path(__file__).parents[3] / "tests/golden/factory-messages.json").read_text())["journal"]
AT = 1_771_000_000_000


def message(topic: str, payload: Any, at: int = AT, retain: bool = False) -> FactoryMessage:
    text = payload if isinstance(payload, str) else json.dumps(payload)
    verdict = read(Arrival(topic, text.encode(), at, 1, retain))
    assert isinstance(verdict, FactoryAccepted), verdict
    return verdict.message


def steps(entry: JournalEntry, messages: list[FactoryMessage]) -> list[JournalEntry]:
    """The entries that differ in their state, time being what the messages and the deadlines say."""
    found = [entry]
    for one in messages:
        for after in (expire(found[-1], one.ts), settle(expire(found[-1], one.ts), one)):
            if after.state != found[-1].state:
                found.append(after)
            else:
                found[-1] = after
    if (due := due_at(found[-1])) is not None:
        found.append(expire(found[-1], due))
    return found


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_command_goes_as_the_vector_says(vector: dict[str, Any]):
    given_command = dict(vector["command"])
    at = given_command.pop("sent")
    command = msgspec.convert(given_command, FactoryCommand)
    assert set(given_command) <= set(FactoryCommand.__struct_fields__)
    messages = [message(one["topic"], one["payload"], one["at"], one["retain"]) for one in vector["messages"]]
    found = [[one.at, one.state, one.code, one.result] for one in steps(sent(queue(command, at), at), messages)]
    assert found == [[*expected, None, None][:4] for expected in vector["expect"]]


MILL = FactoryCommand(
    what="module.order", serial="M", order_id="o", order_update_id=1, action_id="a", command="MILL", duration=5
)


def began(command: FactoryCommand = MILL) -> JournalEntry:
    return sent(queue(command, AT - 5), AT)


def mill(word: str, later: int = 10, identity: str = "a", **more: Any) -> FactoryMessage:
    action = {"id": identity, "command": "MILL", "state": word}
    return message("module/v1/ff/M/state", {"serialNumber": "M", "actionState": action, **more}, AT + later)


def connection(word: str, later: int) -> FactoryMessage:
    return message("module/v1/ff/M/connection", {"connectionState": word}, AT + later)


def end(entry: JournalEntry, *messages: FactoryMessage) -> tuple[str, int, int | None]:
    last = steps(entry, list(messages))[-1]
    return (last.state, last.at - AT, last.code)


def test_what_is_not_sent_in_10_s_is_never_sent():
    assert end(queue(MILL, AT)) == ("expired", 10_000, 5101)


def test_a_command_without_the_brokers_word_is_unconfirmed_until_the_factory_answers():
    entry = lost(queue(MILL, AT), AT + 1)
    assert entry.state == "unconfirmed"
    assert settle(entry, mill("RUNNING")).state == "accepted"
    assert end(entry) == ("no_answer", 5001, 5403)


def test_an_answer_that_overtakes_the_receipt_counts():
    entry = settle(queue(MILL, AT), mill("RUNNING", 3))
    entry = sent(entry, AT + 5)
    assert (entry.state, entry.sent_at) == ("accepted", AT + 5)
    assert due_at(entry) == AT + 5 + 65_000


def test_an_action_that_is_finished_at_once_skips_accepted():
    assert [one.state for one in steps(began(), [mill("FINISHED")])] == ["sent", "finished"]


def test_a_mill_that_never_ends_is_timed_out_and_its_late_end_is_noted_beside():
    found = steps(began(), [mill("RUNNING"), mill("FINISHED", 90_000)])
    assert [(one.state, one.at - AT) for one in found] == [("sent", 0), ("accepted", 10), ("timed_out", 65_000)]
    assert found[-1].late is True


@pytest.mark.parametrize(
    ("command", "deadline"),
    [
        (msgspec.structs.replace(MILL, command="PICK"), 60_000),
        (msgspec.structs.replace(MILL, command="PICK", module_type="HBW"), 180_000),
        (FactoryCommand(what="agv.order", serial="M", action_id="a", path=("x", "1", "y")), 90_000),
        (FactoryCommand(what="agv.instant", serial="M", action_id="a", name="findInitialDockPosition"), 30_000),
    ],
)
def test_an_accepted_command_has_its_deadline(command: FactoryCommand, deadline: int):
    assert due_at(settle(began(command), mill("RUNNING"))) == AT + deadline


def test_a_module_that_went_away_and_came_back_without_the_action_has_failed():
    comes = [mill("RUNNING"), connection("CONNECTIONBROKEN", 20), connection("ONLINE", 30)]
    assert steps(began(), comes)[-2].state == "accepted"
    assert end(began(), *comes, mill("RUNNING", 40, identity="b")) == ("failed", 40, 5407)
    assert end(began(), *comes, mill("RUNNING", 40), mill("FINISHED", 50)) == ("finished", 50, None)


def test_a_module_that_stays_away_keeps_the_command_open_until_its_time_is_out():
    assert end(began(), mill("RUNNING"), connection("OFFLINE", 20)) == ("timed_out", 65_000, 5403)


@pytest.mark.parametrize("kind", ["Validation", "validationError", "orderError", "orderUpdateError"])
def test_an_error_refuses_only_the_order_that_it_names(kind: str):
    def refusing(order_id: str, update: int) -> FactoryMessage:
        references = [{"referenceKey": "orderId", "referenceValue": order_id}, {"orderUpdateId": update}]
        return mill("FINISHED", identity="b", errors=[{"errorType": kind, "errorReferences": references}])

    assert end(began(), refusing("o", 1)) == ("refused", 10, 5407)
    assert end(began(), refusing("o", 2))[0] == "no_answer"
    assert end(began(), refusing("x", 1))[0] == "no_answer"


def test_an_agv_has_arrived_at_the_last_node_only():
    way = FactoryCommand(what="agv.order", serial="A", action_id="d", path=("x", "y"))

    def at(node: str, later: int) -> FactoryMessage:
        action = {"id": "d", "command": "DOCK", "state": "FINISHED"}
        return message(
            "fts/v1/ff/A/state", {"serialNumber": "A", "lastNodeId": node, "actionState": action}, AT + later
        )

    assert end(began(way), at("x", 5), at("y", 9)) == ("finished", 9, None)
    assert end(began(way), at("x", 5)) == ("timed_out", 60_000, 5403)


def orders(topic: str, later: int, *some: dict[str, Any]) -> FactoryMessage:
    return message(f"ccu/order/{topic}", list(some), AT + later)


REQUEST = FactoryCommand(what="ccu.request", type="RED", order_type="PRODUCTION", request_id="kaiser-1")


def test_an_old_ccu_answers_by_type_within_5_s():
    first = {"orderId": "o1", "type": "RED", "orderType": "PRODUCTION", "state": "ENQUEUED"}
    found = steps(
        began(REQUEST), [orders("response", 9, first), orders("completed", 50, first | {"state": "FINISHED"})]
    )
    assert [one.state for one in found] == ["sent", "accepted", "finished"]
    assert found[-1].order_id == "o1"
    storage = first | {"orderType": "STORAGE"}
    assert end(began(REQUEST), orders("response", 9, storage))[0] == "no_answer"


def test_an_order_of_an_old_ccu_answers_the_oldest_request_only():
    second = msgspec.structs.replace(REQUEST, request_id="kaiser-2")
    both = [sent(queue(second, AT), AT + 1), began(REQUEST)]
    one, two = (
        {"orderId": name, "type": "RED", "orderType": "PRODUCTION", "state": "ENQUEUED"} for name in ("o1", "o2")
    )
    both = journal.settle_all(both, orders("response", 9, one))
    assert [(entry.command.request_id, entry.order_id) for entry in both] == [("kaiser-1", "o1"), ("kaiser-2", None)]
    both = journal.settle_all(both, orders("response", 10, two))
    assert [entry.order_id for entry in both] == ["o1", "o2"]


def test_the_order_of_somebody_else_is_not_ours():
    first = {"orderId": "o1", "type": "RED", "state": "ENQUEUED", "requestId": "kaiser-1"}
    other = {"orderId": "o2", "type": "RED", "state": "ERROR"}
    entry = settle(began(REQUEST), orders("response", 9, first))
    assert settle(entry, orders("active", 10, other, first)).state == "accepted"
    assert end(entry, orders("completed", 20, first | {"state": "ERROR"})) == ("failed", 20, 5407)


def test_a_cancel_is_done_when_each_order_is_cancelled():
    cancel = FactoryCommand(what="ccu.cancel", order_ids=("o1", "o2"))
    one, two = ({"orderId": name, "state": "CANCELLED"} for name in ("o1", "o2"))
    assert end(began(cancel), orders("completed", 5, one), orders("completed", 9, one, two)) == ("finished", 9, None)
    assert end(began(cancel), orders("completed", 5, one)) == ("timed_out", 15_000, 5403)
    assert end(began(cancel), orders("completed", 5, one, two | {"state": "FINISHED"}))[0] == "failed"


def pairing(later: int, **more: Any) -> FactoryMessage:
    return message("ccu/pairing/state", {"modules": [], "transports": [{"serialNumber": "A", **more}]}, AT + later)


@pytest.mark.parametrize(("charge", "deadline"), [(True, 60_000), (False, 10_000)])
def test_charging_is_done_when_the_ccu_says_so(charge: bool, deadline: int):
    command = FactoryCommand(what="ccu.set", name="charge", serial="A", charge=charge)
    assert end(began(command), pairing(5, charging=not charge), pairing(9, charging=charge)) == ("finished", 9, None)
    assert end(began(command)) == ("timed_out", deadline, 5403)


def test_pairing_is_done_when_the_agv_is_paired():
    command = FactoryCommand(what="ccu.pair", serial="A")
    assert end(began(command), pairing(5), pairing(9, pairedSince="2026-02-02T03:00:05.000Z"))[:2] == ("finished", 9)
    assert end(began(command)) == ("timed_out", 30_000, 5403)


def test_a_reset_ends_itself_and_abandons_what_is_open():
    reset = message("ccu/global", {"type": "reset"}, AT + 7)
    assert end(began(FactoryCommand(what="ccu.set", name="reset")), reset) == ("finished", 7, None)
    assert end(began(), mill("RUNNING"), reset) == ("abandoned", 7, None)
    assert end(began(FactoryCommand(what="ccu.set", name="reset"))) == ("timed_out", 5_000, 5403)


def test_what_the_broker_had_kept_finishes_the_command_that_it_names_and_ends_no_other():
    """A retained message says nothing of when: it may be older than the command."""
    running = mill("RUNNING")
    came_back = [running, connection("CONNECTIONBROKEN", 20), connection("ONLINE", 30)]
    state = {"serialNumber": "M", "actionState": None}
    kept = {
        "a reset": [running, message("ccu/global", {"type": "reset"}, AT + 40, retain=True)],
        "a state without the action": [*came_back, message("module/v1/ff/M/state", state, AT + 40, retain=True)],
        "an end of its connection": [
            running,
            message("module/v1/ff/M/connection", {"connectionState": "OFFLINE"}, AT + 20, retain=True),
            message("module/v1/ff/M/connection", {"connectionState": "ONLINE"}, AT + 30, retain=True),
            message("module/v1/ff/M/state", state, AT + 40),
        ],
    }
    assert {name: end(began(), *messages)[0] for name, messages in kept.items()} == dict.fromkeys(kept, "timed_out")
    done = {"serialNumber": "M", "actionState": {"id": "a", "command": "MILL", "state": "FINISHED"}}
    assert end(began(), message("module/v1/ff/M/state", done, AT + 40, retain=True)) == ("finished", 40, None)


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("module/v1/ff/M/instantAction", {"actions": [{"actionId": "a", "actionType": "setStatusLED"}]}),
        ("ccu/set/park", {"timestamp": "2026-02-13T16:26:40.000Z"}),
        ("ccu/set/layout", {}),
    ],
)
def test_what_nothing_answers_ends_when_it_is_sent(topic: str, payload: dict[str, Any]):
    entry = began(command_of(message(topic, payload)))
    assert not is_open(entry)
    assert due_at(entry) is None
    assert journal.abandon(entry, AT) is entry


def test_an_order_to_an_agv_is_followed_by_each_of_its_actions():
    nodes = [{"id": "1", "action": {"id": "t", "type": "TURN"}}, {"id": "y", "action": {"id": "d", "type": "DOCK"}}]
    order = message("fts/v1/ff/A/order", {"orderId": "o", "orderUpdateId": 0, "nodes": nodes, "edges": []})
    entry = began(command_of(order))
    turn = {"serialNumber": "A", "lastNodeId": "1", "actionState": {"id": "t", "command": "TURN", "state": "RUNNING"}}
    assert settle(entry, message("fts/v1/ff/A/state", turn)).state == "accepted"


COMES = st.lists(
    st.one_of(
        st.builds(
            mill,
            st.sampled_from(["WAITING", "RUNNING", "FINISHED", "FAILED"]),
            st.integers(0, 90_000),
            st.sampled_from("ab"),
        ),
        st.builds(connection, st.sampled_from(["ONLINE", "OFFLINE", "CONNECTIONBROKEN"]), st.integers(0, 90_000)),
        st.just(message("ccu/global", {"type": "reset"})),
    ),
    max_size=12,
)
ENDS = {"finished", "failed", "refused", "no_answer", "timed_out", "expired", "abandoned"}


@given(COMES, st.booleans())
def test_every_command_ends_once_and_stays_ended(messages: list[FactoryMessage], confirmed: bool):
    entry = began() if confirmed else lost(queue(MILL, AT), AT)
    found = steps(entry, sorted(messages, key=lambda one: one.ts))
    assert found[-1].state in ENDS
    assert sum(one.state in ENDS for one in found) == 1
    assert not is_open(found[-1])


@given(COMES)
def test_the_same_message_again_changes_nothing(messages: list[FactoryMessage]):
    entry = began()
    for one in messages:
        entry = settle(entry, one)
        assert settle(entry, one) is entry or entry.back
