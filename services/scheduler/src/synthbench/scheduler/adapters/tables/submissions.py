"""The table `submissions`."""

from uuid import UUID

from psycopg.types.json import Jsonb

from synthbench.contracts.events import TaskSubmitted
from synthbench.contracts.records import TaskInfo
from synthbench.scheduler.adapters.tables.table import PACKAGE, Table
from synthbench.scheduler.domain.planning import Plan
from synthbench.storage.queries import Queries


class Submissions(Table):
    """Submissions, accepted and rejected."""

    statements = Queries.load(PACKAGE, "submissions.sql")

    async def submitter_of(self, submission_id: UUID) -> str | None:
        """Return who submitted this; None if nobody did."""
        row = await self._row("submitter_of", submission_id=submission_id)
        return row["submitter"] if row else None

    async def add(
        self, submission_id: UUID, submitter: str, submitted: TaskSubmitted, task: TaskInfo | None, plan: Plan
    ) -> bool:
        """Keep a submission, accepted or rejected; False if it is known already."""
        row = await self._row(
            "insert",
            submission_id=submission_id,
            submitter=submitter,
            campaign=submitted.campaign,
            body=Jsonb(submitted.to_dict()),
            task=Jsonb(task.to_dict()) if task else None,
            pool=plan.pool or None,
            state="rejected" if plan.errors else "open",
            errors=Jsonb([error.to_dict() for error in plan.errors]),
            max_cost=submitted.max_cost_microusd,
        )
        return row is not None

    async def finish(self, submission_id: UUID) -> None:
        """End a submission, if nothing of it can still move.

        One after the other: of two that end its last two rollouts at the same time neither would see the other's.
        """
        await self._rows("lock", submission_id=submission_id)
        await self._rows("finish", submission_id=submission_id)
