"""The tables of quality: what it knows of each trajectory, and which verifications it asked for."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from synthbench.contracts.events import TrajectoryDone, TrajectoryScored
from synthbench.contracts.model import Record
from synthbench.storage.database import Connection, Database
from synthbench.storage.outbox import Outbox
from synthbench.storage.queries import Queries

_SQL = Queries.load("synthbench.quality.adapters")


@dataclass(frozen=True)
class Scoring:
    """The state of the scoring of one trajectory."""

    done: TrajectoryDone
    scored: bool
    tries: int
    """How many verifications were asked for, the first one included."""


class QualityStore:
    """All SQL of quality goes through here."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator["QualityTransaction"]:
        """State and events go out together, or neither does."""
        async with self._database.connection() as connection:
            yield QualityTransaction(connection, self._outbox)

    async def scoring_of_verification(self, verification_id: UUID) -> Scoring | None:
        """Read the scoring for which a verification was asked; None if none was asked for here."""
        async with self._database.connection() as connection:
            values = {"verification_id": verification_id}
            row = await (await connection.execute(_SQL["scoring_of_verification"], values)).fetchone()
        return _scoring(row) if row else None


class QualityTransaction:
    """One transaction of quality's."""

    def __init__(self, connection: Connection, outbox: Outbox) -> None:
        self._connection = connection
        self._outbox = outbox

    async def announce(self, event: Record, event_id: UUID) -> None:
        """Put an event into the outbox."""
        await self._outbox.add(self._connection, event, id=event_id)

    async def announce_again(self, event_id: UUID) -> None:
        """Publish an old event once more, if that was long ago."""
        await self._outbox.again(self._connection, event_id)

    async def add_scoring(self, done: TrajectoryDone) -> bool:
        """Begin the scoring of a trajectory; False if it is known already."""
        values = {"trajectory_id": done.trajectory_id, "body": Jsonb(done.to_dict())}
        return bool(await self._rows("add_scoring", **values))

    async def lock_scoring(self, trajectory_id: UUID) -> Scoring | None:
        """Read a scoring, and keep others from changing it until the transaction ends."""
        rows = await self._rows("lock_scoring", trajectory_id=trajectory_id)
        return _scoring(rows[0]) if rows else None

    async def add_verification(self, verification_id: UUID, trajectory_id: UUID) -> None:
        """Note that a verification was asked for."""
        await self._rows("add_verification", verification_id=verification_id, trajectory_id=trajectory_id)

    async def verifications_of(self, trajectory_id: UUID) -> list[UUID]:
        """Return the verifications that were asked for."""
        rows = await self._rows("verifications_of", trajectory_id=trajectory_id)
        return [row["verification_id"] for row in rows]

    async def count_try(self, trajectory_id: UUID) -> None:
        """Count one more verification that is asked for."""
        await self._rows("count_try", trajectory_id=trajectory_id)

    async def finish_scoring(self, scored: TrajectoryScored) -> None:
        """Keep the verdict."""
        await self._rows("finish_scoring", trajectory_id=scored.trajectory_id, scored=Jsonb(scored.to_dict()))

    async def _rows(self, query: str, /, **values: object) -> list[dict[str, Any]]:
        cursor = await self._connection.execute(_SQL[query], values)
        return await cursor.fetchall() if cursor.description else []


def _scoring(row: dict[str, Any]) -> Scoring:
    return Scoring(TrajectoryDone.model_validate(row["body"]), row["state"] == "scored", row["tries"])
