"""The mock factory in the API: its parts, its faults, and its progress."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from kaiser_common.contract.schemas import FROZEN
from kaiser_common.contract.schemas.api.devices import STRICT
from kaiser_common.contract.schemas.api.factory import SERIAL

Place = Annotated[str, Field(pattern=SERIAL)]
"""A module or an AGV: its serial, or its type (`MILL`) where there is one of that type."""
Colour = Literal["WHITE", "RED", "BLUE"]
_MOST = 8


class MockAgv(BaseModel):
    """An AGV. at: the module at which it stands; battery in %."""

    model_config = STRICT

    serial: Annotated[str, Field(pattern=SERIAL)]
    at: Place = "DPS"
    battery: float = Field(default=80, ge=1, le=100)


class MockWorkpiece(BaseModel):
    """A raw workpiece in a bay of the store; without an id it gets one."""

    model_config = STRICT

    location: Annotated[str, Field(pattern=r"^[A-C][1-3]$")]
    type: Colour
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = None


class MockOrders(BaseModel):
    """Orders that the factory requests of itself: the first after `after_s`, then one each `every_s`, `count` in all
    (without: without end). Both are seconds of the factory's own time, which `speed` divides."""

    model_config = STRICT

    type: Colour
    order_type: Literal["PRODUCTION", "STORAGE"] = "PRODUCTION"
    after_s: float = Field(default=0, ge=0, le=86_400)
    every_s: float | None = Field(default=None, ge=1, le=86_400)
    count: int | None = Field(default=None, ge=1, le=10_000)


class MockFactoryFaults(BaseModel):
    """The faults in force. offline: without a connection; silent: works and says nothing; pick_failed: the next PICK of
    each fails; node_unknown: AGVs that do not know where they are; battery_low: AGVs whose battery is at 8 % now;
    quality_failed: the share of checks that fail; slow: everything takes this many times as long; duplicate: the share
    of states that come twice; clock_offset_s: how wrong clocks are, by serial, `ccu` or `txt`; ccu_mute: the central
    control hears and says nothing."""

    model_config = {
        **STRICT,
        "json_schema_extra": {
            "examples": [{"offline": ["DRILL"], "quality_failed": 0.2, "clock_offset_s": {"ccu": -60}}]
        },
    }

    offline: list[Place] = Field(default=[], max_length=20)
    silent: list[Place] = Field(default=[], max_length=20)
    pick_failed: list[Place] = Field(default=[], max_length=20)
    node_unknown: list[Place] = Field(default=[], max_length=20)
    battery_low: list[Place] = Field(default=[], max_length=20)
    quality_failed: float = Field(default=0, ge=0, le=1)
    slow: float = Field(default=1, ge=1, le=100)
    duplicate: float = Field(default=0, ge=0, le=1)
    clock_offset_s: dict[Place, Annotated[float, Field(ge=-1e8, le=1e8)]] = Field(default={}, max_length=20)
    ccu_mute: bool = False


class CreateMockFactory(BaseModel):
    """A mock factory. Without a layout it is the installation as delivered, without AGVs those two, without stock
    three workpieces of each colour. layout: as the central control publishes it. flows: the types of module that a
    colour passes. refill: a raw workpiece is delivered for each that is gone. parallel: most orders at work."""

    model_config = {
        **STRICT,
        "json_schema_extra": {
            "examples": [{"speed": 5, "orders": [{"type": "WHITE", "every_s": 300}, {"type": "RED", "every_s": 400}]}]
        },
    }

    speed: float = Field(default=1, ge=0.1, le=50)
    layout: dict[str, Any] | None = None
    agvs: list[MockAgv] = Field(default=[], max_length=_MOST)
    flows: dict[Colour, list[Literal["DRILL", "MILL", "AIQS", "OVEN"]]] = {}
    stock: list[MockWorkpiece] | None = Field(default=None, max_length=9)
    orders: list[MockOrders] = Field(default=[], max_length=20)
    refill: bool = True
    parallel: int = Field(default=4, ge=1, le=16)
    faults: MockFactoryFaults = MockFactoryFaults()

    @model_validator(mode="after")
    def _once(self) -> "CreateMockFactory":
        """A bay holds one workpiece, and a serial is of one AGV."""
        for name, values in (
            ("stock", [one.location for one in self.stock or []]),
            ("agvs", [one.serial for one in self.agvs]),
        ):
            if len(set(values)) < len(values):
                raise ValueError(f"{name} lists an item twice")
        if any(len(steps) > _MOST for steps in self.flows.values()):
            raise ValueError(f"a flow has at most {_MOST} steps")
        return self


class MockFactory(BaseModel):
    """The mock factory as it is. active: orders at work or waiting; shipped and failed: since it began."""

    model_config = FROZEN

    env: str
    epoch: int
    speed: float
    modules: list[str]
    agvs: list[str]
    active: int
    shipped: int
    failed: int
    faults: MockFactoryFaults
