"""The bucket of ingest: a value that cannot be read does not count as absent, and a new bucket is filled again."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from kaiser_common.bus.connection import Bus, BusUnavailable, connect
from kaiser_common.bus.declare import apply
from kaiser_common.contract.subjects import INGEST_BUCKET
from kaiser_common.contract.topics import BROADCAST
from kaiser_common.runtime.settings import CommonSettings
from kaiser_ingest.consumers.entering import EnvironmentEntry
from kaiser_ingest.consumers.session import MqttSession, SwitchFailed
from kaiser_ingest.domain.stop_order import StopOrder
from kaiser_ingest.jobs import state
from kaiser_ingest.jobs.state import StateWatch
from kaiser_ingest.mqtt.connection import ConnectFailed
from kaiser_ingest.mqtt.profiles import Profile
from kaiser_ingest.mqtt.sending import ConnectionLost
from kaiser_ingest.publish import SystemEvents
from kaiser_ingest.settings import IngestSettings
from kaiser_ingest.store import session_store
from kaiser_ingest.store.environments import Environments
from kaiser_ingest.store.session_store import SessionStore
from nats.errors import TimeoutError as NatsTimeoutError
from structlog.testing import capture_logs


class _Mute:
    """A JetStream that does not answer for its buckets in time."""

    async def key_value(self, name: str) -> Any:
        raise NatsTimeoutError


class _Hanging:
    """A JetStream that never answers."""

    async def key_value(self, name: str) -> Any:
        await asyncio.Event().wait()


class _Pipeline:
    """Receives nothing."""

    held = in_flight = in_flight_bytes = 0

    def forget(self, generation: int) -> None:
        return


class _Dialect:
    """The factory's dialect, of which only the entry matters."""

    reads = True

    def enter(self, *_: object) -> None:
        return


@asynccontextmanager
async def mute(settings: CommonSettings) -> AsyncIterator[tuple[Bus, Callable[[], None]]]:
    """A bus whose buckets do not answer until the function is called."""
    async with connect(settings, "test") as bus:
        answering = bus.jetstream
        bus.jetstream = _Mute()  # type: ignore[assignment]
        yield bus, lambda: setattr(bus, "jetstream", answering)


def numbers(*stops: tuple[str, int]) -> StopOrder:
    order = StopOrder()
    for esp_id, number in stops:
        order.note(esp_id, number, 1)
    return order


async def test_while_the_stored_stops_cannot_be_read_no_clear_goes_out_and_they_are_not_overwritten(
    bus_settings: CommonSettings, until: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "_EVERY_S", 0.05)
    async with connect(bus_settings, "test") as bus, mute(bus_settings) as (later_bus, answer):
        await SessionStore(bus).remember_stops(numbers(("ESP_A", 7)).dump())
        watch = StateWatch(SessionStore(later_bus), None)
        with capture_logs() as lines:
            stops = await watch.stops()
        [line] = lines
        assert (line["event"], line["log_level"]) == ("stops_unread", "error")
        assert line["reason"] == "the key stops of the KV bucket ingest: nats: timeout"
        stops.note(BROADCAST, 9, 2)
        assert [stops.forbids_clear("ESP_B", number) for number in (6, 100, None)] == [True, True, True]
        assert not stops.forbids_command("ESP_B", 3), "commands go on"
        with capture_logs() as lines:
            watching = asyncio.create_task(watch.run(stops))
            await until(lambda: any(each["event"] == "session_state_unreadable" for each in lines))
            assert await SessionStore(bus).stops() == numbers(("ESP_A", 7)).dump()
            answer()

            async def both_are_stored() -> bool:
                stored = StopOrder()
                stored.load(await SessionStore(bus).stops() or b"")
                return stored.forbids_clear("ESP_A", 6) and stored.forbids_clear("ESP_B", 8)

            await until(both_are_stored)
            await until(lambda: any(each["event"] == "stops_read" for each in lines))
        watching.cancel()
        assert [stops.forbids_clear("ESP_A", number) for number in (6, 8, 10)] == [True, True, False]


async def test_a_value_that_is_forgotten_while_it_waits_to_be_written_is_not_written(
    bus_settings: CommonSettings,
) -> None:
    """The next time that this process holds the lease, another one may have written a newer value."""
    async with connect(bus_settings, "test") as bus:
        answering, bus.jetstream = bus.jetstream, _Hanging()  # type: ignore[assignment]
        store = SessionStore(bus, "forgotten.")
        first = asyncio.create_task(store.remember_profile("lab"))
        second = asyncio.create_task(store.remember_stops(b"old"))
        await asyncio.sleep(0)
        store.forget()
        bus.jetstream = answering
        first.cancel()
        await second
        assert await SessionStore(bus, "forgotten.").stops() is None


