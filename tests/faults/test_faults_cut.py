"""The network between the services and one server is cut: both sides are there, and neither hears of the other."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness import Stack
from kaiser_stack import mosquitto
from kaiser_stack.mosquitto import Mosquitto
from kaiser_stack.nats import Nats
from kaiser_stack.postgres import DATABASE, USER, Postgres
from kaiser_stack.private import PrivateServer
from relay import Relay, relay
from trial import SETTINGS, trial

SOCKET = ".s.PGSQL.5432"


@dataclass(frozen=True)
class Site:
    """A stack that reaches its servers through relays; devices and the test reach the servers themselves."""

    stack: Stack
    relays: dict[str, Relay]


@pytest.fixture(scope="module", params=["mosquitto", "nats"])
def site(
    request: pytest.FixtureRequest,
    server_folder: Path,
    free_port: Callable[[], int],
    missing: Callable[..., object],
) -> Iterator[Site]:
    """With each MQTT broker in turn; NATS has two ports then, of which one is cut at a time."""
    if request.param == "mosquitto" and not mosquitto.is_installed():
        missing("mosquitto", "mosquitto is not installed")
    folder = server_folder / f"cut-{request.param}"
    sockets = folder / "sockets"
    sockets.mkdir(parents=True)
    folder.chmod(0o711)
    mqtt_port = free_port()
    nats = Nats(folder / "nats", free_port(), mqtt_port if request.param == "nats" else None)
    postgres = Postgres(folder / "postgres", shared_buffers="64MB", durable=False)
    servers = [nats, postgres, *([Mosquitto(folder / "mosquitto", mqtt_port)] if request.param == "mosquitto" else [])]
    ports = {"nats": free_port(), "broker": free_port()}
    with ExitStack() as started:
        for server in servers:
            private = PrivateServer(server, folder / f"{server.name}.log")
            started.callback(private.kill)
            private.start()
        relays = {
            "nats": started.enter_context(relay(ports["nats"], nats.port)),
            "broker": started.enter_context(relay(ports["broker"], mqtt_port)),
            "postgres": started.enter_context(relay(sockets / SOCKET, postgres.socket_folder / SOCKET)),
        }
        stack = Stack(
            folder / "state",
            KAISER_MQTT_BROKER=request.param,
            KAISER_NATS_URL=f"nats://127.0.0.1:{ports['nats']}",
            KAISER_DATABASE_URL=f"postgresql://{USER}@/{DATABASE}?host={sockets}",
            KAISER_MQTT_HOST="127.0.0.1",
            **{**SETTINGS, "KAISER_MQTT_PORT": str(ports["broker"])},
        )
        started.callback(stack.stop)
        stack.start()
        stack.addresses |= {"nats_url": nats.url, "mqtt_port": mqtt_port, "database_url": postgres.url()}
        yield Site(stack, relays)


@pytest.mark.in_short_form(site={"mosquitto"}, victim={"nats"})
@pytest.mark.parametrize("victim", ["nats", "postgres", "broker"])
async def test_a_network_that_is_cut_for_a_while_loses_nothing(
    site: Site, victim: str, verdicts: Path, seed: int, full: bool
):
    async with trial(site.stack, f"cut-{victim}", verdicts, seed=seed) as run:
        site.relays[victim].cut()
        run.note(f"the network to {victim} is cut")
        try:
            await run.flow(20.0 if full else 8.0)
        finally:
            site.relays[victim].mend()
        run.note("it is mended")
        await run.recovered()
    await asyncio.to_thread(site.stack.settle)
