"""The life of a mock: power, boot, states, connection, faults; pure.

If the connection is lost, the broker publishes the device's will; if it is restored, the device sends its hello
messages (`told`).
"""

from kaiser_common.contract.schemas.api.mock import Faults, MockStateName

from kaiser_simulator.domain import payloads
from kaiser_simulator.domain.actuators import Reaction, all_off, restarted, to_default
from kaiser_simulator.domain.device import BOOT_STEP_MS, BOOTING, MockDevice, anchored, is_connected, paused
from kaiser_simulator.domain.schedule import isolated_at

ERROR_CODE = 4999
"""The number under which a mock in ERROR reports itself; devices have 1000…4999 for errors of their own."""


def started(device: MockDevice, now_ms: int) -> Reaction:
    """Power on: it boots once health knows it."""
    if device.life.running:
        return Reaction(device)
    device = restarted(device, now_ms)
    begun = {"state": "BOOT", "state_at": now_ms, "booted_at": now_ms, "link_at": now_ms}
    return Reaction(device.lived(running=True, registered=False, **begun))


def stopped(device: MockDevice, now_ms: int) -> Reaction:
    """Power off: actuators switch off, sensors stop; the broker publishes the will."""
    if not device.life.running:
        return Reaction(device)
    after = paused(all_off(device, now_ms, "power_off"), device.setup.sensors, now_ms)
    return told(device, after.lived(running=False, link_up=True), now_ms)


def registered(device: MockDevice, now_ms: int) -> Reaction:
    """health knows it: now it boots, and then its sensors go on with the step after their last one."""
    if device.life.registered:
        return Reaction(device)
    after = device.lived(registered=True, state_at=now_ms)
    if not device.life.running:
        return Reaction(after)
    return Reaction(anchored(after, device.setup.sensors, now_ms + len(BOOTING) * BOOT_STEP_MS))


def on_boot_step(device: MockDevice, now_ms: int) -> Reaction:
    """The next state of a start, if it is time for it."""
    following = BOOTING.get(device.life.state)
    if following is None or now_ms < device.life.state_at + BOOT_STEP_MS:
        return Reaction(device)
    return told(device, device.lived(state=following, state_at=now_ms), now_ms)


def on_link(device: MockDevice, now_ms: int) -> Reaction:
    """A flapping connection goes down or comes back."""
    life = device.life
    if not life.faults.flapping_s or now_ms < life.link_at + round(life.faults.flapping_s * 1000):
        return Reaction(device)
    return told(device, device.lived(link_up=not life.link_up, link_at=now_ms), now_ms)


def on_isolation(device: MockDevice, now_ms: int) -> Reaction:
    """Firmware b was left without acknowledgements for too long: its actuators go to their defaults."""
    due_at = isolated_at(device)
    if due_at is None or now_ms < due_at:
        return Reaction(device)
    reaction = to_default(device, now_ms)
    return Reaction(reaction.device.lived(isolated=True), reaction.publications)


def rebooted(device: MockDevice, now_ms: int) -> Reaction:
    """Restart: through all states again, actuators in their default state."""
    after = restarted(device, now_ms).lived(state="BOOT", state_at=now_ms, booted_at=now_ms)
    return told(device, after, now_ms)


def with_state(device: MockDevice, state: MockStateName, reason: str | None, now_ms: int) -> Reaction:
    """Another state. BOOT is a restart; SAFE_MODE and ERROR switch the actuators off, ERROR publishes a system
    error."""
    if state == "BOOT":
        return rebooted(device, now_ms)
    after = device.lived(state=state, state_at=now_ms)
    if state not in ("SAFE_MODE", "ERROR"):
        return told(device, after, now_ms)
    after = all_off(after, now_ms, state.lower())
    reaction = told(device, after, now_ms)
    if not is_connected(after) or not is_connected(device):
        return reaction
    said = payloads.hello(after, now_ms)
    if state == "ERROR":
        said.insert(0, payloads.system_error(after, ERROR_CODE, "error", reason or "the mock is in ERROR", now_ms))
    return Reaction(after, (*reaction.publications, *said))


def with_faults(device: MockDevice, faults: Faults, now_ms: int) -> Reaction:
    """Other faults in place of those in force."""
    flaps = faults.flapping_s == device.life.faults.flapping_s != 0
    link = {} if flaps else {"link_up": True, "link_at": now_ms}
    return told(device, device.lived(faults=faults, **link), now_ms)


def told(before: MockDevice, after: MockDevice, now_ms: int) -> Reaction:
    """The device afterwards, with the will or the hello where its connection went or came."""
    if is_connected(before) == is_connected(after):
        return Reaction(after)
    if is_connected(before):
        return Reaction(after, (payloads.will(before),))
    after = after.lived(acked=False, acked_at=now_ms, isolated=False)
    return Reaction(after, tuple(payloads.hello(after, now_ms)))