@pytest.mark.parametrize("text", [b"[]", b"{", b"{}", b"\xff"])
async def test_stored_stops_of_another_form_withhold_each_clear_until_their_key_is_deleted(
    bus_settings: CommonSettings, text: bytes
) -> None:
    async with connect(bus_settings, "test") as bus:
        await SessionStore(bus).remember_stops(text)
        watch = StateWatch(SessionStore(bus), None)
        stops = await watch.stops()
        with pytest.raises(BusUnavailable, match="the key stops of the KV bucket ingest"):
            await watch.look(stops)
        assert stops.forbids_clear("ESP_A", 100)
        assert await SessionStore(bus).stops() == text
        await (await bus.jetstream.key_value(INGEST_BUCKET.name)).delete("stops")
        await watch.look(stops)
        assert not stops.forbids_clear("ESP_A", 100)


async def test_on_a_new_system_a_clear_goes_out(bus_settings: CommonSettings) -> None:
    async with connect(bus_settings, "test") as bus:
        assert not (await StateWatch(SessionStore(bus), None).stops()).forbids_clear("ESP_A", 1)


async def test_profile_filters_stops_and_environment_are_in_the_bucket_again_after_it_was_declared_anew(
    bus_settings: CommonSettings,
) -> None:
    async with connect(bus_settings, "test") as bus:
        await SessionStore(bus).remember_profile("mock")
        kept, environments = SessionStore(bus), Environments(bus, "god")
        watch = StateWatch(kept, environments)
        stops = await watch.stops()
        assert await kept.profile() == "mock"
        await kept.remember_filters("mock", frozenset({"a/#"}))
        for name in ("live", "mock"):
            entered = await environments.enter(name, "live", f"mqtt://{name}")
        assert entered.epoch == 2
        await watch.look(stops)
        await bus.jetstream.delete_key_value(INGEST_BUCKET.name)
        with pytest.raises(BusUnavailable):
            await watch.look(stops)
        await kept.remember_stops(numbers(("ESP_A", 7)).dump())  # there is no bucket
        await apply(bus)
        await watch.look(stops)
        later = SessionStore(bus)
        assert await later.profile() == "mock"
        assert await later.filters("mock") == frozenset({"a/#"})
        assert await later.stops() == numbers(("ESP_A", 7)).dump()
        assert await Environments(bus, "god").enter("mock", "live", "mqtt://mock") == entered
        assert (await Environments(bus, "god").enter("live", "live", "mqtt://live")).epoch == 3


async def test_an_environment_that_is_entered_before_the_new_bucket_is_filled_has_an_epoch_of_its_own(
    bus_settings: CommonSettings,
) -> None:
    async with connect(bus_settings, "test") as bus:
        environments = Environments(bus, "god")
        for name in ("live", "mock"):
            await environments.enter(name, "live", f"mqtt://{name}")
        await bus.jetstream.delete_key_value(INGEST_BUCKET.name)
        await apply(bus)
        assert (await environments.enter("live", "live", "mqtt://live")).epoch == 3
        await environments.restore()
        assert (await Environments(bus, "god").enter("live", "live", "mqtt://live")).epoch == 3


async def test_what_another_holder_wrote_meanwhile_is_not_overwritten(bus_settings: CommonSettings) -> None:
    async with connect(bus_settings, "test") as bus:
        kept = SessionStore(bus)
        await kept.remember_stops(numbers(("ESP_A", 7)).dump())
        await kept.follow_bucket()
        await bus.jetstream.delete_key_value(INGEST_BUCKET.name)
        await apply(bus)
        await SessionStore(bus).remember_stops(numbers(("ESP_A", 9)).dump())
        watch = StateWatch(kept, None)
        stops = await watch.stops()
        await watch.look(stops)
        assert await SessionStore(bus).stops() == numbers(("ESP_A", 9)).dump()
        assert stops.forbids_clear("ESP_A", 8)


