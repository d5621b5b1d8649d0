"""The table `rollouts`."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from psycopg.types.json import Jsonb

from synthbench.contracts.events import CancelRequested
from synthbench.contracts.records import Priority, Rollout
from synthbench.scheduler.adapters.tables.table import PACKAGE, Table
from synthbench.scheduler.domain.attempts import AttemptLease, CloseDecision, RolloutState
from synthbench.storage.queries import Queries

_PRIORITY = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}


@dataclass(frozen=True)
class LockedRollout:
    """A rollout whose row this transaction holds."""

    rollout: Rollout
    state: RolloutState
    attempts: int
    """How many attempts it had."""
    submission_cost_microusd: int
    """Cap over all attempts of its submission."""
    lease: AttemptLease | None
    """The lease of its open attempt; None where no attempt is open."""
    lease_started: bool = False
    """Whether the open attempt was announced as started."""
    released: bool = False
    """Whether the executor of the open attempt gave it back."""
    paused: str = ""
    """Why nothing of its campaign may run now; empty where it may."""
    campaign_cost_microusd: int | None = None
    """Cap over everything that its campaign spends; None for no cap."""
    campaign_epoch: int = 0
    """Grows whenever that cap is set anew."""


@dataclass(frozen=True)
class PlannedRollout:
    """A rollout that goes onto the ready queue."""

    rollout: Rollout
    ready_count: int
    """How often it was put there, this time included."""


class Rollouts(Table):
    """Rollouts and where they stand."""

    statements = Queries.load(PACKAGE, "rollouts.sql")

    async def add(self, rollouts: Iterable[Rollout]) -> None:
        """Keep the rollouts of a submission. Their scaffold's arguments may be large, and are kept once, with it."""
        rows = [
            {
                "rollout_id": rollout.rollout_id,
                "submission_id": rollout.submission_id,
                "campaign": rollout.campaign,
                "body": Jsonb(rollout.model_dump(mode="json", exclude={"scaffold_args"})),
                "pool": rollout.pool,
                "priority": _PRIORITY[rollout.priority],
            }
            for rollout in rollouts
        ]
        async with self._connection.cursor() as cursor:
            await cursor.executemany(self.statements["insert"], rows)

    async def lock(self, rollout_id: UUID) -> LockedRollout | None:
        """Lock a rollout, then its open attempt, if there is one."""
        row = await self._row("lock", rollout_id=rollout_id)
        if row is None:
            return None
        attempt = await self._row("lock_open_attempt", rollout_id=rollout_id)
        return LockedRollout(
            rollout=Rollout.model_validate(row["body"]),
            state=RolloutState(row["state"]),
            attempts=row["attempts"],
            submission_cost_microusd=row["max_cost_microusd"],
            lease=AttemptLease(attempt["attempt"], attempt["executor"], attempt["lease_expires"]) if attempt else None,
            lease_started=bool(attempt and attempt["started_at"]),
            released=bool(attempt and attempt["released"]),
            paused=row["paused"] or "",
            campaign_cost_microusd=row["cost_cap_microusd"],
            campaign_epoch=row["campaign_epoch"],
        )

    async def mark_running(self, rollout_id: UUID, attempt: int) -> tuple[str, float]:
        """Note that an attempt runs; return the pool, and the seconds from when the rollout might run until now."""
        (row,) = await self._rows("mark_running", rollout_id=rollout_id, attempt=attempt)
        return row["pool"], max(0.0, row["waited"])

    async def settle(self, rollout_id: UUID, decision: CloseDecision) -> None:
        """Set the state that follows from the end of an attempt."""
        retry_after = decision.retry_after or 0.0
        await self._rows("settle", rollout_id=rollout_id, state=decision.state, retry_after=retry_after)

    async def mark_curated(self, rollout_id: UUID) -> UUID | None:
        """Note that its trajectory is curated; return its submission, None if that is known already."""
        row = await self._row("mark_curated", rollout_id=rollout_id)
        return row["submission_id"] if row else None

    async def cancel(self, request: CancelRequested, submitter: str | None) -> list[UUID]:
        """Cancel what is not at its end yet; return the submissions of which something was cancelled.

        Args:
            request: names a rollout, a submission or a campaign.
            submitter: whose rollouts may be cancelled; None for everybody's.
        """
        rows = await self._rows(
            "cancel",
            rollout_id=request.rollout_id,
            submission_id=request.submission_id,
            campaign=request.campaign,
            submitter=submitter,
        )
        return sorted({row["submission_id"] for row in rows})

    async def fail_waiting_of_task(self, digest: str) -> list[UUID]:
        """Give up the rollouts of a task that wait; return their submissions."""
        return sorted({row["submission_id"] for row in await self._rows("fail_waiting_of_task", digest=digest)})

    async def fail_waiting_of_submission(self, submission_id: UUID) -> None:
        """Give up the rollouts of a submission that wait."""
        await self._rows("fail_waiting_of_submission", submission_id=submission_id)

    async def lock_feeder(self) -> bool:
        """Become the only replica that feeds until the transaction ends; False if another one is at it."""
        (row,) = await self._rows("feeder_lock")
        return row["mine"]

    async def pools_waiting(self) -> list[str]:
        """Return the pools for which some rollout waits that may run now."""
        return [row["pool"] for row in await self._rows("pools_waiting")]

    async def count_ready(self) -> dict[str, int]:
        """Count the rollouts on the ready queue, by pool."""
        return {row["pool"]: row["ready"] for row in await self._rows("count_ready")}

    async def take_planned(self, pool: str, limit: int) -> list[PlannedRollout]:
        """Mark up to `limit` planned rollouts of a pool as ready, the most urgent first, and return them."""
        rows = await self._rows("take_planned", pool=pool, limit=limit)
        return [PlannedRollout(Rollout.model_validate(row["body"]), row["ready_count"]) for row in rows]

    async def put_back(self, rollout_id: UUID) -> None:
        """Let a rollout wait in Postgres that was on the ready queue."""
        await self._rows("put_back", rollout_id=rollout_id)

    async def put_back_overdue(self, seconds: float) -> int:
        """Let rollouts go onto the ready queue again that are there for longer than this; return how many."""
        return len(await self._rows("put_back_overdue", seconds=seconds))

    async def overdue_closed(self, seconds: float) -> list[tuple[UUID, int]]:
        """Return rollouts, each with its counted attempt, that were closed so long ago and are not curated."""
        rows = await self._rows("overdue_closed", seconds=seconds)
        return [(row["rollout_id"], row["attempt"]) for row in rows]

    async def touch(self, rollout_id: UUID) -> None:
        """Begin anew to count the time for which a rollout stands where it stands."""
        await self._rows("touch", rollout_id=rollout_id)
