"""The table of fault trials, from bench/faults.json; pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

KINDS: Mapping[str, str] = {
    "alarms-kill": "a process is killed 40 times while alarms rise and clear",
    "factory": "a factory's production and commands, with each part killed or frozen",
    "mixed": "devices, factory, commands, stops and alarms at once, with each process killed and frozen",
    "kill-nats-of-three": "the leader of a NATS cluster of three is killed",
    "kill": "each process killed",
    "freeze": "each process frozen for 20 s",
    "cut": "the network to a server cut for 20 s",
    "wrong-order": "everything killed, the services start before the servers",
    "bus-last": "everything killed, the broker starts first and NATS last",
    "model": "faults drawn by chance, one upon the other",
    "read-only": "PostgreSQL only reads for 20 s",
    "failover-postgres": "the primary of PostgreSQL is killed, its standby promoted",
    "power-cut": "a disk's image of one moment, as after a power cut",
    "disk-full": "the disk full for 20 s",
    "stream-full": "the stream of readings full",
    "backlog": "a backlog (a million readings, with NATS as the broker 50,000)",
    "clock-jump": "a device's clock jumps",
    "poison-on-the-bus": "unreadable messages on the bus",
    "poison": "unreadable messages by MQTT",
    "client-id-thief": "another client takes ingest's session",
    "stalled-client": "a WebSocket client takes nothing for a minute",
    "flood": "a device floods",
    "crowd-of-devices": "10,000 devices connect within ten seconds",
    "tokens-end": "the tokens of 1,000 WebSocket clients end at one moment",
}
"""Beginnings of the trials' names, those that begin with another one before it."""

Trial = Mapping[str, Any]


def kind_of(name: str) -> str | None:
    """The kind of a trial; None where its name begins like none."""
    return next((kind for kind in KINDS if name == kind or name.startswith(f"{kind}-")), None)


def table(faults: Mapping[str, Any]) -> str:
    """A line for each kind with a result, and the kinds without one."""
    by_kind: defaultdict[str, list[Trial]] = defaultdict(list)
    for trial in faults.get("trials", []):
        by_kind[kind_of(trial["name"]) or trial["name"]].append(trial)
    lines = [
        "| trial | with | trials | sent | lost | longest recovery, s | commits, from and to |",
        "|---|---|---|---|---|---|---|",
        *(_line(words, by_kind[kind]) for kind, words in KINDS.items() if by_kind[kind]),
    ]
    missing = [words for kind, words in KINDS.items() if not by_kind[kind]]
    lines += ["", f"Without a result yet: {'; '.join(missing)}."] if missing else []
    return "\n".join(lines) + "\n"


def _line(words: str, trials: Sequence[Trial]) -> str:
    brokers = sorted({trial["name"].rpartition("-")[2] for trial in trials})
    recovered = [trial["recovered_in_s"] for trial in trials if trial.get("recovered_in_s") is not None]
    ordered = sorted(trials, key=lambda trial: str(trial["at"]))
    commits = [trial["versions"]["kaiser"] for trial in ordered]
    days = [trial["at"][:10] for trial in ordered]
    broken = sum(bool(trial["broken"]) for trial in trials)
    cells = [
        words + (f" (**{broken} broken**)" if broken else ""),
        ", ".join({"mosquitto": "Mosquitto", "nats": "NATS"}.get(broker, broker) for broker in brokers),
        str(len(trials)),
        _sent(trials),
        f"{sum(trial.get('lost', 0) for trial in trials):,}",
        f"{max(recovered):.1f}" if recovered else "–",
        f"{_from_to(commits)}; {_from_to(days)}",
    ]
    return f"| {' | '.join(cells)} |"


def _from_to(values: Sequence[str]) -> str:
    return " to ".join(dict.fromkeys((values[0], values[-1])))


def _sent(trials: Sequence[Trial]) -> str:
    if all("raised" in trial for trial in trials):
        return f"{sum(trial['raised'] for trial in trials):,} alarms"
    return f"{sum(trial.get('sent', 0) for trial in trials):,}"
