"""The system as a whole in the API: the MQTT broker profiles."""

from pydantic import BaseModel, Field

from kaiser_common.schemas import FROZEN


class SwitchProfile(BaseModel):
    """Make another MQTT broker profile the active one. Answered once it is up: allow 60 s."""

    model_config = FROZEN

    profile: str = Field(min_length=1, max_length=64)


class MqttProfiles(BaseModel):
    """The MQTT broker profiles and the active one."""

    model_config = FROZEN

    active: str
    profiles: list[str]
