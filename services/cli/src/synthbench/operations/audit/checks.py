"""Invariants of database, bus and data folder; each becomes a finding with the culprits that break it."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from synthbench.contracts.registry import Service, Stream, durable, durables
from synthbench.contracts.streams import streams
from synthbench.operations.audit.findings import CULPRITS, RECORD, Finding
from synthbench.storage.queries import Queries
from synthbench.storage.walk import files_below

ALWAYS = Queries.load("synthbench.operations.audit", "invariants.sql")
SETTLED = Queries.load("synthbench.operations.audit", "settled.sql")
_CALLS_AGREE = "ledger and catalogue know the same model calls"


async def calls_on_their_way(connection: psycopg.AsyncConnection[Any], js: JetStreamContext) -> int:
    """Return how many model calls the ledger announced that the catalogue has not taken in yet."""
    row = await (await connection.execute(RECORD["announced_calls"])).fetchone()
    waiting = row["waiting"] if row else 0
    collector = durable(Service.COLLECTOR, "llm.called")
    try:
        info = await js.consumer_info(str(collector.stream), collector.name)
    except NotFoundError:
        return waiting
    return waiting + (info.num_pending or 0) + (info.num_ack_pending or 0)


def unless_settling(finding: Finding, on_their_way: int) -> Finding:
    """Return the finding, without culprits where model calls that are on their way mend it by themselves."""
    if finding.held or finding.invariant != _CALLS_AGREE or not on_their_way:
        return finding
    return replace(finding, culprits=(), note=f"not settled yet: {on_their_way} calls are on their way")


async def check_database(connection: psycopg.AsyncConnection[Any], queries: Queries) -> AsyncGenerator[Finding]:
    """Run one query for each invariant; its rows are the culprits, and its name is the invariant."""
    for name in queries:
        rows = await (await connection.execute(queries[name])).fetchmany(CULPRITS)
        yield Finding(name.replace("_", " "), [str(next(iter(row.values()))) for row in rows])


async def check_bus(
    js: JetStreamContext, clients: Sequence[str], pools: Sequence[str], *, settled: bool
) -> AsyncGenerator[Finding]:
    """Look for missing streams and consumers; where all is settled, for waiting events, too."""
    missing: list[str] = []
    waiting: list[str] = []
    for stream in (spec.name for spec in streams(clients, pools)):
        try:
            await js.stream_info(stream)
        except NotFoundError:
            missing.append(f"stream {stream}")
    for one in durables(clients, pools):
        try:
            found = await js.consumer_info(str(one.stream), one.name)
        except NotFoundError:
            missing.append(f"consumer {one.name}")
            continue
        if found.num_pending or found.num_ack_pending:
            waiting.append(f"{one.name}: {found.num_pending} wait, {found.num_ack_pending} in hand")
    yield Finding("the bus has every stream and consumer", missing)
    if settled:
        yield Finding("no event waits on the bus", waiting)
    dead = 0 if f"stream {Stream.DEAD}" in missing else (await js.stream_info(Stream.DEAD)).state.messages
    yield Finding("no event vanished: what could not be handled is a dead letter", note=f"{dead} dead letters")


def check_secrets(data: Path, values: Sequence[str]) -> Finding:
    """Look for the secrets of a stack in its artifacts, its logs and the files of its bus; blocks."""
    found: list[str] = []
    wanted = [value.encode() for value in values]
    for top in ("artifacts", "logs", "nats/jetstream"):
        for path in files_below(data / top):
            try:
                content = path.read_bytes()
            except OSError:
                continue
            if any(value in content for value in wanted):
                found.append(str(path.relative_to(data)))
    return Finding("no secret is in an artifact, an event or a log", found[:CULPRITS])
