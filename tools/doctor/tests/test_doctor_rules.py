"""The doctor's findings, one case a rule."""

from datetime import UTC, datetime, timedelta

import pytest
from kaiser_common.bus.declare import consumer_config, stream_config
from kaiser_common.contract.schemas.api.system import ReplicaStatus
from kaiser_common.contract.subjects import SENSOR_STORE, SENSORS, SERVICES
from kaiser_doctor import broker, bus, clock, database, machine, passwords, services
from kaiser_doctor.cli import lines, of_nothing
from kaiser_doctor.findings import Finding, Light, green, red

GIB = 1024**3
GOOD_MOSQUITTO = """
# a comment with persistence false
persistence true
max_queued_messages 1000000
max_queued_bytes 1073741824
memory_limit 1879048192
queue_qos0_messages true
autosave_interval 10
"""


def levels(findings: list[Finding]) -> set[str]:
    return {finding.level.value for finding in findings}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD_MOSQUITTO, {"green"}),
        ("", {"red", "yellow"}),
        (GOOD_MOSQUITTO.replace("persistence true", "persistence false"), {"red"}),
        (GOOD_MOSQUITTO.replace("1000000", "1000"), {"red"}),
        (GOOD_MOSQUITTO.replace("queue_qos0_messages true", ""), {"red"}),
        (GOOD_MOSQUITTO.replace("messages true", "messages false"), {"red"}),
        (GOOD_MOSQUITTO.replace("messages 1000000", "messages 0"), {"yellow"}),
        (GOOD_MOSQUITTO.replace("1073741824", "0"), {"yellow"}),
        (GOOD_MOSQUITTO.replace("memory_limit 1879048192", ""), {"yellow"}),
        (GOOD_MOSQUITTO.replace("autosave_interval 10", "autosave_interval 1800"), {"yellow"}),
        (GOOD_MOSQUITTO.replace("autosave_interval 10", ""), {"yellow"}),
    ],
)
def test_a_configuration_of_mosquitto_is_judged_by_what_it_would_lose(text, expected):
    assert levels(broker.of_config(text)) == expected


@pytest.mark.parametrize(
    ("gets_in", "host", "expected"),
    [(False, "broker", "green"), (True, "127.0.0.1", "green"), (True, "mosquitto", "red"), (True, "10.0.0.1", "red")],
)
def test_nobody_gets_in_from_the_network_without_a_password(gets_in, host, expected):
    assert levels(broker.of_anonymous(gets_in, host)) == {expected}
    assert levels(bus.of_anonymous(gets_in, host)) == {expected}


def stream(bytes_: int = 0, **config) -> dict:
    return {"config": {**stream_config(SENSORS), **config}, "state": {"messages": 1, "bytes": bytes_}}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (stream(), "green"),
        (stream(num_replicas=3), "green"),
        (stream(4 * GIB), "yellow"),
        (stream(6 * GIB), "red"),
        (stream(max_bytes=GIB), "red"),
        (stream(discard="old"), "red"),
        ({"error": {"code": 404, "description": "stream not found"}}, "red"),
        (None, "unseen"),
    ],
)
def test_a_stream_is_as_declared_and_has_room(answer, expected):
    assert levels(bus.of_stream(stream_config(SENSORS), answer)) == {expected}


NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def consumer(pending: int = 0, held: int = 0, silent_s: float = 1, readers: int = 1, **config) -> dict:
    return {
        "config": {**consumer_config(SENSOR_STORE), **config},
        "created": "2025-12-01T00:00:00.123456789Z",
        "num_pending": pending,
        "num_ack_pending": held,
        "num_waiting": readers,
        "ack_floor": {"last_active": (NOW - timedelta(seconds=silent_s)).isoformat()},
    }


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (consumer(), "green"),
        (consumer(silent_s=9999), "green"),
        (consumer(pending=500), "green"),
        (consumer(pending=50_000), "yellow"),
        (consumer(pending=1, silent_s=300), "red"),
        (consumer(held=1, silent_s=300), "red"),
        (consumer(readers=0), "yellow"),
        (consumer(ack_wait=1), "red"),
        ({"error": {"code": 404, "description": "consumer not found"}}, "red"),
        (None, "unseen"),
    ],
)
def test_a_consumer_is_as_declared_and_gets_on(answer, expected):
    assert levels(bus.of_consumer("sensor-store", consumer_config(SENSOR_STORE), answer, NOW.timestamp())) == {expected}


