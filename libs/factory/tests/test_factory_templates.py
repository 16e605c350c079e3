"""Templates: each is a message that the factory's parts would take."""

import uuid

import msgspec
import pytest
from kaiser_factory_dialect.catalogue import COMMAND_KINDS, FactoryKind
from kaiser_factory_dialect.reading import Arrival, FactoryAccepted, FactoryIgnored, read
from kaiser_factory_dialect.templates import Template, templates
from kaiser_factory_dialect.topics import parse

NOW = 1_771_000_000_000


class Ids:
    """Ids as the service makes them."""

    def uuid(self) -> str:
        return str(uuid.uuid4())

    def digits(self, count: int) -> str:
        return "a" * count


@pytest.mark.parametrize("template", templates(NOW, Ids()), ids=lambda one: one.name)
def test_a_template_is_read_without_an_oddity_and_the_factory_listens_to_its_topic(template: Template):
    verdict = read(Arrival(template.topic, msgspec.json.encode(template.payload), NOW))
    topic = parse(template.topic)
    assert topic is not None
    assert topic.row.direction in {"in", "both"}
    if topic.kind is FactoryKind.OBSERVED:
        assert verdict == FactoryIgnored("observed")
    else:
        assert isinstance(verdict, FactoryAccepted), verdict
        assert (verdict.oddities, verdict.unknown) == ((), ())


def test_every_kind_of_command_but_that_of_the_cloud_has_a_template():
    kinds = {parse(one.topic).kind for one in templates(NOW, Ids())}  # type: ignore[union-attr]
    assert kinds - {FactoryKind.OBSERVED} == COMMAND_KINDS - {FactoryKind.GATEWAY_REQUEST}


def test_the_ids_of_two_requests_for_templates_differ():
    assert templates(NOW, Ids()) != templates(NOW, Ids())
