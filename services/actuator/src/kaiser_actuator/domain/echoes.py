"""Which alerts of a device are its answers to stops that it was sent, and which are a stop of its own; pure.

The firmware answers each stop that it obeys with one alert `emergency_stop` for each of its actuators, and alerts in
the same words when a person stops it on the spot. No field of an alert distinguishes the two, so they are counted: a
message that was sent explains one alert of each actuator, and one alert more is a person's. Which of them came first
does not matter.

Killed: the next process, like any other replica, knows only the presses in the bucket. An answer that it cannot explain
counts as the device's own stop, which is the safe side. A device that missed a stop message sends no answer to it: if a
person presses its button within five seconds of that message, the alert is taken for the answer.
"""

from kaiser_common.contract.schemas.actuator import ActuatorAlert
from kaiser_common.contract.schemas.api.actuators import Emergency

from kaiser_actuator.domain.emergencies import EVERYTHING
from kaiser_actuator.domain.emergency_core import REFUSES_MS

_COPIES = 2
"""A stop is sent twice, ahead of what waits and behind it; a stop of everything by broadcast and to each device."""
_MOST_ALERTS = 64
"""Alerts of an actuator that are remembered, so that a redelivered one is judged as the first time."""


class Echoes:
    """The stops that were sent in the last five seconds, and the alerts that they explain; an entry a device and an
    actuator."""

    def __init__(self) -> None:
        self._sent: dict[str, dict[str, tuple[int, str]]] = {}
        self._explained: dict[tuple[str, int], dict[tuple[int, int], str]] = {}

    def sent(self, esp_id: str | None, message_id: str, emergency_id: str, at_ms: int) -> None:
        """A stop goes to a device, or to all. The same message again is no second one: NATS drops it."""
        key = EVERYTHING if esp_id is None else esp_id
        fresh = {id_: sent for id_, sent in self._sent.get(key, {}).items() if at_ms < sent[0] + REFUSES_MS}
        fresh.setdefault(message_id, (at_ms, emergency_id))
        self._sent[key] = fresh

    def in_force(self, stop: Emergency) -> None:
        """A stop covers an alert. If another process raised it, its messages are known by that; for a stop of one
        actuator the device is sent OFF, to which it does not alert."""
        sent = self._sent.get(EVERYTHING if stop.esp_id is None else stop.esp_id, {})
        if stop.gpio is not None or any(stop.emergency_id == emergency_id for _, emergency_id in sent.values()):
            return
        copies = _COPIES * (2 if stop.esp_id is None else 1)
        for copy in range(copies):
            self.sent(stop.esp_id, f"{stop.emergency_id}-{copy}", stop.emergency_id, stop.raised_at)

    def explained_by(self, alert: ActuatorAlert, sequence: int) -> int | None:
        """When the stop was sent that this alert answers, ms; None for an alert that no stop explains.

        sequence: the place of the alert in the stream, by which a redelivered one is known.
        """
        explained = self._explained.setdefault((alert.esp_id, alert.gpio), {})
        known = {**self._sent.get(EVERYTHING, {}), **self._sent.get(alert.esp_id, {})}
        this = (sequence, alert.received_at)
        if this not in explained:
            taken = set(explained.values())
            waiting = [
                (at_ms, message_id)
                for message_id, (at_ms, _) in known.items()
                if message_id not in taken and alert.received_at < at_ms + REFUSES_MS
            ]
            if not waiting:
                return None
            explained[this] = min(waiting)[1]
            if len(explained) > _MOST_ALERTS:
                del explained[next(iter(explained))]
        return known.get(explained[this], (alert.received_at, ""))[0]
