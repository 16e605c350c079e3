"""Words of refusals: a pattern as a person would say it, and the name that was meant."""

import pytest
from kaiser_common.bus.rpc import unprocessable
from kaiser_common.contract.nearest import nearest
from kaiser_common.contract.schemas.api.devices import ESP_ID
from kaiser_common.contract.schemas.api.mock import CreateMock
from kaiser_common.contract.wording import first_of, no_such, reason_of
from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Thing(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    esp_id: str = Field(default="ESP_A", pattern=ESP_ID)
    own: str = Field(default="", pattern="^x*$")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"name": "a", "nmae": "b"}, "nmae: there is no such field"),
        ({"nmae": "b"}, "nmae: there is no such field"),
        ({}, "name: Field required"),
        (
            {"name": "a", "esp_id": "greenhouse"},
            "esp_id: must be ESP_, MOCK_, SIM_ or TEST_ and then 1 to 27 capital letters, digits or _, such as "
            "ESP_0A1B2C3D",
        ),
        ({"name": "a", "own": "y"}, "own: String should match pattern '^x*$'"),
    ],
)
def test_an_owner_says_what_is_wrong(body, said):
    with pytest.raises(ValidationError) as refused:
        Thing.model_validate(body)
    assert unprocessable(refused.value).problem.detail == said


def test_a_misspelt_field_is_named_before_the_one_that_is_missing_because_of_it():
    with pytest.raises(ValidationError) as refused:
        Thing.model_validate({"nmae": "b"})
    first = first_of(refused.value.errors())
    assert reason_of(first, Thing.model_fields) == "there is no such field: did you mean name?"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("sensros", "sensors"),
        ("senors", "sensors"),
        ("acutators", "actuators"),
        ("zone", "zone_id"),
        ("zoneid", "zone_id"),
        ("espId", "esp_id"),
        ("quux", None),
    ],
)
def test_the_nearest_name_is_the_one_that_was_meant(name: str, meant: str | None):
    assert nearest(name, CreateMock.model_fields) == meant


def test_without_a_name_that_is_near_none_is_named():
    assert no_such("key", "quux", {"devices", "rules"}) == "there is no such key"
    assert no_such("key", "devcies", {"devices", "rules"}) == "there is no such key: did you mean devices?"
