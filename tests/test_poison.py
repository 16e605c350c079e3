"""Each durable consumer has a test that sends it what it cannot process; pure."""

import ast
from pathlib import Path

import pytest
from kaiser_common.contract import subjects
from kaiser_common.contract.subjects import CONSUMERS, DurableConsumer

SERVICES = Path(__file__).parents[1] / "services"
POISON = {
    "sensor-live": "test_what_is_no_reading_is_rejected_once_and_its_neighbours_are_shown_and_stored",
    "sensor-store": "test_sensor_store_rejects_what_it_cannot_store_and_stores_its_neighbours",
    "sensor-responses": "test_sensor_responses_rejects_poison_and_notes_its_neighbours",
    "health": "test_health_rejects_poison_and_notes_and_answers_its_neighbours",
    "health-audit": "test_health_audit_rejects_poison_and_stores_its_neighbours",
    "actuator": "test_actuator_rejects_poison_and_notes_and_acts_on_its_neighbours",
    "simulator": "test_simulator_rejects_poison_and_its_neighbours_switch_on",
    "ingest": "test_a_message_with_a_bug_is_isolated_and_no_other_is_published_twice_for_it",
    "ingest-urgent": "test_a_message_with_a_bug_is_isolated_and_no_other_is_published_twice_for_it",
    "ingest-factory": "test_a_command_is_not_written_again_after_a_bug",
    "logic-store": "test_logic_store_rejects_poison_and_writes_its_neighbours",
    "factory-store": "test_factory_store_rejects_poison_and_stores_its_neighbours",
}
"""Of each consumer the test that mixes poison with good messages."""


def test_each_consumer_is_sent_poison():
    assert [consumer.name for consumer in CONSUMERS if consumer.name not in POISON] == []
    assert POISON.keys() == {consumer.name for consumer in CONSUMERS}


@pytest.mark.parametrize("consumer", CONSUMERS, ids=lambda consumer: consumer.name)
def test_the_poison_of_a_consumer_is_sent_to_it(consumer: DurableConsumer):
    """The test exists among those of its service, consumes by it, and looks at what was rejected."""
    [constant] = [name for name, value in vars(subjects).items() if value is consumer]
    sources = (SERVICES / consumer.service / "tests").glob("test_*.py")
    tests = [
        each
        for source in sources
        for each in ast.parse(source.read_text()).body
        if isinstance(each, ast.AsyncFunctionDef) and each.name == POISON[consumer.name]
    ]
    [names] = [{node.id for node in ast.walk(each) if isinstance(node, ast.Name)} for each in tests]
    assert constant in names
    assert any(word in ast.unparse(tests[0]).lower() for word in ("rejected", "rejections"))
