"""Filters and subjects against real servers: Mosquitto delivers as `filters` says, NATS as `subjects` says."""

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any

import aiomqtt
import nats
import pytest
from kaiser_factory_dialect import priorities
from kaiser_factory_dialect.filters import matches, minimal_cover, subscriptions
from kaiser_factory_dialect.subjects import consumer_subjects, topic_of, topic_subject
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig
from nats.js.errors import APIError

SESSION = Path(__file__).parents[3] / "tests/golden/factory-session.jsonl"
ODD = ["a", "a/", "/a", "a//b", "a/b/c", "a/x/c", "grüße/x y", "uagv/v2/ACME/AMR.0007/state", "j1/txt/1/i/ldr"]
FILTERS = ["#", "+", "/#", "+/#", "a/#", "a/+", "a/+/c", "a/b/+", "/j1/txt/#", "+/j1/#", "module/v1/+/+/state", "ccu/#"]
SETS = [
    ("a/+/c", "a/b/+"),
    ("a/#", "a/+", "a/b/c"),
    ("+/j1/#", "/j1/txt/#"),
    ("#", "a/b/c"),
    ("a/+", "a/+/#"),
    ("+/+", "+/#"),
    *(priorities.shown_at(level) for level in range(1, 7)),
    subscriptions(observe=["a/+/c", "a/b/+"]),
]
WAIT_S = 60


def session_topics() -> list[str]:
    found = set(ODD)
    for line in SESSION.read_text().splitlines():
        try:
            found.add(json.loads(line)["topic"])
        except (ValueError, KeyError, TypeError):
            continue
    return sorted(topic for topic in found if topic and not set(topic) & set("+#"))


TOPICS = session_topics()


async def delivered(broker: Any, filters: tuple[str, ...]) -> list[str]:
    """The topics that a broker delivers to one client with these filters, of all TOPICS published once, sorted.

    The broker is shared with other tests: what they left retained or say in between does not count.
    """
    end = f"end/{secrets.token_hex(4)}"
    listener = aiomqtt.Client(broker.host, broker.port, protocol=aiomqtt.ProtocolVersion.V5)
    speaker = aiomqtt.Client(broker.host, broker.port, protocol=aiomqtt.ProtocolVersion.V5)
    found: list[str] = []
    async with asyncio.timeout(WAIT_S), listener, speaker:
        await listener.subscribe([(one, 1) for one in (*filters, end)])
        for topic in (*TOPICS, end):
            await speaker.publish(topic, b"1", qos=1)
        ends = 1 + sum(matches(one, end) for one in filters)
        async for message in listener.messages:
            topic = str(message.topic)
            if topic == end:
                ends -= 1
                if ends == 0:
                    break
            elif topic in TOPICS and not message.retain:
                found.append(topic)
    return sorted(found)


@pytest.mark.parametrize("one", FILTERS)
async def test_a_filter_matches_what_mosquitto_delivers(mosquitto: Any, one: str):
    assert await delivered(mosquitto, (one,)) == [topic for topic in TOPICS if matches(one, topic)]


@pytest.mark.parametrize("some", SETS, ids=lambda some: some[0])
async def test_a_minimal_cover_delivers_each_topic_once_for_each_filter_left(mosquitto: Any, some: tuple[str, ...]):
    cover = minimal_cover(some)
    wanted = sorted(topic for topic in TOPICS for one in cover if matches(one, topic))
    assert set(wanted) == {topic for topic in TOPICS if any(matches(one, topic) for one in some)}
    assert await delivered(mosquitto, cover) == wanted


async def test_the_factorys_subscription_delivers_each_message_of_the_session_once(mosquitto: Any):
    found = await delivered(mosquitto, subscriptions())
    assert len(found) == len(set(found))
    assert set(found) >= {topic for topic in TOPICS if topic.startswith(("module/v1/", "fts/v1/", "ccu/", "/j1/txt/"))}


@pytest.mark.parametrize("some", SETS, ids=lambda some: some[0])
async def test_a_consumer_of_nats_gets_what_the_filters_match(nats_factory: Any, some: tuple[str, ...]):
    client = await nats.connect(nats_factory().url)
    async with asyncio.timeout(WAIT_S):
        stream = client.jetstream()
        await stream.add_stream(StreamConfig(name="TOPICS", subjects=["topic.>"], max_msgs_per_subject=1))
        for topic in TOPICS:
            await stream.publish(topic_subject("live", topic), topic.encode())
        await stream.publish(topic_subject("mock", TOPICS[0]), b"of another environment")
        subjects = list(consumer_subjects("live", some))
        subscription = await stream.pull_subscribe(
            "", "all", stream="TOPICS", config=ConsumerConfig(filter_subjects=subjects, ack_policy=AckPolicy.NONE)
        )
        pending = (await subscription.consumer_info()).num_pending
        messages = await subscription.fetch(pending, timeout=WAIT_S) if pending else []
    await client.close()
    found = sorted(message.data.decode() for message in messages)
    assert all(topic_of(message.subject) == ("live", message.data.decode()) for message in messages)
    assert len(found) == len(set(found))
    assert found == [topic for topic in TOPICS if any(matches(one, topic) for one in some)]


@pytest.mark.parametrize("narrow", ["topic.live.a.b.c", "topic.live.a.b.>"])
async def test_nats_refuses_a_filter_that_another_covers(nats_factory: Any, narrow: str):
    client = await nats.connect(nats_factory().url)
    async with asyncio.timeout(WAIT_S):
        stream = client.jetstream()
        await stream.add_stream(StreamConfig(name="TOPICS", subjects=["topic.>"]))
        config = ConsumerConfig(durable_name="all", filter_subjects=["topic.live.a.>", narrow])
        with pytest.raises(APIError) as refused:
            await stream.add_consumer("TOPICS", config)
    await client.close()
    assert refused.value.err_code == 10138