async def test_a_value_that_nats_did_not_take_is_written_later(bus_settings: CommonSettings) -> None:
    async with connect(bus_settings, "test") as bus, mute(bus_settings) as (mute_bus, answer):
        kept = SessionStore(mute_bus)
        for profile in ("mock", "replay"):
            await kept.remember_profile(profile)
        assert await SessionStore(bus).profile() is None
        answer()
        await kept.follow_bucket()
        assert await SessionStore(bus).profile() == "replay"


async def test_of_values_written_at_once_the_last_one_stays(bus_settings: CommonSettings) -> None:
    async with connect(bus_settings, "test") as bus:
        kept = SessionStore(bus)
        async with asyncio.TaskGroup() as tasks:
            for number in range(20):
                tasks.create_task(kept.remember_stops(str(number).encode()))
        assert await SessionStore(bus).stops() == b"19"


async def test_filters_that_cannot_be_read_are_those_that_this_process_knows(bus_settings: CommonSettings) -> None:
    async with connect(bus_settings, "test") as bus:
        kept = SessionStore(bus)
        await kept.remember_filters("live", frozenset({"a/#"}))
        bus.jetstream = _Mute()  # type: ignore[assignment]
        assert await kept.filters("live") == frozenset({"a/#"})
        with pytest.raises(BusUnavailable):
            await kept.filters("mock")


async def test_while_the_active_profile_cannot_be_read_ingest_connects_to_no_broker_and_switches_to_none(
    bus_settings: CommonSettings,
    scripted_broker: Any,
    until: Callable[..., Any],
) -> None:
    async with (
        scripted_broker() as default,
        scripted_broker() as active,
        connect(bus_settings, "test") as bus,
        mute(bus_settings) as (mute_bus, answer),
    ):
        await SessionStore(bus).remember_profile("mock")
        profiles = {"mock": Profile(host=active.host, port=active.port)}
        settings = IngestSettings(
            nats_url=bus_settings.nats_url, mqtt_port=default.port, site="here", mqtt_profiles=profiles
        )
        events = SystemEvents(bus)
        session = MqttSession(settings, _Pipeline(), SessionStore(mute_bus), events)  # type: ignore[arg-type]
        with capture_logs() as lines:
            running = asyncio.create_task(session.run())
            await until(lambda: sum(each["event"] == "session_state_unreadable" for each in lines) >= 2)
        said = (
            "the profile that was switched to last is unknown: the key profile of the KV bucket ingest: nats: timeout"
        )
        with pytest.raises(ConnectionLost, match=said):
            await session.check()
        with pytest.raises(SwitchFailed, match=said):
            await session.switch("mock")
        with pytest.raises(SwitchFailed, match=said):
            await session.restart("live")
        assert (default.connects, active.connects) == ([], [])
        answer()
        await until(lambda: active.connects)
        assert session.active == "mock"
        running.cancel()
        await asyncio.wait([running])
        assert default.connects == []


async def test_an_environment_whose_emptying_cannot_be_read_is_not_emptied_again(
    bus_settings: CommonSettings,
) -> None:
    async with connect(bus_settings, "test") as bus, mute(bus_settings) as (mute_bus, answer):

        async def enter(kept: SessionStore) -> bool:
            environments, events = Environments(bus, "god"), SystemEvents(bus)
            entry = EnvironmentEntry(_Dialect(), environments, kept, events)  # type: ignore[arg-type]
            profile = Profile(host="127.0.0.1", kind="mock")
            return await entry.enter("mock", profile, "client", 1, frozenset(), mqtt5=True)

        await enter(SessionStore(bus))
        await bus.jetstream.publish("topic.mock.1", b"{}")
        kept = SessionStore(mute_bus)
        with pytest.raises(ConnectFailed, match=r"cannot enter the environment mock: the key emptied\.mock"):
            await enter(kept)
        answer()
        await enter(kept)
        assert (await bus.jetstream.stream_info("TOPICS")).state.messages == 1


async def test_a_bucket_that_never_answers_is_waited_for_a_limited_time(
    bus_settings: CommonSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_store, "_TIMEOUT_S", 0.05)
    async with connect(bus_settings, "test") as bus:
        bus.jetstream = _Hanging()  # type: ignore[assignment]
        kept = SessionStore(bus)
        with pytest.raises(BusUnavailable, match="the key stops of the KV bucket ingest: TimeoutError"):
            await kept.stops()
        with pytest.raises(BusUnavailable, match="the state of the KV bucket ingest: TimeoutError"):
            await kept.follow_bucket()
        with capture_logs() as lines:
            await kept.remember_profile("mock")
        assert [each["event"] for each in lines] == ["session_state_not_written"]
