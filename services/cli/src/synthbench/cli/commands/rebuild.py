"""`rebuild`: make a lost bus again from Postgres and the journal, or a lost catalogue from the artifact store."""

from typing import Any, Literal

import psycopg
from psycopg import sql

from synthbench.chassis.bus import Bus
from synthbench.chassis.topology import ensure_topology
from synthbench.cli import console
from synthbench.cli.attaching import services_api
from synthbench.cli.errors import CliError
from synthbench.cli.operator import Operator, as_operator
from synthbench.contracts.journal import journal_event_id, read_journalled
from synthbench.contracts.loose import as_list, as_object
from synthbench.storage.artifacts import ArtifactStore, key_uri

_OUTBOXES = ("scheduler", "catalogue", "ledger", "quality", "diversity")


async def rebuild(what: Literal["bus", "catalogue"] = "bus", /) -> int:
    """Make what was lost again.

    bus: what is missing of streams and consumers is made, everything in the outboxes goes out once more, and every
    event of attempts whose journal is still there. Nobody counts twice: all consumers know what they have handled.
    What only the bus knew (a submission that no scheduler had read yet) is lost with it.

    catalogue: what the artifact store knows of trajectories, attempts, calls and verdicts, and the tables do not, is
    put into them; then the steps of what is recent. Nothing that is there is changed.

    Args:
        what: bus or catalogue.
    """
    if what == "catalogue":
        return await _catalogue()
    async with as_operator() as operator:
        report = await ensure_topology(operator.bus.js, clients=operator.clients, pools=operator.pools)
        console.say(f"streams and consumers: {len(report.created)} made, {len(report.unchanged)} were there")
        again = 0
        for schema in _OUTBOXES:
            again += await _outbox(operator, schema)
        console.say(f"outboxes: {again} events go out again")
        console.say(f"journal: {await _journals(operator.bus, operator.store)} events published again")
    return 0


async def _catalogue() -> int:
    last: dict[str, Any] = {}
    async with services_api() as client:
        async for last in client.lines("/v1/rebuild", method="POST"):
            if "segments" in last and (last["segments"] % 100 == 0 or last["segments"] == last["of"]):
                console.say(f"{last['segments']} of {last['of']} segments read")
            elif "done" not in last and "trajectories" in last:
                console.say(f"{last['trajectories']} trajectories read")
    if not last.get("done"):
        raise CliError(f"the catalogue is not whole: {last.get('error', 'the collector broke off')}; run it again")
    rows = ", ".join(f"{count} {table}" for table, count in as_object(last.get("rows")).items() if count)
    console.say(f"put into the catalogue: {rows or 'nothing, all was there'}; {last['trajectories']} trajectories read")
    for problem in as_list(last.get("unreadable")):
        console.say(str(problem))
    return 1 if last["unreadable"] else 0


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
