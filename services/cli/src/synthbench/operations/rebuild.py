"""A lost bus made again from Postgres and the journal."""

import psycopg
from psycopg import sql

from synthbench.chassis.bus import Bus
from synthbench.chassis.topology import ensure_topology
from synthbench.client.waiting import Say, say_nothing
from synthbench.contracts.journal import journal_event_id, read_journalled
from synthbench.operations.operator import Operator
from synthbench.storage.artifacts import ArtifactStore, key_uri

_OUTBOXES = ("scheduler", "catalogue", "ledger", "quality", "diversity")


async def rebuild_bus(operator: Operator, say: Say = say_nothing) -> None:
    """Make missing streams and consumers, and publish outboxes and journals again.

    Consumers know what they have handled, so that nothing counts twice.

    Args:
        operator: of the stack.
        say: takes what was done.
    """
    report = await ensure_topology(operator.bus.js, clients=operator.clients, pools=operator.pools)
    say(f"streams and consumers: {len(report.created)} made, {len(report.unchanged)} were there")
    again = 0
    for schema in _OUTBOXES:
        again += await _outbox(operator, schema)
    say(f"outboxes: {again} events go out again")
    say(f"journal: {await _journals(operator.bus, operator.store)} events published again")


async def _outbox(operator: Operator, schema: str) -> int:
    async with await psycopg.AsyncConnection.connect(operator.dsn.get_secret_value()) as connection:
        table = sql.Identifier(schema, "outbox")
        done = await connection.execute(sql.SQL("update {} set published_at = null").format(table))
        await connection.execute("select pg_notify(%s, '')", [f"outbox_{schema}"])
        return done.rowcount


async def _journals(bus: Bus, store: ArtifactStore) -> int:
    count = 0
    async for key in store.list("journal/"):
        event = read_journalled(key, await store.get(key_uri(key)))
        await bus.publish(event, id=journal_event_id(event), timeout=30.0)
        count += 1
    return count