@pytest.mark.parametrize(
    ("packed", "pending", "level"), [(True, 150, "green"), (True, 300, "yellow"), (False, 300, "green")]
)
def test_of_packs_a_short_queue_is_a_great_lag(packed, pending, level):
    answer = consumer(pending=pending)
    wanted = consumer_config(SENSOR_STORE)
    assert levels(bus.of_consumer("sensor-store", wanted, answer, NOW.timestamp(), packed=packed)) == {level}


@pytest.mark.parametrize(("most", "level"), [(1024**2, "red"), (bus.LEAST_PAYLOAD, "green"), (4 * 1024**2, "green")])
def test_nats_must_take_the_largest_pack(most, level):
    assert levels(bus.of_payload(most)) == {level}


def test_a_site_without_a_factory_has_nobody_read_the_factorys_consumers():
    for name, level in (("factory-store", "green"), ("ingest-factory", "green"), ("sensor-store", "yellow")):
        answer = consumer(readers=0)
        assert levels(bus.of_consumer(name, consumer_config(SENSOR_STORE), answer, NOW.timestamp())) == {level}


def test_a_stream_with_too_few_copies_is_red():
    wanted = {**stream_config(SENSORS), "num_replicas": 3}
    assert levels(bus.of_stream(wanted, stream())) == {"red"}
    assert levels(bus.of_stream(wanted, stream(num_replicas=3))) == {"green"}


def test_a_consumer_of_nobody_is_named_with_the_command_that_removes_it():
    [finding] = bus.of_strangers("DEVICES", {"health", "old"}, {"health"})
    assert (finding.level, finding.fix) == (Light.RED, "delete it: nats consumer rm DEVICES old")


@pytest.mark.parametrize(
    ("config", "used", "expected"),
    [
        ({"sync_always": True, "max_storage": 32 * GIB}, 0, {"green"}),
        ({"sync_interval": 120_000_000_000, "max_storage": 32 * GIB}, 0, {"red"}),
        ({"sync_always": True, "max_storage": 4 * GIB}, 0, {"red"}),
        ({"sync_always": True, "max_storage": 32 * GIB}, 30 * GIB, {"red"}),
    ],
)
def test_nats_syncs_and_has_room(config, used, expected):
    assert levels(bus.of_server({"config": config, "stats": {"storage": used}}, 12 * GIB)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("jetstream { sync_interval: always }", "green"),
        ('jetstream { sync_interval = "always" }', "green"),
        ("jetstream { # sync_interval: always\n}", "red"),
        ("jetstream { sync_interval: 10s }", "red"),
    ],
)
def test_the_sync_of_nats_is_read_from_its_file(text, expected):
    assert levels(bus.of_config(text)) == {expected}


@pytest.mark.parametrize(
    ("skew_s", "expected"), [(0.2, "green"), (-0.9, "green"), (2, "yellow"), (-2, "yellow"), (60, "red")]
)
def test_clocks_that_differ_are_told(skew_s, expected):
    assert levels(clock.of_clock("NATS", 1000.0 + skew_s, 999.9, 1000.1)) == {expected}


def test_a_slow_answer_is_no_skew():
    assert levels(clock.of_clock("NATS", 1000.0, 990.0, 1004.0)) == {"green"}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "autovacuum": "on"}, {"green"}),
        ({"fsync": "off"}, {"red"}),
        ({"full_page_writes": "off"}, {"red"}),
        ({"synchronous_commit": "off"}, {"red"}),
        ({"autovacuum": "off"}, {"yellow"}),
        ({"data_checksums": "off"}, {"yellow"}),
    ],
)
def test_a_database_that_forgets_is_told(settings, expected):
    assert levels(database.of_durability(settings)) == expected


@pytest.mark.parametrize(
    ("interval", "expected"),
    [(timedelta(days=1), "green"), (timedelta(days=7), "yellow"), (timedelta(days=30), "red"), (None, "red")],
)
def test_a_chunk_is_a_day(interval, expected):
    assert levels(database.of_chunks("sensor.data", interval)) == {expected}


@pytest.mark.parametrize(
    ("current", "expected"),
    [({"sensor": "0002"}, "green"), ({"sensor": "0001"}, "red"), ({"sensor": None}, "red"), ({}, "unseen")],
)
def test_a_schema_is_at_its_services_version(current, expected):
    assert levels(database.of_revisions(current, {"sensor": "0002"})) == {expected}


