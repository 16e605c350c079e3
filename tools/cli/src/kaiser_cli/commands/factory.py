"""The factory: modules and AGVs, orders, the store."""

from itertools import islice

import click
from kaiser_client.calls import factory as calls

from kaiser_cli.asking import options, signed_in
from kaiser_cli.output import at, show_facts, show_json, show_table

_MOST = 10_000


@click.group(invoke_without_command=True, short_help="The factory: its modules, orders and store.")
@options
@click.pass_context
def factory(context: click.Context, server: str | None, as_json: bool) -> None:
    """The environment in force, with every module and AGV in it. With --json, each module and AGV is a line, and the
    environment is left out.

    \b
    Examples:
      kaiser factory
      kaiser factory orders --state ERROR
      kaiser factory stock --json
    """
    if context.invoked_subcommand is not None:
        return
    with signed_in(server) as kaiser:
        environment = kaiser.ask(calls.read_environment())
        modules = list(kaiser.each(calls.list_factory_modules()))
    if as_json:
        for one in modules:
            show_json(one)
        return
    show_facts(
        (
            ("environment", f"{environment.env} ({environment.kind}), epoch {environment.epoch}"),
            ("broker", environment.broker),
            ("connected since", at(environment.connected_since) or "not connected"),
        )
    )
    rows = [
        (
            one.serial,
            one.type or one.kind,
            "silent" if one.silent else one.connection,
            one.availability,
            one.action.command if one.action else None,
            at(one.last_seen),
        )
        for one in modules
    ]
    show_table(("serial", "type", "connection", "availability", "action", "seen"), rows, "no module was seen yet")


@factory.command("orders")
@click.option("--state", help="Only those of a state, such as IN_PROGRESS or ERROR.")
@click.option("--limit", type=click.IntRange(1, _MOST), default=50, show_default=True, help="How many.")
@options
def orders(state: str | None, limit: int, server: str | None, as_json: bool) -> None:
    """Orders, the newest first.

    \b
    Example:
      kaiser factory orders --state ERROR
    """
    with signed_in(server) as kaiser:
        found = list(islice(kaiser.each(calls.list_factory_orders(state=state, limit=min(limit, 1000))), limit))
    if as_json:
        for one in found:
            show_json(one)
        return
    rows = [
        (
            one.order_id,
            one.type,
            one.state,
            f"{one.steps_done} of {one.steps_total}",
            at(one.received),
            one.workpiece_id,
        )
        for one in found
    ]
    show_table(("order", "type", "state", "steps", "received", "workpiece"), rows, "no order")


@factory.command("stock")
@options
def stock(server: str | None, as_json: bool) -> None:
    """The bays of every store.

    \b
    Example:
      kaiser factory stock
    """
    with signed_in(server) as kaiser:
        stores = kaiser.ask(calls.read_factory_stock()).items
    if as_json:
        for store in stores:
            show_json(store)
        return
    rows = [(store.hbw, bay.location, bay.type, bay.id) for store in stores for bay in store.bays]
    show_table(("store", "bay", "piece", "workpiece"), rows, "no stock was reported yet")
