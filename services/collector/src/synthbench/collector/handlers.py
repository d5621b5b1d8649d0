"""What the collector keeps of each event. Idempotent by natural key, each in its own transaction."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.types.json import Jsonb

from synthbench.chassis.consumer import Delivery
from synthbench.chassis.failpoints import failpoint
from synthbench.chassis.outbox import Outbox
from synthbench.chassis.telemetry import current_trace
from synthbench.collector.adapters.verdicts import apply_verdict
from synthbench.collector.domain.soundness import sound_json
from synthbench.contracts.events import (
    AttemptClosed,
    AttemptFinished,
    AttemptStarted,
    LlmCalled,
    StepRecorded,
    TaskAccepted,
    TrajectoryCurated,
    TrajectoryScored,
)
from synthbench.contracts.ids import derived_id
from synthbench.storage.database import Connection, Database
from synthbench.storage.queries import Queries

SQL = Queries.load("synthbench.collector.adapters")
AttemptKey = tuple[UUID, int]
StepKey = tuple[UUID, int, int]


@dataclass
class Closing:
    """What the finaliser waits for: `wake` is set when an attempt may have become complete."""

    wake: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: set[AttemptKey] = field(default_factory=set[AttemptKey])
    """Attempts that are closed, but miss steps."""


class Handlers:
    """The collector's reactions."""

    def __init__(self, database: Database, outbox: Outbox, closing: Closing) -> None:
        self._database = database
        self._outbox = outbox
        self._closing = closing

    async def on_steps(self, deliveries: Sequence[Delivery]) -> None:
        """Write a batch of steps; what contradicts an earlier step, or its own digest, is kept aside."""
        fresh, others, aside = _sorted_out(deliveries)
        async with self._database.connection() as connection:
            attempts = await self._lock(connection, fresh)
            wanted: list[_Dated] = []
            for key, attempt in sorted(attempts.items()):
                if attempt.stored:
                    others += fresh[key].values()
                else:
                    wanted += [(attempt.created_at, sent) for _, sent in sorted(fresh[key].items())]
            if await self._insert(connection, wanted) < len(wanted):
                others += [sent for _, sent in wanted]
            known = await self._known(connection, [sent.key for sent in others], attempts)
            for sent in others:
                there = known.get(sent.key)
                if there is None:
                    aside.append((sent.body, "it came after the attempt was closed and stored"))
                elif there != sent.body.step.digest:
                    aside.append((sent.body, f"another content is there already: {there}"))
            if aside:
                await connection.cursor().executemany(SQL["set_aside"], [_aside_row(*one) for one in aside])
        if not self._closing.waiting.isdisjoint(fresh):
            self._closing.wake.set()

    async def _insert(self, connection: Connection, wanted: Sequence["_Dated"]) -> int:
        """Write those that nobody wrote before; return how many these were."""
        if not wanted:
            return 0
        cursor = connection.cursor()
        await cursor.execute(SQL["make_incoming"])
        async with cursor.copy(SQL["copy_incoming"]) as copy:
            for at, one in wanted:
                await copy.write_row((at, *one.key, one.body.submission_id, one.body.step.digest, one.text.decode()))
        failpoint("collector.steps")
        await cursor.execute(SQL["take_incoming"])
        return cursor.rowcount

    async def _known(
        self, connection: Connection, keys: Sequence[StepKey], attempts: Mapping[AttemptKey, "_Attempt"]
    ) -> dict[StepKey, str]:
        if not keys:
            return {}
        rollouts, numbers, indices = map(list, zip(*keys, strict=True))
        dates = [attempts[key[:2]].created_at for key in keys]
        wanted = {"dates": dates, "rollouts": rollouts, "attempts": numbers, "indices": indices}
        rows = await (await connection.execute(SQL["digests_of_steps"], wanted)).fetchall()
        return {(row["rollout_id"], row["attempt"], row["index"]): row["digest"] for row in rows}

    async def _lock(self, connection: Connection, fresh: "_Steps") -> dict[AttemptKey, "_Attempt"]:
        """The attempts of these steps, made where nobody announced them so far.

        They stay locked until the transaction ends: the finaliser does not put one together meanwhile.
        """
        missing = {key: next(iter(steps.values())) for key, steps in fresh.items()}
        found: dict[AttemptKey, _Attempt] = {}
        while missing:
            for row in await (await connection.execute(SQL["lock_attempts"], _named(missing))).fetchall():
                key = (row["rollout_id"], row["attempt"])
                del missing[key]
                found[key] = _Attempt(row["created_at"], row["state"] == "stored")
            if missing:
                submissions = [sent.body.submission_id for sent in missing.values()]
                campaigns = [sent.body.campaign for sent in missing.values()]
                made = {**_named(missing), "submissions": submissions, "campaigns": campaigns}
                await connection.execute(SQL["insert_attempts"], made)
        return found

    async def on_calls(self, deliveries: Sequence[Delivery]) -> None:
        """Write a batch of model calls."""
        called = [body for d in deliveries if isinstance(body := d.envelope.body, LlmCalled)]
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.executemany(SQL["insert_llm_call"], [_call_row(body) for body in called])

    async def on_accepted(self, delivery: Delivery) -> None:
        """Keep a submission."""
        body = delivery.envelope.body
        assert isinstance(body, TaskAccepted)
        async with self._database.connection() as connection:
            await connection.execute(
                SQL["insert_submission"],
                {"submission_id": body.submission_id, "campaign": body.campaign, "body": body.model_dump_json()},
            )

    async def on_attempt(self, delivery: Delivery) -> None:
        """Keep what is said of an attempt; when it is closed, it can be put together."""
        body = delivery.envelope.body
        assert isinstance(body, AttemptStarted | AttemptFinished | AttemptClosed)
        query = {
            AttemptStarted: "upsert_started",
            AttemptFinished: "upsert_finished",
            AttemptClosed: "upsert_closed",
        }[type(body)]
        async with self._database.connection() as connection:
            await connection.execute(
                SQL[query],
                {
                    "rollout_id": body.rollout_id,
                    "attempt": body.attempt,
                    "submission_id": body.submission_id,
                    "campaign": body.campaign,
                    "body": body.model_dump_json(),
                    "trace": Jsonb(current_trace()),
                    "last": isinstance(body, AttemptClosed) and (body.last or body.counted),
                },
            )
            if isinstance(body, AttemptClosed) and body.counted:
                # Closed again, long after: nobody heard that its trajectory was stored.
                await self._outbox.again(connection, derived_id("trajectory.done", body.rollout_id, body.attempt))
        if isinstance(body, AttemptClosed):
            self._closing.wake.set()

    async def on_verdict(self, delivery: Delivery) -> None:
        """Keep what quality and diversity announce."""
        body = delivery.envelope.body
        assert isinstance(body, TrajectoryScored | TrajectoryCurated)
        async with self._database.connection() as connection:
            await connection.execute(
                SQL["keep_verdict"],
                {
                    "trajectory_id": body.trajectory_id,
                    "kind": "scored" if isinstance(body, TrajectoryScored) else "curated",
                    "body": body.model_dump_json(),
                },
            )
            await apply_verdict(connection, SQL, body)