@pytest.mark.parametrize(
    ("secret", "user", "expected"),
    [
        ("", "kaiser", set()),
        ("admin", "admin", {"red"}),
        ("Password", "x", {"red"}),
        ("my-own-user-name", "my-own-user-name", {"red"}),
        ("aaaaaaaaaaaaaaaaaaaa", "x", {"red"}),
        ("kx82-fq1", "x", {"red"}),
        ("hQ5x-92Vkd-pp31", "x", {"green"}),
    ],
)
def test_an_easy_password_is_red(secret, user, expected):
    assert levels(passwords.of_secret("it", secret, user)) == expected
    assert not secret or all(secret not in finding.text for finding in passwords.of_secret("it", secret, user))


@pytest.mark.parametrize(
    ("secret", "expected"),
    [("", set()), ("short", {"red"}), ("ab" * 20, {"red"}), ("k3J9x" * 3 + "Qw7z" * 5, {"green"})],
)
def test_a_short_key_is_red(secret, expected):
    assert levels(passwords.of_key(secret)) == expected


@pytest.mark.parametrize(("free", "expected"), [(50, "green"), (15, "yellow"), (5, "red")])
def test_a_disk_without_room_is_told(free, expected):
    assert levels(machine.of_disk("/data", free, 100)) == {expected}


def replica(service: str, **fields) -> ReplicaStatus:
    return ReplicaStatus(
        **{"service": service, "replica": "a", "version": "1", "started_at": 0, "ready": True, **fields}
    )


def test_services_that_do_not_answer_or_are_not_ready_are_red():
    all_ready = [replica(name) for name in SERVICES]
    assert levels(services.of_replicas(all_ready)) == {"green"}
    found = services.of_replicas([one for one in all_ready if one.service not in ("sensor", "simulator")])
    assert {finding.about: finding.level for finding in found if finding.level is not Light.GREEN} == {
        "service sensor": Light.RED,
        "service simulator": Light.YELLOW,
    }
    [*_, last] = services.of_replicas([*all_ready, replica("sensor", ready=False, checks={"database": "no answer"})])
    assert (last.level, last.text) == (Light.RED, "is not ready: database: no answer")
    assert levels(services.of_replicas([*all_ready, replica("sensor", version="2")])) == {"green", "yellow"}


def test_a_second_site_that_speaks_the_factorys_dialect_is_found_and_a_standby_is_none():
    def speaking(site: str) -> ReplicaStatus:
        return replica("ingest", checks={f"factory dialect of site {site}": "ok"})

    others = [replica(name) for name in SERVICES if name != "ingest"]
    assert levels(services.of_replicas([*others, speaking("factory"), speaking("factory")])) == {"green"}
    found = services.of_replicas([*others, speaking("factory"), speaking("god")])
    assert [(one.level, one.about) for one in found if one.level != "green"] == [("red", "ingest")]


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({}, "green"),
        ({"lease_held": 0, "ingest_connected": 0}, "green"),
        ({"ingest_connected": 0}, "red"),
        ({"ingest_sessions_lost_total": 1}, "red"),
        ({"ingest_broker_dropped_messages_total": 7}, "red"),
        ({"ingest_oldest_unacknowledged_seconds": 31}, "red"),
    ],
)
def test_the_session_of_ingest_is_read_from_its_metrics(figures, expected):
    all_figures = {"lease_held": 1, "ingest_connected": 1, "ingest_oldest_unacknowledged_seconds": 0.2, **figures}
    text = "".join(f"# TYPE kaiser_{name} gauge\nkaiser_{name} {float(value)}\n" for name, value in all_figures.items())
    assert levels(services.of_ingest(text)) == {expected}


def test_the_report_has_a_line_a_finding_its_fix_and_the_sum():
    found = [green("NATS", "answers"), red("disk", "is full", "empty it")]
    assert lines(found) == [
        "green   NATS: answers",
        "red     disk: is full",
        "          → empty it",
        "1 green, 0 unseen, 0 yellow, 1 red",
    ]
    assert lines(found, quiet=True)[0] == "red     disk: is full"


def test_where_nothing_runs_the_first_thing_said_is_how_to_start_it():
    away = [red(about, "does not answer", "start it") for about in ("NATS", "MQTT broker", "database")]
    unknown = Finding(Light.UNSEEN, "services", "nobody can be asked", "see NATS")
    [finding] = of_nothing([*away, unknown])
    assert (finding.level, finding.about) == (Light.RED, "Kaiser")
    assert "make run" in finding.fix
    assert of_nothing([*away[:2], green("database", "answers"), unknown]) == []
    assert of_nothing([*away, green("NATS", "answers")]) == []
