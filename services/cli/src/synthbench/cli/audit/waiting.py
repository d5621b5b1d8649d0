"""What waits for something that will not come: dead letters, lost events, pools without an executor, ids of nobody."""

import asyncio
import base64
from collections.abc import AsyncGenerator, Sequence
from typing import Any
from uuid import UUID

import psycopg
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from synthbench.chassis.bus import Bus
from synthbench.chassis.dead import KeptLetter, list_dead
from synthbench.cli.audit.checks import CULPRITS, Finding
from synthbench.contracts import cloudevents
from synthbench.contracts.cloudevents import MalformedEvent
from synthbench.contracts.events import CancelRequested, TaskSubmitted
from synthbench.contracts.model import Record
from synthbench.contracts.records import DEFAULT_POOLS
from synthbench.contracts.registry import Service, durables, durables_of
from synthbench.storage.artifacts import ArtifactStore
from synthbench.storage.errors import ArtifactCorrupt, ArtifactNotFound
from synthbench.storage.queries import Queries

_WAITING = Queries.load("synthbench.cli.audit", "waiting.sql")
_LOOKS, _LOOK_SECONDS = 8, 0.25
"""An executor asks its durables in turn: whoever serves a pool is seen within two seconds."""
_UNFINISHED = """
select r.rollout_id, r.submission_id, r.state from scheduler.rollouts r
where (r.rollout_id = any(%(rollouts)s) or r.submission_id = any(%(submissions)s))
  and r.state not in ('curated', 'failed', 'cancelled')
"""
_KNOWN = "select submission_id from scheduler.submissions where submission_id = any(%(submissions)s)"


async def waiting(
    connection: psycopg.AsyncConnection[Any],
    bus: Bus,
    store: ArtifactStore,
    clients: Sequence[str],
    pools: Sequence[str] = DEFAULT_POOLS,
) -> AsyncGenerator[Finding]:
    """Look for each kind."""
    for name in _WAITING:
        yield Finding(_TITLES[name], (await _without_message(connection, bus.js, name, clients, pools))[:CULPRITS])
    yield Finding("somebody serves each pool in which work waits", await _unserved(bus.js, pools))
    letters = [letter async for letter in list_dead(bus)]
    yield Finding(
        "no dead letter holds back work",
        (await _held_back(connection, store, letters))[:CULPRITS],
        f"{len(letters)} read",
    )


_TITLES = {
    "open_without_anything_under_way": "of every open submission something is under way",
    "announced_and_never_read": "whoever an event is for has read it, or has it to read",
    "named_and_kept_by_nobody": "every id that is named is kept by its owner",
}


async def _without_message(
    connection: psycopg.AsyncConnection[Any],
    js: JetStreamContext,
    name: str,
    clients: Sequence[str],
    pools: Sequence[str],
) -> list[str]:
    """Culprits for whom no consumer has a message. Asked twice: what came in between was no culprit."""
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
    """Pools whose queues have messages, none of them in hand, and nobody who asks for them."""
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
    """How many rollouts wait in a pool that seems to be served by nobody; 0 where somebody is at it, in any pool."""
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


async def _held_back(
    connection: psycopg.AsyncConnection[Any], store: ArtifactStore, letters: Sequence[KeptLetter]
) -> list[str]:
    """Letters about work that is not at its end, or that was never answered."""
    bodies = [(kept, await _body(store, kept)) for kept in letters]
    ids = {
        name: list({value for _, body in bodies if isinstance(value := getattr(body, f"{name}_id", None), UUID)})
        for name in ("rollout", "submission")
    }
    values = {"rollouts": ids["rollout"], "submissions": ids["submission"]}
    open_rows = await (await connection.execute(_UNFINISHED, values)).fetchall()
    rollouts = {row["rollout_id"]: row["state"] for row in open_rows}
    submissions = {row["submission_id"] for row in open_rows}
    known = {row["submission_id"] for row in await (await connection.execute(_KNOWN, values)).fetchall()}
    found: list[str] = []
    for kept, body in bodies:
        rollout, submission = getattr(body, "rollout_id", None), getattr(body, "submission_id", None)
        why = ""
        if isinstance(body, TaskSubmitted):
            why = "" if submission in known else "a submission was never answered"
        elif rollout is not None:
            why = f"rollout {rollout} is {rollouts[rollout]}" if rollout in rollouts else ""
        elif submission in submissions:
            why = f"submission {submission} is open"
        elif isinstance(body, CancelRequested) and body.campaign is not None:
            why = f"campaign {body.campaign} was not cancelled"
        if why:
            found.append(f"dead letter {kept.sequence} of {kept.letter.consumer}: {why}")
    return found


async def _body(store: ArtifactStore, kept: KeptLetter) -> Record | None:
    """The event of a letter; None for what is none: that was answered, or is nobody's work."""
    letter = kept.letter
    headers, payload = cloudevents.lowered(letter.headers), base64.b64decode(letter.payload)
    try:
        reference = cloudevents.reference_of(headers, payload)
        payload = await store.get(reference.uri) if reference else payload
        envelope = cloudevents.decode(
            letter.subject, headers, payload, sequence=lambda: letter.stream_sequence, stream=letter.stream
        )
    except (MalformedEvent, ArtifactNotFound, ArtifactCorrupt):
        return None
    if isinstance(envelope.body, TaskSubmitted) and envelope.body.submission_id is None:
        return envelope.body.model_copy(update={"submission_id": envelope.id})
    return envelope.body
