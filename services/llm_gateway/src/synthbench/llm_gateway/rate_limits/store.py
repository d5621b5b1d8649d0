"""The store of permits: how much of each rate limit the replicas hold together (schema `ledger`)."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from synthbench.storage.database import Connection, Database
from synthbench.storage.queries import Queries

SQL = Queries.load("synthbench.llm_gateway.rate_limits")


@dataclass(frozen=True)
class HeldPermits:
    """The permits of one limit that all replicas hold together."""

    amount: int
    free_in: float
    """Seconds until the first of them run out."""


@dataclass(frozen=True)
class PermitRow:
    """Permits that one replica holds of one limit, as they are written."""

    id: UUID
    scope: str
    amount: int
    seconds: float
    """After which they run out."""


class PermitTransaction:
    """One transaction on the permits of all replicas."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def correct(self, corrections: Mapping[UUID, int]) -> None:
        """Take permits back that were not used after all, by their ids; negative where more was used."""
        values = {"ids": list(corrections), "amounts": list(corrections.values())}
        await self._connection.execute(SQL["correct_permits"], values)

    async def lock(self, scopes: Sequence[str]) -> dict[str, HeldPermits]:
        """Lock limits until the transaction ends, and return the permits that are held of them, by scope."""
        values = {"scopes": sorted(scopes)}
        await self._connection.execute(SQL["lock_limits"], values)
        rows = await (await self._connection.execute(SQL["permits_held"], values)).fetchall()
        return {row["scope"]: HeldPermits(row["amount"], row["seconds"]) for row in rows}

    async def put(self, rows: Sequence[PermitRow]) -> None:
        """Write permits that this replica holds from now on, new or renewed, and commit."""
        values = {
            "ids": [row.id for row in rows],
            "scopes": [row.scope for row in rows],
            "amounts": [row.amount for row in rows],
            "seconds": [row.seconds for row in rows],
        }
        await self._connection.execute(SQL["put_permits"], values)
        await self._connection.commit()

    async def drop_expired(self) -> None:
        """Delete permits that ran out."""
        await self._connection.execute(SQL["drop_permits"])


class PermitStore:
    """All SQL about permits goes through here.

    Args:
        database: of schema `ledger`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[PermitTransaction]:
        """Begin a transaction, which is committed at the end."""
        async with self._database.connection() as connection:
            yield PermitTransaction(connection)
