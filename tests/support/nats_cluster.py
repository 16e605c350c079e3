"""Three NATS servers as deploy/kubernetes runs them: its configuration on ports of their own, without users."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from harness import ROOT
from kaiser_deploy import certificates
from kaiser_stack.nats import binary
from kaiser_stack.process import Child, Program

CONF = ROOT / "deploy/kubernetes/base/nats/nats.conf"


@dataclass(frozen=True)
class ClusterServer:
    """A server of the cluster."""

    name: str
    url: str
    monitor: str
    peers_port: int
    child: Child
    log: Path


def certified(folder: Path) -> Path:
    """The folder of a cluster's certificate for this machine."""
    certificates.make_cluster(folder, ["127.0.0.1"])
    return folder / "cluster"


@contextmanager
def nats_cluster(folder: Path, certificate: Path, free_port: Callable[[], int]) -> Iterator[list[ClusterServer]]:
    """The three servers, with their data in `folder`; they are killed at the end."""
    clients, peers = [free_port() for _ in range(3)], [free_port() for _ in range(3)]
    servers = []
    for number in range(3):
        name, monitor = f"nats-{number}", free_port()
        text = CONF.read_text().replace('include "users.conf"', "").replace("$POD_NAME", name)
        text = text.replace("0.0.0.0", "127.0.0.1").replace("port: 4222", f"port: {clients[number]}")
        text = text.replace(":8222", f":{monitor}").replace("port: 6222", f"port: {peers[number]}")
        for other in range(3):
            text = text.replace(f"nats-{other}.nats-peers:6222", f"127.0.0.1:{peers[other]}")
        text = text.replace('"/data"', f'"{folder}/{number}"').replace('"/etc/cluster-tls', f'"{certificate}')
        config, log = folder / f"{name}.conf", folder / f"{name}.log"
        config.write_text(text)
        child = Child(Program(name, (binary(), "-c", str(config))), log)
        url, watched = f"nats://127.0.0.1:{clients[number]}", f"http://127.0.0.1:{monitor}"
        servers.append(ClusterServer(name, url, watched, peers[number], child, log))
    try:
        yield servers
    finally:
        for server in servers:
            server.child.kill()


def routes(server: ClusterServer) -> set[str]:
    """The names of the servers that this one is connected with."""
    try:
        return {one["remote_name"] for one in httpx.get(f"{server.monitor}/routez", timeout=60).json()["routes"] or ()}
    except httpx.HTTPError:
        return set()
