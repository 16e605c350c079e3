"""Wiring of logic: the holder of the lease evaluates and answers, the other replicas stand by and store."""

from functools import partial

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.lease import Lease
from kaiser_common.contract.subjects import LEASE_BUCKET
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.database import DatabasePool, wait_for_schema
from kaiser_common.runtime.loops import beside, leader, unless_stopped
from kaiser_common.runtime.service import Service, run
from kaiser_common.runtime.wiring import connections

from kaiser_logic.consumers.evaluation import EvaluationHolder
from kaiser_logic.consumers.executions import ExecutionMessages
from kaiser_logic.handlers import answer, consume
from kaiser_logic.jobs.retention import keep_retention
from kaiser_logic.publish.events import EventPublisher
from kaiser_logic.publish.webhooks import Webhooks
from kaiser_logic.settings import LogicSettings
from kaiser_logic.store.rule_cache import RuleCache

_DATABASE_WITHIN_S = 3.0
"""Shorter than a caller waits, so a caller gets a 503 that names the database."""


def main() -> None:
    """Run the logic service until it is stopped."""
    run("logic", LogicSettings, work)


async def work(service: Service, settings: LogicSettings) -> None:
    """Store what rules did; evaluate whenever the lease is ours. Neither needs the database to begin."""
    hosts, networks = settings.logic_webhook_hosts, settings.logic_webhook_networks
    async with (
        connections(service, settings, database_within_s=_DATABASE_WITHIN_S, with_schema=False) as (bus, pool),
        Webhooks.open(hosts, settings.logic_webhook_timeout_s, networks) as webhooks,
    ):
        rules, publisher = RuleCache(bus), EventPublisher(bus)
        evaluation = EvaluationHolder(
            service, bus, pool, rules, publisher, webhooks, partial(Broker, bus, service, settings), answer, settings
        )
        async with beside(
            rules=rules.keep(),
            events=publisher.run(),
            executions=store_executions(service, settings, bus, pool),
            retention=keep_retention(pool, settings.logic_retention_days),
        ):
            if await unless_stopped(service, rules.ready()):
                await leader(service, Lease(bus, "logic", LEASE_BUCKET.ttl_s or 5.0), evaluation.until)


async def store_executions(service: Service, settings: LogicSettings, bus: Bus, pool: DatabasePool) -> None:
    """Store what rules did, in every replica, until cancelled."""
    await wait_for_schema(pool, "logic")
    broker = Broker(bus, service, settings)
    consume(broker, bus, ExecutionMessages(pool))
    async with broker.serving():
        await service.stopping.wait()
