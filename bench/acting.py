"""The cost of rules and open alarms: frames and CPU at 1,000 readings a second that come as they are measured.

Rules and limits leave readings of the past alone, so the readings of this part are of now, one of each device a second.
The rules name sensors that exist and never fire; the alarms are of limits that every reading is over.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx

from bench.bed import Bed
from bench.latency import at_rate
from bench.sender import GPIO

_RATE = 1000.0
_AT_ONCE = 8
_KNOWN_WITHIN_S = 120.0
_AGAIN_S = 0.5
_OPEN = "SELECT count(*) FROM alarm.alarms WHERE kind = 'limit_hi_hi' AND state <> 'closed' AND esp_id = ANY(%s)"


def by_rules(bed: Bed, numbers: list[int], seconds: float) -> dict[int, Any]:
    """Frames, cores and the CPU of logic with so many rules, spread over a thousand sensors."""
    found: dict[int, Any] = {}
    at_rate(bed, _RATE, seconds / 2, now=True)  # what came before is over when the first one counts
    made = 0
    for number in numbers:
        _each(bed, range(made, number), _add_rule)
        made = number
        found[number] = at_rate(bed, _RATE, seconds, now=True)
    return found


def by_alarms(bed: Bed, numbers: list[int], seconds: float) -> dict[int, Any]:
    """The same with limits on so many sensors, each of which goes on to send values over its limit. open: how many
    alarms of them were open then; fewer than there are limits, and the figures are not of so many alarms."""
    found: dict[int, Any] = {}
    made = 0
    for number in numbers:
        _each(bed, range(made, number), _set_limit)
        made = number
        at_rate(bed, _RATE, max(2.0, seconds / 2), now=True)
        found[number] = at_rate(bed, _RATE, seconds, now=True) | {"open": _open(bed, bed.devices[:number])}
    return found


def _open(bed: Bed, devices: list[str]) -> int:
    with bed.connect() as connection:
        found = connection.execute(_OPEN, [devices]).fetchone()
    return int(found[0]) if found else 0


def _each(bed: Bed, places: range, ask: Any) -> None:
    with bed.stack.sign_in() as rest, ThreadPoolExecutor(_AT_ONCE) as workers:
        for answer in workers.map(lambda place: _asked(partial(ask, rest, bed, place)), places):
            assert answer.status_code < 300, answer.text
    time.sleep(2.0 if places else 0.0)  # the rule, or limit, is in force where it is used


def _asked(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """The answer; a service that is behind with what came before answers 503 for a while."""
    deadline = time.monotonic() + _KNOWN_WITHIN_S
    while (answer := ask()).status_code == httpx.codes.SERVICE_UNAVAILABLE and time.monotonic() < deadline:
        time.sleep(_AGAIN_S)
    return answer


def _add_rule(rest: httpx.Client, bed: Bed, place: int) -> httpx.Response:
    sensor = {"esp_id": bed.devices[place % 1000], "gpio": GPIO, "sensor_type": "ds18b20"}
    hot = {"type": "sensor", **sensor, "operator": ">", "value": 1000 + place}
    action = {"type": "notification", "message": "hot"}
    return rest.post("/api/v1/logic/rules", json={"name": f"bench {place}", "conditions": [hot], "actions": [action]})


def _set_limit(rest: httpx.Client, bed: Bed, place: int) -> httpx.Response:
    return rest.put(f"/api/v1/alarms/limits/{bed.devices[place]}/{GPIO}/ds18b20", json={"hi_hi": 0})
