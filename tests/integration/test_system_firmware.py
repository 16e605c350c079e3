"""A device's whole life, once for each firmware generation, through the whole stack.

What is asserted is what the device did (its pump, its zone, its configuration, whether it counts as registered) and
which rows are stored; what the API answers is only awaited.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psycopg
import pytest
from device_page import unlike_the_page
from firmware_a import FirmwareA
from firmware_b import FirmwareB
from firmware_device import Actuator, Board
from harness import Stack, wait_until

pytestmark = pytest.mark.both_brokers

PROBES = ("28FF641E8D3C0C79", "28AA1B2C3D4E5F60")
PUMP = 25
BELOW_ZERO = -80
"""A DS18B20's count at -5 °C."""


class Life:
    """A device, the operator who looks after it, and what is stored of it."""

    def __init__(self, stack: Stack, rest: httpx.Client, board: Board) -> None:
        self.stack = stack
        self.rest = rest
        self.board = board
        self.esp_id = board.esp_id

    @property
    def pump(self) -> Actuator:
        return self.board.flash.actuators[PUMP]

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        return self.rest.request(method, path.format(esp_id=self.esp_id), json=body)

    def done(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        """Ask until it is taken: a service that was just started refuses for a moment."""
        wait_until(lambda: self.ask(method, path, body).is_success, f"{method} {path} {body}")

    def registry(self) -> dict[str, Any]:
        answer = self.ask("GET", "/api/v1/esp/devices/{esp_id}")
        return dict(answer.json()) if answer.is_success else {}

    def last_config(self) -> str | None:
        """The state in which the newest configuration ended."""
        query = {"target": self.esp_id, "action": "config_response"}
        items = self.rest.get("/api/v1/audit", params=query).json()["items"]
        return str(items[0]["after"]["state"]) if items else None

    def command(self, command: str, on: bool) -> None:
        self.done("POST", f"/api/v1/actuators/{{esp_id}}/{PUMP}/command", {"command": command})
        wait_until(lambda: self.pump.on is on, f"the pump hears {command}")

    def refuses(self, command: str) -> None:
        answer = self.ask("POST", f"/api/v1/actuators/{{esp_id}}/{PUMP}/command", {"command": command})
        assert answer.status_code == 423, answer.text
        assert self.pump.on is False

    def readings(self) -> list[tuple[str, str, float | None, str]]:
        """Type, address, value and quality of each stored reading, the newest first."""
        with psycopg.connect(self.stack.addresses["database_url"], connect_timeout=5) as connection:
            return connection.execute(
                "SELECT sensor_type, address, value, quality FROM sensor.data WHERE esp_id = %s ORDER BY time DESC",
                [self.esp_id],
            ).fetchall()

    def stored(self, what: str, test: Callable[[tuple[str, str, float | None, str]], bool]) -> None:
        try:
            wait_until(lambda: any(test(row) for row in self.readings()), what)
        except AssertionError as error:
            raise AssertionError(f"{error}; stored: {sorted(set(self.readings()), key=str)[:12]}") from error

    def register_parts(self) -> None:
        for address in PROBES:
            sensor = {"esp_id": self.esp_id, "gpio": 4, "sensor_type": "ds18b20", "address": address, "interval_s": 1}
            self.done("POST", "/api/v1/sensors", sensor)
        self.done("POST", "/api/v1/sensors", {"esp_id": self.esp_id, "gpio": 34, "sensor_type": "ph"})
        self.done("PUT", f"/api/v1/actuators/{{esp_id}}/{PUMP}", {"actuator_type": "pump", "name": "Pump"})

    def reads_two_probes_a_rail_and_below_zero(self) -> None:
        for key, sensor in self.board.flash.sensors.items():
            sensor.raw = {PROBES[0]: 341, PROBES[1]: BELOW_ZERO}.get(key[2], 4095)
        self.stored(
            "21.3 °C of the first probe",
            lambda row: row[:3] == ("ds18b20", PROBES[0], pytest.approx(21.3125, abs=0.01)),
        )
        self.stored("-5 °C of the second", lambda row: row[:3] == ("ds18b20", PROBES[1], pytest.approx(-5.0)))
        self.stored("a count at the rail", lambda row: row[0] == "ph" and row[3] == "bad")
        newest = next(row for row in self.readings() if row[0] == "ph")
        assert newest[3] == "bad", "no reading after it is taken for a good one"

    def measures_on_demand(self, gpio: int) -> None:
        path = f"/api/v1/sensors/{{esp_id}}/{gpio}/measure"
        asked = wait_until(lambda: (answer := self.ask("POST", path)).is_success and answer, "it is asked").json()
        result = f"/api/v1/sensors/measurements/{asked['request_id']}"
        wait_until(lambda: self.ask("GET", result).json()["state"] == "done", "the device has answered")
        [heard] = [each for each in self.board.heard if asked["request_id"] in each.payload]
        assert heard.topic == self.board.topic(f"sensor/{gpio}/command")
        assert heard.body == {"command": "measure", "request_id": asked["request_id"], "timeout_ms": 30_000}

    def stops_and_clears(self, target: dict[str, Any], clear: dict[str, Any] | None = None) -> None:
        self.command("ON", on=True)
        self.done("POST", "/api/v1/actuators/emergency_stop", {**target, "reason": "water on the floor"})
        wait_until(lambda: not self.pump.on, "the pump is stopped")
        self.refuses("ON")
        self.done("POST", "/api/v1/actuators/clear_emergency", clear or target)
        wait_until(lambda: not self.pump.stopped, "the device has cleared its stop")
        assert self.pump.on is False, "a clear starts nothing"
        self.command("ON", on=True)


@pytest.fixture
def rest(stack: Stack) -> Iterator[httpx.Client]:
    with stack.sign_in() as rest:
        yield rest


def address(stack: Stack) -> tuple[str, int]:
    return stack.addresses["mqtt_host"], stack.addresses["mqtt_port"]


def new_esp_id() -> str:
    return f"ESP_{secrets.token_hex(4).upper()}"


def let_it_finish(board: Board, life: Life) -> None:
    """The device says no more, and all that it said has come. NATS keeps no order between topics: it may deliver a
    heartbeat behind the will that came after it, and the device is online again (docs/guarantees.md)."""
    pause_s, board.interval_s = 2 * board.interval_s, 3600.0
    known: list[tuple[int, object, object]] = []

    def rests() -> bool:
        time.sleep(pause_s)
        known.append((len(board.said), life.registry().get("last_seen"), life.registry().get("zone_id")))
        return known[-1][2] is None and known[-2:-1] == known[-1:]

    wait_until(rests, "all that it said has come")
    board.interval_s = pause_s / 2  # from its next boot on


def test_a_device_of_generation_b_lives(stack: Stack, rest: httpx.Client):
    with FirmwareB(address(stack), new_esp_id(), interval_s=0.3) as device:
        life = Life(stack, rest, device.board)

        # First contact and approval
        wait_until(lambda: life.registry().get("state") == "pending", "it is pending")
        wait_until(lambda: device.registered, "its session is registered")
        assert device.pending
        life.done("POST", "/api/v1/esp/devices/{esp_id}/approve")
        wait_until(lambda: not device.pending, "the device knows that it is approved")

        # Configuration, all good
        life.register_parts()
        life.done("POST", "/api/v1/esp/devices/{esp_id}/config", {})
        wait_until(lambda: len(device.board.flash.sensors) == 3 and device.board.flash.actuators, "it is configured")
        assert (life.pump.actuator_type, life.pump.name) == ("pump", "Pump")
        life.reads_two_probes_a_rail_and_below_zero()

        # Configuration, one item refused by the device
        bad = {"esp_id": device.board.esp_id, "gpio": 5, "sensor_type": "ds18b20"}
        life.done("POST", "/api/v1/sensors", bad)
        life.done("POST", "/api/v1/esp/devices/{esp_id}/config", {})
        partial = {"status": "partial_success", "count": 3, "failed_count": 1}
        wait_until(
            lambda: any(partial.items() <= said.items() for said in device.board.said_on("config_response")),
            "the device refused one of four",
        )
        assert len(device.board.flash.sensors) == 3

        # Commands and stops
        life.command("ON", on=True)
        life.command("OFF", on=False)
        life.stops_and_clears({"esp_id": life.esp_id, "gpio": PUMP})
        life.stops_and_clears({"esp_id": life.esp_id})
        life.stops_and_clears({}, {"all": True})

        # Zone in and out, measuring on demand, system command
        life.done("POST", "/api/v1/esp/devices/{esp_id}/zone", {"zone_id": "north", "zone_name": "North"})
        wait_until(lambda: device.board.flash.zone.zone_id == "north", "it is in its zone")
        wait_until(lambda: life.registry().get("zone_id") == "north", "the registry has its zone")
        life.measures_on_demand(34)
        life.done(
            "POST", "/api/v1/esp/devices/{esp_id}/command", {"command": "set_log_level", "params": {"level": "DEBUG"}}
        )
        wait_until(lambda: device.log_level == "DEBUG", "it logs more")
        life.done("POST", "/api/v1/esp/devices/{esp_id}/zone", {"zone_id": None})
        wait_until(lambda: device.board.flash.zone.zone_id == "", "it has left its zone")
        let_it_finish(device.board, life)

        # Power cut, ingest restarted meanwhile, return
        device.board.power_cut()
        wait_until(lambda: life.registry().get("online") is False, "it is offline")
        stack.kill("ingest")
        before = len(life.readings())
        device.power_on()
        wait_until(lambda: device.registered and not device.pending, "it is registered again")
        wait_until(lambda: len(life.readings()) > before, "its readings are stored again")
        wait_until(lambda: life.registry().get("online") is True, "it is online")
        assert life.pump.on is False
        life.command("ON", on=True)
        assert device.board.dropped == []
        assert unlike_the_page(device.board) == []


def test_a_device_of_generation_a_lives(stack: Stack, rest: httpx.Client):
    with FirmwareA(address(stack), new_esp_id(), interval_s=0.3) as device:
        life = Life(stack, rest, device.board)
        wait_until(lambda: life.registry().get("state") == "pending", "it is pending")
        life.done("POST", "/api/v1/esp/devices/{esp_id}/approve")

        # Configuration: good, then one item refused by the device
        life.register_parts()
        life.done("POST", "/api/v1/esp/devices/{esp_id}/config", {})
        wait_until(lambda: len(device.board.flash.sensors) == 3 and device.board.flash.actuators, "it is configured")
        life.reads_two_probes_a_rail_and_below_zero()
        device.board.refused_pins.add(5)
        life.done("POST", "/api/v1/sensors", {"esp_id": device.board.esp_id, "gpio": 5, "sensor_type": "ph"})
        life.done("POST", "/api/v1/esp/devices/{esp_id}/config", {})
        wait_until(lambda: life.last_config() == "failed", "Kaiser knows that an item was refused")
        refused = [each for each in device.board.said_on("config_response") if each["status"] == "error"]
        assert [(each["type"], each["failed_item"]["gpio"]) for each in refused] == [("sensor", 5)]
        assert sorted(key[0] for key in device.board.flash.sensors) == [4, 4, 34]

        # Commands and stops
        life.command("ON", on=True)
        life.command("OFF", on=False)
        life.stops_and_clears({"esp_id": life.esp_id, "gpio": PUMP})
        life.stops_and_clears({"esp_id": life.esp_id})
        life.stops_and_clears({}, {"all": True})

        # Zone in and out; a system command that A does not know is refused and never sent
        life.done("POST", "/api/v1/esp/devices/{esp_id}/zone", {"zone_id": "north", "zone_name": "North"})
        wait_until(lambda: device.board.flash.zone.zone_id == "north", "it is in its zone")
        wait_until(lambda: life.registry().get("zone_id") == "north", "the registry has its zone")
        life.done("POST", "/api/v1/esp/devices/{esp_id}/zone", {"zone_id": None})
        wait_until(lambda: "empty zone_id ignored" in device.board.notes, "it ignores what takes it out of its zone")
        assert life.registry()["zone_id"] == "north", "Kaiser believes what its heartbeats say"
        device.board.flash.zone.zone_id = ""  # somebody takes it out of its zone at the device
        wait_until(lambda: life.registry().get("zone_id") is None, "its heartbeat says that it has left its zone")
        unknown = life.ask("POST", "/api/v1/esp/devices/{esp_id}/command", {"command": "safe_mode"})
        assert unknown.status_code == 422, unknown.text
        assert device.board.heard_on("system/command") == []

        let_it_finish(device.board, life)

        # Power cut, ingest restarted meanwhile, return
        device.board.power_cut()
        wait_until(lambda: life.registry().get("online") is False, "it is offline")
        stack.kill("ingest")
        before = len(life.readings())
        device.board.power_on()
        wait_until(lambda: len(life.readings()) > before, "its readings are stored again")
        wait_until(lambda: life.registry().get("online") is True, "it is online")
        assert (life.pump.on, device.board.flash.zone.zone_id) == (False, "")
        life.command("ON", on=True)

        # A system command that it knows
        reset = {"command": "factory_reset", "confirm": True}
        life.done("POST", "/api/v1/esp/devices/{esp_id}/command", reset)
        wait_until(lambda: (device.board.flash.sensors, device.board.flash.actuators) == ({}, {}), "it is as new")
        assert device.board.dropped == []
        assert unlike_the_page(device.board) == []


GENERATIONS = {"A": FirmwareA, "B": FirmwareB}


@pytest.mark.parametrize("generation", GENERATIONS)
def test_every_field_of_a_configuration_is_in_the_device_s_flash(stack: Stack, rest: httpx.Client, generation: str):
    """Each field that docs/devices.md names, none of them at its default; then each as the registries have it."""
    with GENERATIONS[generation](address(stack), new_esp_id(), interval_s=0.3) as device:
        board = device.board
        life = Life(stack, rest, board)
        wait_until(lambda: life.registry().get("state") == "pending", "it is pending")
        life.done("POST", "/api/v1/esp/devices/{esp_id}/approve")
        if isinstance(device, FirmwareB):
            wait_until(lambda: not device.pending, "the device knows that it is approved")
        sensor = {"gpio": 4, "sensor_type": "ds18b20", "sensor_name": "Tank", "subzone_id": "bed_a", "raw_mode": False}
        sensor |= {"operating_mode": "on_demand", "measurement_interval_seconds": 7, "onewire_address": PROBES[0]}
        second = {"gpio": 21, "sensor_type": "sht31_temp", "sensor_name": "Air", "i2c_address": 69}
        pump = {"gpio": PUMP, "actuator_type": "pwm", "actuator_name": "Pump", "subzone_id": "bed_a", "active": False}
        pump |= {"critical": True, "inverted_logic": True, "default_state": True, "default_pwm": 128, "aux_gpio": 26}
        pump |= {"max_runtime_ms": 600_000}
        life.done("POST", "/api/v1/esp/devices/{esp_id}/config", {"sensors": [sensor, second], "actuators": [pump]})
        wait_until(lambda: len(board.flash.sensors) == 2 and board.flash.actuators, "it is configured")
        probe, air = (board.flash.sensors[key] for key in ((4, "ds18b20", PROBES[0]), (21, "sht31_temp", "69")))
        assert (probe.name, probe.subzone_id, probe.raw_mode) == ("Tank", "bed_a", False)
        assert (probe.operating_mode, probe.interval_s, probe.active) == ("on_demand", 7, True)
        assert (air.name, air.i2c_address, air.raw_mode, air.interval_s) == ("Air", 69, True, 30)
        actuator = life.pump
        assert (actuator.actuator_type, actuator.name, actuator.subzone_id) == ("pwm", "Pump", "bed_a")
        assert (actuator.active, actuator.critical, actuator.inverted) == (False, True, True)
        assert (actuator.default_on, actuator.default_pwm, actuator.aux_gpio) == (True, 128, 26)
        assert actuator.max_runtime_ms == 600_000

        probe_set = {"esp_id": life.esp_id, "gpio": 4, "sensor_type": "ds18b20", "address": PROBES[0], "name": "Well"}
        life.done("POST", "/api/v1/sensors", {**probe_set, "operating_mode": "scheduled", "interval_s": 9})
        pump_set = {"actuator_type": "pwm", "name": "Pump 2", "default_pwm": 64, "aux_gpio": 27, "max_runtime_s": 60}
        life.done("PUT", f"/api/v1/actuators/{{esp_id}}/{PUMP}", pump_set)
        life.done("POST", "/api/v1/esp/devices/{esp_id}/config", {})
        wait_until(lambda: life.pump.name == "Pump 2", "it has the settings of the registry")
        probe = board.flash.sensors[4, "ds18b20", PROBES[0]]
        assert (probe.name, probe.operating_mode, probe.interval_s) == ("Well", "scheduled", 9)
        assert (life.pump.default_pwm, life.pump.aux_gpio, life.pump.max_runtime_ms) == (64, 27, 60_000)
        assert (life.pump.active, life.pump.critical, life.pump.default_on) == (True, False, False)
        for heard in board.heard_on("config"):
            assert None not in heard.values(), "the firmware reads null as a text"
        assert board.dropped == []
