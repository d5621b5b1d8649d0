"""The table `attempts`."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from synthbench.contracts.rpc import Heartbeat, Release
from synthbench.scheduler.adapters.tables.table import PACKAGE, Table
from synthbench.scheduler.domain.attempts import CloseDecision, RolloutState
from synthbench.storage.queries import Queries


@dataclass(frozen=True)
class ExpiredAttempt:
    """An open attempt whose lease ran out."""

    rollout_id: UUID
    attempt: int
    executor: str


class Attempts(Table):
    """Attempts, their leases and how they ended."""

    statements = Queries.load(PACKAGE, "attempts.sql")

    async def add(self, rollout_id: UUID, attempt: int, executor: str, *, lease: float, seconds: float) -> datetime:
        """Open an attempt; return its deadline.

        Args:
            rollout_id: of its rollout, which is locked.
            attempt: its number.
            executor: which runs it.
            lease: seconds until the lease runs out without a heartbeat.
            seconds: until the deadline.
        """
        (row,) = await self._rows(
            "insert", rollout_id=rollout_id, attempt=attempt, executor=executor, lease=lease, seconds=seconds
        )
        return row["deadline"]

    async def renew(self, rollout_id: UUID, attempt: int, lease: float) -> datetime:
        """Let the lease of an open attempt last `lease` seconds from now; return its deadline."""
        (row,) = await self._rows("renew", rollout_id=rollout_id, attempt=attempt, lease=lease)
        return row["deadline"]

    async def heartbeat(self, beat: Heartbeat, lease: float) -> RolloutState | None:
        """Let the lease last `lease` seconds from now; return the rollout's state, None if the lease is lost."""
        row = await self._row(
            "heartbeat",
            rollout_id=beat.rollout_id,
            attempt=beat.attempt,
            executor=beat.executor,
            steps=beat.steps,
            lease=lease,
        )
        return RolloutState(row["state"]) if row else None

    async def given_back(self, rollout_id: UUID) -> list[int]:
        """Return the attempts whose end was no failure: draining executors gave them back, or money ran out."""
        return [row["attempt"] for row in await self._rows("given_back", rollout_id=rollout_id)]

    async def note_start(self, rollout_id: UUID, attempt: int, started_at: datetime) -> None:
        """Note when the agent began."""
        await self._rows("note_start", rollout_id=rollout_id, attempt=attempt, started_at=started_at)

    async def close(self, rollout_id: UUID, attempt: int, decision: CloseDecision, steps: int) -> None:
        """Note how an attempt ended, and that it made at least `steps` steps."""
        await self._rows(
            "close",
            rollout_id=rollout_id,
            attempt=attempt,
            outcome=decision.outcome,
            counted=decision.counted,
            reason=decision.reason,
            steps=steps,
        )

    async def expired(self) -> list[ExpiredAttempt]:
        """Return open attempts whose lease ran out, the oldest first."""
        rows = await self._rows("expired")
        return [ExpiredAttempt(row["rollout_id"], row["attempt"], row["executor"]) for row in rows]

    async def release(self, request: Release) -> bool:
        """Note that its executor gives an attempt back; False if it was not the executor's any more."""
        row = await self._row(
            "release", rollout_id=request.rollout_id, attempt=request.attempt, executor=request.executor
        )
        return row is not None

    async def excuse(self, rollout_id: UUID, attempt: int) -> None:
        """Note that the end of an attempt was no failure of its task."""
        await self._rows("excuse", rollout_id=rollout_id, attempt=attempt)

    async def failures_of_rollout(self, rollout_id: UUID) -> int:
        """Count the attempts of a rollout that our own failures ended."""
        (row,) = await self._rows("failures_of_rollout", rollout_id=rollout_id)
        return row["failures"]