def _named(attempts: Iterable[AttemptKey]) -> dict[str, list[Any]]:
    """Attempts as arrays of a query."""
    keys = list(attempts)
    return {"rollouts": [key[0] for key in keys], "attempts": [key[1] for key in keys]}


class _Attempt(NamedTuple):
    """What a step has to know of its attempt."""

    created_at: datetime
    stored: bool
    """Its trajectory is stored already: an outlived executor still sends."""


class _Sent(NamedTuple):
    """A sound step."""

    key: StepKey
    body: StepRecorded
    text: bytes
    """Its JSON."""


_Steps = dict[AttemptKey, dict[int, _Sent]]
"""Steps of attempts by their indices."""
_Dated = tuple[datetime, _Sent]
"""A step with `created_at` of its attempt."""
_Aside = tuple[StepRecorded, str]
"""A step that is kept aside, and why."""


def _sorted_out(deliveries: Sequence[Delivery]) -> tuple[_Steps, list[_Sent], list[_Aside]]:
    """Steps by their keys, those of the same key with other contents, and those that are not sound."""
    fresh: _Steps = {}
    others: list[_Sent] = []
    aside: list[_Aside] = []
    for delivery in deliveries:
        body = delivery.envelope.body
        assert isinstance(body, StepRecorded)
        text = sound_json(body.step, delivery.payload)
        if text is None:
            aside.append((body, "the content does not match its digest"))
            continue
        index = body.step.index
        sent = _Sent((body.rollout_id, body.attempt, index), body, text)
        there = fresh.setdefault(sent.key[:2], {}).setdefault(index, sent)
        if there.body.step.digest != body.step.digest:
            others.append(sent)
    return fresh, others, aside


def _aside_row(body: StepRecorded, reason: str) -> dict[str, object]:
    return {
        "rollout_id": body.rollout_id,
        "attempt": body.attempt,
        "index": body.step.index,
        "digest": body.step.digest,
        "body": body.step.model_dump_json(),
        "reason": reason,
    }


def _call_row(body: LlmCalled) -> dict[str, object]:
    return {
        "call_id": body.call_id,
        "rollout_id": body.rollout_id,
        "attempt": body.attempt,
        "submission_id": body.submission_id,
        "campaign": body.campaign,
        "route": body.route,
        "provider": body.provider,
        "model": body.model,
        "outcome": body.outcome,
        "status": body.status,
        "input_tokens": body.usage.input_tokens,
        "output_tokens": body.usage.output_tokens,
        "cost_microusd": body.usage.cost_microusd,
        "cost_known": body.usage.cost_known,
        "latency": body.latency_seconds,
        "started_at": body.started_at,
    }
