"""The store of budgets: accounts, replicas that lease from them, attempts that may call (schema `ledger`)."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from psycopg import AsyncConnection, Notify, sql

from synthbench.llm_gateway.budgets.domain.accounts import Account
from synthbench.llm_gateway.budgets.domain.slices import AccountBalance
from synthbench.storage.database import Connection, Database
from synthbench.storage.queries import Queries

SQL = Queries.load("synthbench.llm_gateway.budgets")


@dataclass(frozen=True)
class LockedAccount:
    """An account whose row this transaction holds."""

    balance: AccountBalance
    announced: bool
    """Whether it was announced within the last minute that the budget is exhausted."""


@dataclass(frozen=True)
class ReplicaHeartbeat:
    """The result of a replica's heartbeat."""

    alive: bool
    """Whether the replica is known still; else another one fenced it, since it was silent for too long."""
    replicas: int
    """Number of living replicas."""


@dataclass(frozen=True)
class NewestAttempt:
    """The newest attempt of a rollout that any replica has seen."""

    attempt: int
    closed: bool


class BudgetTransaction:
    """One transaction; `connection` lets an outbox join it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def hold_replica(self, replica: UUID) -> bool:
        """Keep a replica from being fenced until the transaction ends; return False if it was fenced before."""
        found = await self.connection.execute(SQL["hold_replica"], {"replica": replica})
        return await found.fetchone() is not None

    async def open_accounts(self, accounts: Sequence[Account]) -> None:
        """Write accounts that are new, and caps that changed."""
        values = {
            "scopes": [account.scope for account in accounts],
            "caps": [account.cap for account in accounts],
            "epochs": [account.epoch for account in accounts],
        }
        await self.connection.execute(SQL["open_accounts"], values)

    async def lock_accounts(self, scopes: Sequence[str]) -> dict[str, LockedAccount]:
        """Lock accounts in the order of their scopes, and return them by scope."""
        rows = await (await self.connection.execute(SQL["lock_accounts"], {"scopes": list(scopes)})).fetchall()
        return {
            row["scope"]: LockedAccount(
                AccountBalance(row["cap"], row["spent"], row["leased"], row["epoch"]), bool(row["announced"])
            )
            for row in rows
        }

    async def lease(self, replica: UUID, amounts: Mapping[str, int]) -> None:
        """Add to a replica's slices.

        Args:
            replica: that leases.
            amounts: in millionths of a US dollar, by scope; the accounts are locked.
        """
        await self.connection.execute(SQL["lease"], _amounts(replica, amounts))

    async def mark_announced(self, scope: str) -> None:
        """Note that it was announced that the budget is exhausted."""
        await self.connection.execute(SQL["mark_announced"], {"scope": scope})

    async def give_back(self, replica: UUID, amounts: Mapping[str, int]) -> None:
        """Take amounts out of a replica's slices, by scope; slices that are empty then are dropped."""
        await self.connection.execute(SQL["give_back"], _amounts(replica, amounts))
        await self.connection.execute(SQL["drop_empty_slices"], {"replica": replica})


class BudgetStore:
    """All SQL about budgets goes through here; the calls themselves are `CallStore`'s.

    Args:
        database: of schema `ledger`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[BudgetTransaction]:
        """Begin a transaction, which is committed at the end."""
        async with self._database.connection() as connection:
            yield BudgetTransaction(connection)

    async def join_replica(self, replica: UUID, name: str, seconds: float) -> None:
        """Register a replica, whose lease ends after so many seconds without a heartbeat."""
        values = {"replica": replica, "name": name, "seconds": seconds}
        async with self._database.connection() as connection:
            await connection.execute(SQL["join_replicas"], values)

    async def beat(self, replica: UUID, seconds: float) -> ReplicaHeartbeat:
        """Renew a replica's lease for so many seconds."""
        async with self._database.connection() as connection:
            found = await connection.execute(SQL["beat"], {"replica": replica, "seconds": seconds})
            row = await found.fetchone()
        assert row is not None
        return ReplicaHeartbeat(bool(row["alive"]), row["replicas"])

    async def fence_silent_replicas(self) -> list[tuple[UUID, str]]:
        """Remove replicas whose leases ran out, and presume that they spent what they held.

        Returns:
            Their ids and names.
        """
        async with self._database.connection() as connection:
            silent = await (await connection.execute(SQL["silent_replicas"])).fetchall()
            for row in silent:
                values = {"replica": row["replica"]}
                await connection.execute(SQL["lock_accounts_of_replica"], values)
                await connection.execute(SQL["presume_spent"], values)
                await connection.execute(SQL["leave_replicas"], values)
        return [(row["replica"], row["name"]) for row in silent]

    async def cancel_presumed(self, replica: UUID) -> None:
        """Count nothing as spent any more that was presumed of a fenced replica: it has settled all its calls."""
        async with self._database.connection() as connection:
            await connection.execute(SQL["lock_presumed"], {"replica": replica})
            await connection.execute(SQL["cancel_presumed"], {"replica": replica})

    async def leave(self, replica: UUID) -> None:
        """Give back all that a replica holds, and remove it."""
        async with self.transaction() as transaction:
            await transaction.connection.execute(SQL["lock_replica"], {"replica": replica})
            held = await transaction.connection.execute(SQL["slices_of"], {"replica": replica})
            amounts = {row["scope"]: row["microusd"] for row in await held.fetchall()}
            await transaction.give_back(replica, amounts)
            await transaction.connection.execute(SQL["leave_replicas"], {"replica": replica})

    async def recall(self, replica: UUID, scopes: Sequence[str]) -> None:
        """Notify all replicas that one needs what lies idle of some accounts."""
        async with self._database.connection() as connection:
            await connection.execute(SQL["recall"], {"scopes": list(scopes), "replica": replica})

    async def notifications(self, channels: Sequence[str], seconds: float) -> AsyncGenerator[Notify | None]:
        """Listen on a connection of its own, and yield the notifications of some channels.

        Args:
            channels: names of them.
            seconds: silence after which the server is asked whether it is still there.

        Yields:
            None once it listens, and whenever the server was asked; else a notification.

        Raises:
            psycopg.OperationalError: the connection broke.
        """
        dsn = self._database.dsn.get_secret_value()
        async with await AsyncConnection.connect(dsn, autocommit=True, connect_timeout=5) as listener:
            for channel in channels:
                await listener.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
            yield None
            while True:
                async for notice in listener.notifies(timeout=seconds):
                    yield notice
                await listener.execute("select 1")
                yield None

    async def see_attempt(self, rollout_id: UUID, attempt: int) -> NewestAttempt:
        """Note that an attempt calls, notify the replicas if it is newer than known, and return the newest one."""
        async with self._database.connection() as connection:
            found = await connection.execute(SQL["see_attempt"], {"rollout_id": rollout_id, "attempt": attempt})
            row = await found.fetchone()
        assert row is not None
        return NewestAttempt(row["attempt"], row["closed"])

    async def close_attempt(self, rollout_id: UUID, attempt: int) -> None:
        """Note that an attempt was closed, and notify all replicas."""
        async with self._database.connection() as connection:
            await connection.execute(SQL["close_attempt"], {"rollout_id": rollout_id, "attempt": attempt})


def _amounts(replica: UUID, amounts: Mapping[str, int]) -> dict[str, object]:
    return {"replica": replica, "scopes": list(amounts), "amounts": list(amounts.values())}
