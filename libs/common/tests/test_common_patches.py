"""JSON merge patches against the test cases of RFC 7396, Appendix A."""

from typing import Any

import pytest
from kaiser_common.contract.schemas.api.actuators import ActuatorPatch
from kaiser_common.contract.schemas.api.devices import DevicePatch
from kaiser_common.contract.schemas.api.patches import merged
from kaiser_common.contract.schemas.api.rules import RulePatch
from kaiser_common.contract.schemas.api.zones import ZonePatch
from pydantic import BaseModel, ValidationError


@pytest.mark.parametrize(
    ("original", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_patch_is_merged_as_the_rfc_says(original: Any, patch: Any, result: Any):
    before = repr(original)
    assert merged(original, patch) == result
    assert repr(original) == before


@pytest.mark.parametrize("patch", [ActuatorPatch, DevicePatch, RulePatch, ZonePatch])
def test_a_patch_is_written_with_what_was_given_alone_and_knows_no_other_field(patch: type[BaseModel]):
    assert patch.model_validate({}).model_dump_json() == "{}"
    assert patch.model_validate({"name": "East"}).model_dump() == {"name": "East"}
    with pytest.raises(ValidationError):
        patch.model_validate({"nmae": "East"})


@pytest.mark.parametrize(
    ("patch", "given", "is_allowed"),
    [
        (ActuatorPatch, {"name": None}, True),
        (ActuatorPatch, {"actuator_type": None}, False),
        (ActuatorPatch, {"min_value": 0.9, "max_value": 0.1}, False),
        (DevicePatch, {"name": None, "heartbeat_timeout_s": None}, True),
        (DevicePatch, {"hardware_type": None}, False),
        (RulePatch, {"description": None, "max_executions_per_hour": None}, True),
        (RulePatch, {"name": None}, False),
        (RulePatch, {"conditions": []}, False),
        (ZonePatch, {"description": None}, True),
        (ZonePatch, {"name": None}, False),
        (ZonePatch, {"name": ""}, False),
    ],
)
def test_null_resets_what_may_be_empty_and_nothing_else(patch: type[BaseModel], given: Any, is_allowed: bool):
    if is_allowed:
        assert patch.model_validate(given).model_dump() == given
    else:
        with pytest.raises(ValidationError):
            patch.model_validate(given)
