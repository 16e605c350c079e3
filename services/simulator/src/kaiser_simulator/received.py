"""A configuration as a mock receives it: read leniently, item by item, as firmware does."""

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

_LENIENT = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class ReceivedSensor(BaseModel):
    """A sensor to set up; interval in s."""

    model_config = _LENIENT

    gpio: int
    sensor_type: str = Field(validation_alias=AliasChoices("sensor_type", "type"))
    sensor_name: str | None = Field(default=None, validation_alias=AliasChoices("sensor_name", "name"))
    subzone_id: str | None = None
    active: bool = True
    raw_mode: bool = True
    measurement_interval_seconds: int = 30


class ReceivedActuator(BaseModel):
    """An actuator to set up."""

    model_config = _LENIENT

    gpio: int
    actuator_type: str = Field(validation_alias=AliasChoices("actuator_type", "type"))
    actuator_name: str | None = Field(default=None, validation_alias=AliasChoices("actuator_name", "name"))
    subzone_id: str | None = None
    default_state: bool = False


class ReceivedConfig(BaseModel):
    """The whole configuration; a list that is left out is not answered."""

    model_config = _LENIENT

    config_id: str
    sensors: list[ReceivedSensor] = []
    actuators: list[ReceivedActuator] = []
