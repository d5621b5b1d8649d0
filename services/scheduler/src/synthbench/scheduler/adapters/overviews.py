"""Queries of the HTTP API and the metrics over several tables. Rows are JSON-like, as the API answers them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from psycopg import sql

from synthbench.storage.database import Database
from synthbench.storage.pages import Listing, Order
from synthbench.storage.queries import Queries

_SQL = Queries.load("synthbench.scheduler.adapters", "overviews.sql")
Row = dict[str, Any]

SUBMISSIONS = Listing(_SQL["submissions"], Order({"created_at": datetime, "submission_id": UUID}))
MOVABLE = sql.SQL(_SQL["movable"])
"""Not everything of a submission waits in a paused campaign."""
ROLLOUTS = Listing(_SQL["rollouts"], Order({"created_at": datetime, "rollout_id": UUID}))


class Overviews:
    """Reads what the scheduler knows, each time in a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, listing: Listing, where: Mapping[str, object], cursor: str | None, limit: int, *also: sql.Composable
    ) -> tuple[list[Row], str | None]:
        """Read a page of a list, and the cursor of the next one.

        Raises:
            BadCursor: the cursor is none.
        """
        return await listing.page(self._database, where, cursor, limit, *also)

    async def submission(self, submission_id: UUID) -> Row | None:
        """Read a submission without its rollouts; None if there is none."""
        return await self._row("find_submission", submission_id=submission_id)

    async def rollouts_of_submission(self, submission_id: UUID) -> list[Row]:
        """Read the rollouts of a submission, in the order of their samples."""
        return await self._rows("rollouts_of_submission", submission_id=submission_id)

    async def attempts_of_submission(self, submission_id: UUID) -> list[Row]:
        """Read the attempts of all rollouts of a submission."""
        return await self._rows("attempts_of_submission", submission_id=submission_id)

    async def rollout(self, rollout_id: UUID) -> Row | None:
        """Read a rollout as it was planned; None if there is none."""
        return await self._row("find_rollout", rollout_id=rollout_id)

    async def attempts_of_rollout(self, rollout_id: UUID) -> list[Row]:
        """Read the attempts of a rollout, in their order."""
        return await self._rows("attempts_of_rollout", rollout_id=rollout_id)

    async def quarantined(self, digest: str | None = None) -> list[Row]:
        """Read the tasks that are set aside, or the one with this digest."""
        return await self._rows("quarantined", digest=digest)

    async def campaigns(self) -> list[Row]:
        """Read every campaign with its cap, its pause and its submissions."""
        return await self._rows("list_campaigns")

    async def submission_counts(self) -> Row:
        """Count the submissions, and those that are open."""
        (row,) = await self._rows("count_submissions")
        return row

    async def unfinished_rollouts(self) -> dict[str, int]:
        """Count the rollouts that are not at their end, by state."""
        return {row["state"]: row["rollouts"] for row in await self._rows("unfinished_rollouts")}

    async def ungraded_shares(self) -> list[Row]:
        """Read how many attempts of a route and a task ended within an hour, and how many of them got no grade."""
        return await self._rows("ungraded_shares")

    async def _rows(self, name: LiteralString, /, **parameters: object) -> list[Row]:
        async with self._database.connection() as connection:
            return await (await connection.execute(_SQL[name], parameters)).fetchall()

    async def _row(self, name: LiteralString, /, **parameters: object) -> Row | None:
        rows = await self._rows(name, **parameters)
        return rows[0] if rows else None
