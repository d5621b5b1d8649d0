"""The tables of diversity: how each trajectory was curated, and the fingerprints of those that were admitted."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from synthbench.contracts.events import CurationStatus, TrajectoryCurated
from synthbench.diversity.domain.decision import EarlierTrajectory
from synthbench.diversity.domain.fingerprint import BANDS, Fingerprint
from synthbench.storage.database import Connection, Database
from synthbench.storage.outbox import Outbox
from synthbench.storage.queries import Queries

_SQL = Queries.load("synthbench.diversity.adapters")


class DiversityStore:
    """All SQL of diversity goes through here."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    @asynccontextmanager
    async def comparing(self, group: str, policy: str) -> AsyncGenerator["Comparison"]:
        """Open a transaction that is alone in its comparison class: of two twins at once both would pass otherwise.

        Args:
            group: the comparison class, whose trajectories are compared with each other.
            policy: name and version of the curation policy.
        """
        async with self._database.connection() as connection:
            await connection.execute(_SQL["lock_class"], {"class": group})
            yield Comparison(connection, self._outbox, group, policy)


class Comparison:
    """One transaction in one comparison class; state and events go out together, or neither does."""

    def __init__(self, connection: Connection, outbox: Outbox, group: str, policy: str) -> None:
        self._connection = connection
        self._outbox = outbox
        self._scope = {"class": group, "policy": policy}

    async def is_curated(self, trajectory_id: UUID) -> bool:
        """Whether this trajectory was curated before."""
        return bool(await self._rows("known", trajectory_id=trajectory_id))

    async def similar(self, own: Fingerprint) -> list[EarlierTrajectory]:
        """Return admitted trajectories that share a band with this fingerprint, the oldest first."""
        rows = await self._rows("candidates", **_bands(own))
        return [EarlierTrajectory(row["trajectory_id"], row["exact"], bytes(row["signature"])) for row in rows]

    async def admitted_of_task(self, task: str) -> int:
        """Count the admitted trajectories of a task."""
        (row,) = await self._rows("admitted_of_task", task=task)
        return row["admitted"]

    async def keep(self, curated: TrajectoryCurated, own: Fingerprint, task: str) -> None:
        """Keep how a trajectory was curated, and its bands if it was admitted."""
        await self._rows(
            "insert_curation",
            trajectory_id=curated.trajectory_id,
            task=task,
            exact=own.exact,
            signature=own.signature,
            status=curated.status,
            duplicate_of=curated.duplicate_of,
            similarity=curated.similarity,
        )
        if curated.status is CurationStatus.ADMITTED:
            await self._rows("insert_bands", trajectory_id=curated.trajectory_id, **_bands(own))

    async def announce(self, curated: TrajectoryCurated, event_id: UUID) -> None:
        """Put an event into the outbox."""
        await self._outbox.add(self._connection, curated, id=event_id)

    async def announce_again(self, event_id: UUID) -> None:
        """Publish an old event once more, if that was long ago."""
        await self._outbox.again(self._connection, event_id)

    async def _rows(self, query: str, /, **values: object) -> list[dict[str, Any]]:
        cursor = await self._connection.execute(_SQL[query], {**self._scope, **values})
        return await cursor.fetchall() if cursor.description else []


def _bands(own: Fingerprint) -> dict[str, object]:
    return {"bands": list(range(BANDS)), "keys": own.bands}
