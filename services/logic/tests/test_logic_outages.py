"""The service with PostgreSQL or NATS away, and with webhooks that fail or hang."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest
import secured
from kaiser_common.bus.connection import Bus, connect
from kaiser_common.bus.declare import apply
from kaiser_common.bus.rpc import RpcError
from kaiser_common.contract.schemas.api.logic import RulesPage, RulesQuery, TestRequest, TestResult, TestRule
from kaiser_common.contract.schemas.api.system import ReplicaStatus
from kaiser_common.contract.subjects import STATUS_SUBJECT
from kaiser_common.migrate.command import migrate_database
from kaiser_common.runtime.settings import CommonSettings
from kaiser_deploy import secret_files
from logic_world import DRY, PUMP, TELL, now_ms, open_world, until, until_async
from nats.errors import Error as NatsError


@pytest.fixture
async def own_world(nats_factory, postgres_factory, tmp_path):
    """A world on servers of its own, which may be killed: `world`, NATS, PostgreSQL."""
    server, database = nats_factory(), postgres_factory()
    settings = CommonSettings(nats_url=server.url, database_url=database.url)
    migrate_database(settings)
    async with connect(settings, "test") as bus:
        await apply(bus)
    async with open_world(server.url, database.url, tmp_path) as world:
        yield world, server, database


async def test_with_postgresql_down_rules_go_on_also_over_a_restart_and_executions_are_stored_later(own_world):
    world, _, database = own_world
    process = await world.started()
    await world.rule("pump")
    await world.rule("tell", conditions=[{**DRY, "esp_id": "ESP_T"}], actions=[TELL])
    database.kill()
    await world.read(20)
    await until(lambda: len(world.commands) == 1, "the rule fires")
    with pytest.raises(RpcError) as refused:
        await world.ask("list", RulesQuery(), RulesPage)
    assert refused.value.problem.status == 503
    process.end()
    await world.started()
    for value in (40, 20):
        await world.read(value)
    await until(lambda: len(world.commands) == 2, "it fires after a restart too")
    await world.read(20, esp_id="ESP_T")
    await until_async(lambda: _told(world), "the other rule notifies")
    database.start()
    await until(lambda: _answers(database.url), "the database is back")
    stored = await world.ended(3, within_s=60)
    assert sorted(one.rule_name for one in stored) == ["pump", "pump", "tell"]


async def test_while_the_actuator_service_has_no_database_a_rule_fails_with_the_reason_and_tries_again_later(
    world,
):
    await world.started(logic_backoff_s=3)
    rule = await world.rule()
    world.answer = lambda _: "unavailable"
    begun = time.monotonic()
    await world.read(20)
    [failed] = await world.ended(1, rule_id=rule.rule_id)
    assert (failed.outcome, len(world.requests)) == ("failed", 5)
    assert failed.reason == "action 0: service actuator cannot reach its database: try again later"
    assert set(world.requests) == {f"{failed.execution_id}:0"}
    world.answer = lambda _: "acknowledged"
    again, _ = await world.ended(2, rule_id=rule.rule_id)
    assert (again.outcome, len(world.commands)) == ("succeeded", 1)
    assert time.monotonic() - begun > 3.7 + 3  # the pauses between the tries, then the rule's own


async def _told(world) -> bool:
    return any(event["event"] == "rule_notification" for event in await world.events("system_event"))


def _answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False


async def test_after_nats_was_killed_rules_go_on_where_they_were(own_world):
    world, server, _ = own_world
    process = await world.started()
    once = await world.rule("once", cooldown_s=600)
    await world.rule("for", conditions=[{**DRY, "for_s": 8}], actions=[{**PUMP, "gpio": 26}])
    await world.read(20)
    begun = time.monotonic()
    await world.ended(1, rule_id=once.rule_id)
    server.kill()
    server.start()
    await until(lambda: world.bus.client.is_connected, "connected again")
    await until_async(lambda: _reads(world, 21), "readings pass again")
    done = await world.ended(2, within_s=60)
    assert [one.rule_name for one in done] == ["for", "once"]
    assert time.monotonic() - begun > 7.5
    assert len(world.commands) == 2
    assert process.alive()


async def _reads(world, value: float) -> bool:
    try:
        await asyncio.wait_for(world.read(value), 3)
    except TimeoutError:
        return False
    return True


class Hook:
    """A web server that answers with the next status, or (0) not at all."""

    def __init__(self, *statuses: int) -> None:
        self._statuses = list(statuses)
        self.got: list[tuple[str, dict]] = []
        """Idempotency-Key and body of each request."""
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        fields = dict(line.split(": ", 1) for line in head.strip().split("\r\n")[1:])
        body = json.loads(await reader.readexactly(int(fields["content-length"])))
        self.got.append((fields["idempotency-key"], body))
        status = self._statuses.pop(0) if self._statuses else 204
        if status:
            writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
            await writer.drain()
            writer.close()
        else:
            await asyncio.sleep(60)


LOOPBACK = '["127.0.0.0/8"]'


@asynccontextmanager
async def hooked(hook: Hook) -> AsyncIterator[dict]:
    """A notification action that posts to the hook."""
    server = await asyncio.start_server(hook.serve, "127.0.0.1", 0)
    hook.port = server.sockets[0].getsockname()[1]
    try:
        yield {**TELL, "webhook_url": f"http://127.0.0.1:{hook.port}/hook"}
    finally:
        server.close()


async def test_a_webhook_is_tried_again_with_the_same_key_and_carries_what_happened(world):
    hook = Hook(503, 503)
    await world.started(logic_webhook_networks=LOOPBACK)
    async with hooked(hook) as action:
        await world.rule(actions=[action])
        await world.read(20)
        [done] = await world.ended(1, within_s=60)
    assert (done.outcome, [key for key, _ in hook.got]) == ("succeeded", [f"{done.execution_id}:0"] * 3)
    assert {name: hook.got[0][1][name] for name in ("rule_name", "message", "severity")} == {
        "rule_name": "water",
        "message": "m",
        "severity": "info",
    }
    assert hook.got[0][1]["trigger"]["value"] == 20


async def test_a_webhook_that_hangs_holds_up_no_command_and_makes_the_rule_not_back_off(world):
    hook = Hook(0, 0, *[503] * 4)  # the first try of each hangs; the second and third fail without a wait
    await world.started(logic_webhook_timeout_s=8, logic_webhook_networks=LOOPBACK)
    async with hooked(hook) as action:
        await world.rule(actions=[action, {"type": "sequence", "actions": [action, PUMP]}])
        await world.read(20)
        await until(lambda: world.requests, "the command is sent")
        assert [one.outcome for one in await world.executions()] in ([], ["running"]), "the webhook still hangs"
        [done] = await world.ended(1, within_s=60)
        assert [(one.path, one.state) for one in done.actions] == [("0", "failed"), ("1.0", "failed"), ("1.1", "done")]
        await world.read(40)
        await world.read(20)
        await until(lambda: len(world.requests) == 2, "it fires again at once")


async def test_a_webhook_that_is_refused_or_not_allowed_is_not_tried_again(world):
    hook = Hook(404)
    await world.started(logic_webhook_hosts='["127.0.0.1"]')
    async with hooked(hook) as action:
        elsewhere = {**TELL, "webhook_url": "http://localhost:1/x"}
        await world.rule(actions=[action, elsewhere])
        await world.read(20)
        [done] = await world.ended(1)
    assert [one.detail for one in done.actions] == [
        "webhook of 127.0.0.1: status 404",
        "webhooks to localhost are not allowed",
    ]
    assert len(hook.got) == 1


async def test_a_webhook_does_not_reach_this_machine_unless_its_network_is_listed(world):
    hook = Hook()
    await world.started()
    async with hooked(hook) as action:
        spellings = [f"http://{host}:{hook.port}/hook" for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]")]
        await world.rule(actions=[{**action, "webhook_url": url} for url in spellings])
        await world.read(20)
        [done] = await world.ended(1)
    assert [(one.state, "is not public" in (one.detail or "")) for one in done.actions] == [("failed", True)] * 3
    assert hook.got == []


async def test_while_it_may_not_read_which_devices_were_away_it_answers_says_so_and_evaluates_nothing(
    postgres_factory, tmp_path, free_port
):
    """The bus has the users of an older version, as in an upgrade in the wrong order; then it reads the new ones."""
    secret_files.make(secrets := tmp_path / "secrets")
    rights = (secured.DEPLOY / "nats/users.conf").read_text()
    rights = rights.replace("users: [", 'users: [\n    { user: "test", password: $doctor_password }', 1)
    before, of_logic, after = re.split(r'(?s)(user: "logic".*?(?=user:))', rights, maxsplit=1)
    older = before + re.sub(r".*KV_devices.*\n", "", of_logic) + after
    assert len(older) < len(rights)
    database = postgres_factory()
    migrate_database(CommonSettings(database_url=database.url))
    with secured.nats_server(tmp_path / "bus", secrets, free_port(), free_port(), users=older) as server:
        url, password = f"nats://127.0.0.1:{server.port}", server.secret("nats-doctor")
        as_test = {"nats_user": "test", "nats_password": password, "nats_inbox_prefix": "_INBOX.websocket-gateway"}
        async with open_world(url, database.url, tmp_path, **as_test) as world:
            await apply(world.bus)
            world.start(
                nats_user="logic",
                nats_password_file=secrets / "nats-logic",
                nats_inbox_prefix="_INBOX.logic",
            )
            status = await until(lambda: _status(world.bus, "bucket devices"), "it holds the lease", 60.0)
            assert not status.ready
            assert "KV_devices is not read yet" in status.checks["bucket devices"]
            rule = await world.added_rule()
            assert [one.rule_id for one in (await world.ask("list", RulesQuery(), RulesPage)).items] == [rule.rule_id]
            with pytest.raises(RpcError) as refused:
                await world.ask("test", TestRule(rule_id=rule.rule_id, request=TestRequest()), TestResult)
            assert refused.value.problem.status == 503
            await world.read(20)
            assert not world.commands
            allowed_at = now_ms()
            (tmp_path / "bus/kaiser/users.conf").write_text(rights)
            server.reread()
            await until(lambda: len(world.commands) == 1, "the rule fires", 60.0)
            (execution,) = await world.ended(1)
            assert execution.started_at >= allowed_at, "nothing was evaluated before"
            assert (await _status(world.bus, "bucket devices")).checks["bucket devices"] == "ok"


async def _status(bus: Bus, check: str) -> ReplicaStatus | None:
    """Ask logic for its status; None while it does not answer, or has no such check."""
    try:
        answer = await bus.client.request(STATUS_SUBJECT, timeout=5)
    except NatsError:  # it does not answer yet
        return None
    status = ReplicaStatus.model_validate_json(answer.data)
    return status if check in status.checks else None
