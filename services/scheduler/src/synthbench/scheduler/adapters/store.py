"""The scheduler's schema: submissions, rollouts, attempts. Each method is one transaction with its outbox."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Jsonb

from synthbench.chassis.outbox import Outbox
from synthbench.contracts.events import TaskAccepted, TaskSubmitted
from synthbench.contracts.model import Record
from synthbench.contracts.records import FieldError, Priority, Rollout, TaskInfo
from synthbench.contracts.registry import OPERATOR
from synthbench.scheduler.domain.attempts import Lease, RolloutState
from synthbench.scheduler.domain.planning import Plan
from synthbench.storage.database import Connection, Database
from synthbench.storage.pages import Listing
from synthbench.storage.queries import Queries

SQL = Queries.load("synthbench.scheduler.adapters")
_PRIORITY = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}


@dataclass(frozen=True)
class LockedRollout:
    """A rollout whose row this transaction holds."""

    rollout: Rollout
    state: RolloutState
    attempts: int
    submission_cost_microusd: int
    lease: Lease | None
    lease_started: bool = False
    released: bool = False
    """Whether the executor of the open attempt gave it back."""
    paused: str = ""
    """Why nothing of its campaign may run now."""
    campaign_cost_microusd: int | None = None
    campaign_epoch: int = 0


class SchedulerStore:
    """All SQL of the scheduler goes through here."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator["SchedulerTransaction"]:
        """State and events go out together, or neither does."""
        async with self._database.connection() as connection:
            yield SchedulerTransaction(connection, self._outbox)

    async def page(
        self,
        listing: Listing,
        where: Mapping[str, object],
        cursor: str | None,
        limit: int,
        *also: sql.Composable,
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Read a page of a list for the HTTP API, and the cursor of the next one.

        Raises:
            BadCursor: the cursor is none.
        """
        return await listing.page(self._database, where, cursor, limit, *also)

    async def rows(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        """Read rows for the HTTP API."""
        async with self._database.connection() as connection:
            return await (await connection.execute(SQL[query], parameters)).fetchall()


class SchedulerTransaction:
    """One transaction."""

    def __init__(self, connection: Connection, outbox: Outbox) -> None:
        self._connection = connection
        self._outbox = outbox

    async def announce(
        self,
        body: Record,
        *,
        id: UUID | None = None,  # noqa: A002 - the event's id, as in Outbox.add
        trace: dict[str, str] | None = None,
    ) -> None:
        """Put an event into the outbox."""
        await self._outbox.add(self._connection, body, id=id, trace=trace)

    async def announce_again(self, id: UUID) -> None:  # noqa: A002 - as above
        """Publish an old event once more, if that was long ago."""
        await self._outbox.again(self._connection, id)

    async def execute(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        """Run a named statement; return its rows."""
        cursor = await self._connection.execute(SQL[query], parameters)
        return await cursor.fetchall() if cursor.description else []

    async def submitter_of(self, submission_id: UUID) -> str | None:
        """Who submitted this; None if nobody did."""
        rows = await self.execute("submitter_of", submission_id=submission_id)
        return rows[0]["submitter"] if rows else None

    async def within_rights(self, submitter: str, wanted: TaskSubmitted, plan: Plan) -> Plan:
        """Refuse to submit into a campaign whose cap is another client's, or to cap what others submit into."""
        if submitter == OPERATOR:
            return plan
        (found,) = await self.execute("campaign_rights", campaign=wanted.campaign, submitter=submitter)
        problems: list[FieldError] = []
        if found["owner"] not in (None, submitter):
            problems.append(FieldError(field="campaign", message=f"{wanted.campaign} is another submitter's"))
        elif wanted.campaign_cost_microusd is not None and found["owner"] is None and found["shared"]:
            why = f"others submit into {wanted.campaign}, too; name a campaign of your own"
            problems.append(FieldError(field="campaign_cost_microusd", message=why))
        return replace(plan, errors=(*plan.errors, *problems)) if problems else plan

    async def add_submission(
        self, submission_id: UUID, submitter: str, wanted: TaskSubmitted, task: TaskInfo | None, plan: Plan
    ) -> bool:
        """Keep a submission, accepted or rejected; False if it is known already."""
        rejected = bool(plan.errors)
        rows = await self.execute(
            "insert_submission",
            submission_id=submission_id,
            submitter=submitter,
            campaign=wanted.campaign,
            body=Jsonb(wanted.to_dict()),
            task=Jsonb(task.to_dict()) if task else None,
            pool=plan.pool or None,
            state="rejected" if rejected else "open",
            errors=Jsonb([error.to_dict() for error in plan.errors]),
            max_cost=wanted.max_cost_microusd,
        )
        if not rows:
            return False
        if rejected or task is None:
            return True
        if wanted.campaign_cost_microusd is not None:
            await self.execute(
                "set_campaign_cap", campaign=wanted.campaign, cap=wanted.campaign_cost_microusd, owner=submitter
            )
        async with self._connection.cursor() as cursor:
            await cursor.executemany(
                SQL["insert_rollout"],
                [
                    {
                        "rollout_id": rollout.rollout_id,
                        "submission_id": submission_id,
                        "campaign": rollout.campaign,
                        "body": Jsonb(rollout.model_dump(mode="json", exclude={"scaffold_args"})),
                        "pool": rollout.pool,
                        "priority": _PRIORITY[rollout.priority],
                    }
                    for rollout in plan.rollouts
                ],
            )
        return True

    async def finish_submission(self, submission_id: UUID) -> None:
        """End a submission, if nothing of it can still move.

        One after the other: of two that end its last two rollouts at the same time neither would see the other's.
        """
        await self.execute("lock_submission", submission_id=submission_id)
        await self.execute("finish_submission", submission_id=submission_id)

    async def lock_rollout(self, rollout_id: UUID) -> LockedRollout | None:
        """Lock a rollout and its open attempt, if there is one."""
        rows = await self.execute("lock_rollout", rollout_id=rollout_id)
        if not rows:
            return None
        row = rows[0]
        open_attempts = await self.execute("open_attempt", rollout_id=rollout_id)
        lease = None
        if open_attempts:
            attempt = open_attempts[0]
            lease = Lease(attempt["attempt"], attempt["executor"], attempt["lease_expires"])
        return LockedRollout(
            rollout=Rollout.model_validate(row["body"]),
            state=RolloutState(row["state"]),
            attempts=row["attempts"],
            submission_cost_microusd=row["max_cost_microusd"],
            lease=lease,
            lease_started=bool(open_attempts and open_attempts[0]["started_at"]),
            released=bool(open_attempts and open_attempts[0]["released"]),
            paused=row["paused"] or "",
            campaign_cost_microusd=row["cost_cap_microusd"],
            campaign_epoch=row["campaign_epoch"],
        )


def accepted(submission_id: UUID, submitter: str, wanted: TaskSubmitted, task: TaskInfo, plan: Plan) -> TaskAccepted:
    """The event that answers a good submission."""
    return TaskAccepted(
        submission_id=submission_id,
        submitter=submitter,
        campaign=wanted.campaign,
        task=task,
        rollout_ids=[rollout.rollout_id for rollout in plan.rollouts],
        pool=plan.pool,
        simulated=plan.rollouts[0].simulated,
    )


def now() -> datetime:
    """The time, aware and in UTC."""
    return datetime.now(UTC)
