"""Queries of the HTTP API."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import sql

from synthbench.collector.adapters.listing import ATTEMPTS, NEWEST, count, listing, sums, values_of
from synthbench.collector.domain.facets import NAMED, text_values, warnings
from synthbench.collector.domain.filtering import Filter
from synthbench.contracts.records import ArtifactRef
from synthbench.storage.database import Database
from synthbench.storage.queries import Queries

SQL = Queries.load("synthbench.collector.adapters", "reading.sql")
_PAGE = 500
Row = dict[str, Any]


class StoredFile(NamedTuple):
    """A trajectory and its file in the artifact store."""

    trajectory_id: UUID
    artifact: ArtifactRef


class CatalogueReader:
    """Lists and finds trajectories, attempts, steps, model calls, tasks and sums."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, wanted: Filter, columns: Sequence[str], behind: Sequence[Any] | None, limit: int) -> list[Row]:
        """Trajectories that fit a filter, newest first, from behind a place in `NEWEST` on."""
        query, values = listing(wanted, columns=columns, behind=behind, limit=limit)
        return await self._rows(query, values)

    async def pages(self, wanted: Filter, columns: Sequence[str]) -> AsyncGenerator[list[Row]]:
        """All trajectories that fit, newest first, a page at a time."""
        behind: Sequence[Any] | None = None
        while found := await self.page(wanted, columns, behind, _PAGE):
            yield found
            behind = [found[-1][name] for name in NEWEST.columns]

    async def total(self, wanted: Filter) -> int:
        """Count the trajectories that fit."""
        query, values = count(wanted)
        return (await self._rows(query, values))[0]["total"]

    async def warnings(self, wanted: Filter, *, empty: bool) -> list[str]:
        """A line for each value of a filter that no trajectory has.

        Args:
            wanted: the filter.
            empty: nothing was found. Only then all values of its fields are read.
        """
        known = dict(NAMED)
        for field in set(text_values(wanted)) - set(NAMED) if empty else ():
            known[field] = {row["value"] for row in await self._rows(values_of(field))}
        return warnings(wanted, known)

    async def sums(self, wanted: Filter, by: Sequence[str]) -> list[Row]:
        """Sums by group and task, as `domain.statistics.summarised` takes them."""
        query, values = sums(wanted, by)
        return await self._rows(query, values)

    async def trajectory(self, trajectory_id: UUID) -> Row | None:
        """All columns of one trajectory; None if there is none."""
        found = await self._named("find_trajectory", trajectory_id=trajectory_id)
        return found[0] if found else None

    async def attempts(
        self, submission_id: UUID | None, rollout_id: UUID | None, state: str | None, cursor: str | None, limit: int
    ) -> tuple[list[Row], str | None]:
        """Attempts, newest first, and the cursor of the next page.

        Raises:
            BadCursor: the text is no cursor.
        """
        # Written out, so that the index of those that are not stored fits.
        of_state = [sql.SQL("state = {}").format(sql.Literal(state))] if state else []
        where = {"submission_id": submission_id, "rollout_id": rollout_id}
        return await ATTEMPTS.page(self._database, where, cursor, limit, *of_state)

    async def steps_after(self, rollout_id: UUID, attempt: int, after: int, limit: int) -> list[str]:
        """Steps of an attempt as JSON, in their order, after an index; none where they have left Postgres."""
        rows = await self._named("steps_after", rollout_id=rollout_id, attempt=attempt, after=after, limit=limit)
        return [row["body"] for row in rows]

    async def file_with_steps(self, rollout_id: UUID, attempt: int, after: int) -> StoredFile | None:
        """The stored trajectory of an attempt; None if there is none, or it has no step after this index."""
        rows = await self._named("trajectory_of", rollout_id=rollout_id, attempt=attempt, after=after)
        return StoredFile(rows[0]["trajectory_id"], ArtifactRef.model_validate(rows[0]["artifact"])) if rows else None

    async def calls(self, rollout_id: UUID, attempt: int) -> list[Row]:
        """Model calls of an attempt, in the order in which they began."""
        return await self._named("calls_of", rollout_id=rollout_id, attempt=attempt)

    async def tasks(self, after: str, limit: int) -> list[Row]:
        """Tasks of which there are trajectories, by name, after a name."""
        return await self._named("list_tasks", after=after, limit=limit)

    async def funnel(self, campaign: str | None) -> list[Row]:
        """Count rollouts by campaign: submitted, ran, stored, solved, scored, accepted, admitted."""
        return await self._named("funnel", campaign=campaign)

    async def days(self, campaign: str | None) -> list[Row]:
        """Counted trajectories, tokens and costs by day (UTC)."""
        return await self._named("yield_by_day", campaign=campaign)

    async def _named(self, name: str, **parameters: Any) -> list[Row]:
        return await self._rows(sql.SQL(SQL[name]), parameters)

    async def _rows(self, query: sql.SQL | sql.Composed, parameters: Any = None) -> list[Row]:
        async with self._database.connection() as connection:
            return await (await connection.execute(query, parameters)).fetchall()
