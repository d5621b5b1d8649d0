"""Work that waits for something that will not come: lost events, pools without an executor, ids that nobody keeps."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import psycopg
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from synthbench.contracts.records import DEFAULT_POOLS
from synthbench.contracts.registry import Service, durables, durables_of
from synthbench.operations.audit.findings import CULPRITS, Finding
from synthbench.storage.queries import Queries

_WAITING = Queries.load("synthbench.operations.audit", "stuck_work.sql")
_LOOKS, _LOOK_SECONDS = 8, 0.25
"""An executor asks its consumers in turn: one that serves a pool is seen within two seconds."""
_TITLES = {
    "open_without_anything_under_way": "of every open submission something is under way",
    "announced_and_never_read": "whoever an event is for has read it, or has it to read",
    "named_and_kept_by_nobody": "every id that is named is kept by its owner",
}
"""The invariant of each query of `stuck_work.sql`."""


async def check_stuck_work(
    connection: psycopg.AsyncConnection[Any],
    js: JetStreamContext,
    clients: Sequence[str],
    pools: Sequence[str] = DEFAULT_POOLS,
) -> AsyncGenerator[Finding]:
    """Look for rows that wait for a message which no consumer has, and for pools that nobody serves."""
    for name in _WAITING:
        yield Finding(_TITLES[name], (await _without_message(connection, js, name, clients, pools))[:CULPRITS])
    yield Finding("somebody serves each pool in which work waits", await _unserved(js, pools))


async def _without_message(
    connection: psycopg.AsyncConnection[Any],
    js: JetStreamContext,
    name: str,
    clients: Sequence[str],
    pools: Sequence[str],
) -> list[str]:
    """Return the culprits for whom no consumer has a message, asked twice: a message may come in between."""
    first = await _rows(connection, name)
    if not first:
        return []
    busy: set[str] = set()
    for durable in durables(clients, pools):
        try:
            found = await js.consumer_info(durable.stream, durable.name)
        except NotFoundError:
            continue  # another finding says so
        if found.num_pending or found.num_ack_pending:
            busy.add(durable.name)
    again = await _rows(connection, name)
    return sorted(one for one in first if one in again and not busy.intersection(first[one].split(",")))


async def _rows(connection: psycopg.AsyncConnection[Any], name: str) -> dict[str, str]:
    rows = await (await connection.execute(_WAITING[name])).fetchall()
    return {row["culprit"]: row["readers"] for row in rows}


async def _unserved(js: JetStreamContext, pools: Sequence[str]) -> list[str]:
    """Return the pools whose queues have messages, none of them in hand, and nobody who asks for them."""
    suspects = {pool: await _queued(js, pool, pools) for pool in pools}
    for _ in range(_LOOKS):
        if not any(suspects.values()):
            return []
        await asyncio.sleep(_LOOK_SECONDS)
        suspects = {pool: await _queued(js, pool, pools) if count else 0 for pool, count in suspects.items()}
    return [
        f"pool {pool}: {count} rollouts wait, and no executor asks for them"
        for pool, count in suspects.items()
        if count
    ]


async def _queued(js: JetStreamContext, pool: str, pools: Sequence[str]) -> int:
    """Return how many rollouts wait in a pool that nobody seems to serve; 0 where an executor works, in any pool."""
    waits = 0
    for durable in durables_of(Service.EXECUTOR, "task.ready", pools=pools):
        try:
            found = await js.consumer_info(durable.stream, durable.name)
        except NotFoundError:
            continue
        if found.num_ack_pending:  # an executor may have its hands full with another pool
            return 0
        if f".{pool}." in durable.subject:
            if found.num_waiting:
                return 0
            waits += found.num_pending or 0
    return waits
