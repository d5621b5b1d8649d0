"""What the collector keeps of each event. Idempotent by natural key, each in its own transaction."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from psycopg.types.json import Jsonb

from synthbench.chassis.consumer import Delivery
from synthbench.chassis.failpoints import failpoint
from synthbench.chassis.outbox import Outbox
from synthbench.chassis.telemetry import current_trace
from synthbench.collector.adapters.verdicts import apply_verdict
from synthbench.collector.domain.assembly import sound
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
StepKey = tuple[UUID, int, int]


@dataclass
class Closing:
    """What the finaliser waits for: `wake` is set when an attempt may have become complete."""

    wake: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: set[tuple[UUID, int]] = field(default_factory=set[tuple[UUID, int]])
    """Attempts that are closed, but miss steps."""


class Handlers:
    """The collector's reactions."""

    def __init__(self, database: Database, outbox: Outbox, closing: Closing) -> None:
        self._database = database
        self._outbox = outbox
        self._closing = closing

    async def on_steps(self, deliveries: Sequence[Delivery]) -> None:
        """Write a batch of steps; what contradicts an earlier step, or its own digest, is kept aside."""
        recorded = [body for d in deliveries if isinstance(body := d.envelope.body, StepRecorded)]
        async with self._database.connection() as connection:
            known = await self._known(connection, recorded)
            stored = await self._stored(connection, recorded)
            fresh: dict[StepKey, StepRecorded] = {}
            aside: list[tuple[StepRecorded, str]] = []
            for body in recorded:
                key = (body.rollout_id, body.attempt, body.step.index)
                there = known.get(key) or (fresh[key].step.digest if key in fresh else None)
                if not sound(body.step):
                    aside.append((body, "the content does not match its digest"))
                elif there is None and key[:2] in stored:
                    aside.append((body, "it came after the attempt was closed and stored"))
                elif there is None:
                    fresh[key] = body
                elif there != body.step.digest:
                    aside.append((body, f"another content is there already: {there}"))
            async with connection.cursor() as cursor:
                failpoint("collector.steps")
                await cursor.executemany(SQL["insert_step"], [_step_row(body) for body in fresh.values()])
                await cursor.executemany(
                    SQL["set_aside"], [{**_step_row(body), "reason": reason} for body, reason in aside]
                )
        if any(key[:2] in self._closing.waiting for key in fresh):
            self._closing.wake.set()

    async def _known(self, connection: Connection, recorded: Sequence[StepRecorded]) -> dict[StepKey, str]:
        cursor = await connection.execute(
            SQL["digests_of_steps"],
            {
                "rollouts": [body.rollout_id for body in recorded],
                "attempts": [body.attempt for body in recorded],
                "indices": [body.step.index for body in recorded],
            },
        )
        rows = await cursor.fetchall()
        return {(row["rollout_id"], row["attempt"], row["index"]): row["digest"] for row in rows}

    async def _stored(self, connection: Connection, recorded: Sequence[StepRecorded]) -> set[tuple[UUID, int]]:
        """Attempts of these steps whose trajectory is stored already: an outlived executor still sends."""
        cursor = await connection.execute(
            SQL["stored_of"],
            {"rollouts": [body.rollout_id for body in recorded], "attempts": [body.attempt for body in recorded]},
        )
        return {(row["rollout_id"], row["attempt"]) for row in await cursor.fetchall()}

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


def _step_row(body: StepRecorded) -> dict[str, object]:
    return {
        "rollout_id": body.rollout_id,
        "attempt": body.attempt,
        "index": body.step.index,
        "submission_id": body.submission_id,
        "digest": body.step.digest,
        "body": body.step.model_dump_json(),
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
