"""Stores events other than steps: submissions, attempts, model calls, verdicts."""

from collections.abc import Iterable
from typing import Any

from psycopg.types.json import Jsonb

from synthbench.chassis.telemetry import current_trace
from synthbench.collector.adapters.trajectories import apply_verdict
from synthbench.contracts.events import (
    AttemptClosed,
    AttemptFinished,
    AttemptStarted,
    LlmCalled,
    TaskAccepted,
    TrajectoryCurated,
    TrajectoryScored,
)
from synthbench.contracts.ids import derived_id
from synthbench.storage.database import Database
from synthbench.storage.outbox import Outbox
from synthbench.storage.queries import Queries

_SQL = Queries.load("synthbench.collector.adapters", "events.sql")


class EventStore:
    """Writes each event in a transaction of its own; an event that comes again changes nothing."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def keep_submission(self, event: TaskAccepted) -> None:
        """Store a submission with the ids of its rollouts."""
        row = {"submission_id": event.submission_id, "campaign": event.campaign, "body": event.model_dump_json()}
        async with self._database.connection() as connection:
            await connection.execute(_SQL["insert_submission"], row)

    async def keep_started(self, event: AttemptStarted) -> None:
        """Store what an executor said when it began; the first report of an attempt stays."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["upsert_started"], _attempt_row(event))

    async def keep_finished(self, event: AttemptFinished) -> None:
        """Store an executor's report on an attempt; the first one stays."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["upsert_finished"], _attempt_row(event))

    async def keep_closed(self, event: AttemptClosed) -> None:
        """Store how an attempt was closed, so that the finaliser takes it; its trace is the current one.

        Where a counted attempt is closed again long after, nobody heard that its trajectory was stored:
        `trajectory.done` is announced once more.
        """
        row = {**_attempt_row(event), "trace": Jsonb(current_trace()), "last": event.last or event.counted}
        async with self._database.connection() as connection:
            await connection.execute(_SQL["upsert_closed"], row)
            if event.counted:
                await self._outbox.again(connection, derived_id("trajectory.done", event.rollout_id, event.attempt))

    async def keep_calls(self, events: Iterable[LlmCalled]) -> None:
        """Store a batch of model calls in one transaction."""
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.executemany(_SQL["insert_llm_call"], [_call_row(event) for event in events])

    async def keep_verdict(self, event: TrajectoryScored | TrajectoryCurated) -> None:
        """Store a verdict, and apply it to the trajectory's row where that is there already."""
        row = {
            "trajectory_id": event.trajectory_id,
            "kind": "scored" if isinstance(event, TrajectoryScored) else "curated",
            "body": event.model_dump_json(),
        }
        async with self._database.connection() as connection:
            await connection.execute(_SQL["keep_verdict"], row)
            await apply_verdict(connection, event)


def _attempt_row(event: AttemptStarted | AttemptFinished | AttemptClosed) -> dict[str, Any]:
    return {
        "rollout_id": event.rollout_id,
        "attempt": event.attempt,
        "submission_id": event.submission_id,
        "campaign": event.campaign,
        "body": event.model_dump_json(),
    }


def _call_row(event: LlmCalled) -> dict[str, Any]:
    return {
        "call_id": event.call_id,
        "rollout_id": event.rollout_id,
        "attempt": event.attempt,
        "submission_id": event.submission_id,
        "campaign": event.campaign,
        "route": event.route,
        "provider": event.provider,
        "model": event.model,
        "outcome": event.outcome,
        "status": event.status,
        "input_tokens": event.usage.input_tokens,
        "output_tokens": event.usage.output_tokens,
        "cost_microusd": event.usage.cost_microusd,
        "cost_known": event.usage.cost_known,
        "latency": event.latency_seconds,
        "started_at": event.started_at,
    }
