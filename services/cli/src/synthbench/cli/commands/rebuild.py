"""`rebuild`: make a lost bus again, from Postgres and the journal."""

import psycopg
from psycopg import sql

from synthbench.chassis.bus import Bus
from synthbench.chassis.topology import ensure_topology
from synthbench.cli import console
from synthbench.cli.operator import Operator, as_operator
from synthbench.contracts.journal import journal_event_id, read_journalled
from synthbench.storage.artifacts import ArtifactStore, key_uri

_OUTBOXES = ("scheduler", "catalogue", "ledger", "quality", "diversity")


async def rebuild() -> None:
    """Make what is missing of streams and consumers, and publish again what the record knows.

    Everything in the outboxes goes out once more, and every event of attempts whose journal is still there.
    Nobody counts twice: all consumers know what they have handled. What only the bus knew (a submission that no
    scheduler had read yet) is lost with it.
    """
    async with as_operator() as operator:
        report = await ensure_topology(operator.bus.js)
        console.say(f"streams and consumers: {len(report.created)} made, {len(report.unchanged)} were there")
        again = 0
        for schema in _OUTBOXES:
            again += await _outbox(operator, schema)
        console.say(f"outboxes: {again} events go out again")
        console.say(f"journal: {await _journals(operator.bus, operator.store)} events published again")


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
