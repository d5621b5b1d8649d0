"""This process among its replicas: its lease on life, and what it holds of every budget.

A replica that is silent for too long is buried by another one: what it held is presumed to be spent. It may have been
cut off only. Then it finds itself buried at its next heartbeat, goes on under a new name with empty hands, settles what
it still has on its way against what was presumed, and has the rest forgiven when nothing is left on its way.
"""

import asyncio
from dataclasses import dataclass, field
from uuid import UUID

from structlog.stdlib import BoundLogger

from synthbench.contracts.ids import uuid7
from synthbench.llm_gateway.adapters.sql import SQL
from synthbench.llm_gateway.budgets.domain.slices import BudgetSlices
from synthbench.storage.database import Connection, Database

LEASE_SECONDS = 30.0


@dataclass
class Incarnation:
    """One name under which this process holds money."""

    replica: UUID = field(default_factory=uuid7)
    budgets: BudgetSlices = field(default_factory=BudgetSlices)


class Replica:
    """Joins, beats, buries the dead, gives idle money back, leaves.

    Args:
        database: of schema `ledger`.
        name: for people.
        log: says who was buried.
        lease_seconds: silence after which a replica is taken for dead.
    """

    def __init__(
        self, database: Database, name: str, log: BoundLogger, *, lease_seconds: float = LEASE_SECONDS
    ) -> None:
        self._database = database
        self._name = name
        self._log = log
        self._seconds = lease_seconds
        self._beaten = 0.0
        self.now = Incarnation()
        self._buried: list[Incarnation] = []
        self.count = 1
        """Living replicas, this one included."""

    @property
    def beat_seconds(self) -> float:
        """Between two heartbeats."""
        return self._seconds / 6

    async def join(self) -> None:
        """Make this process known; before its first lease."""
        async with self._database.connection() as connection:
            await self._join(connection)

    async def _join(self, connection: Connection) -> None:
        values = {"replica": self.now.replica, "name": self._name, "seconds": self._seconds}
        await connection.execute(SQL["join_replicas"], values)

    async def rejoin(self, lost: Incarnation) -> None:
        """Go on under a new name, if `lost` is the present one still."""
        if self.now is lost:
            self._log.warning("taken for dead: going on with empty hands", replica=str(lost.replica))
            self._buried.append(lost)
            self.now = Incarnation()
            await self.join()

    async def beat(self) -> None:
        """Say that this process lives, bury those that do not, and let go of what earlier selves held."""
        mine = self.now
        async with self._database.connection() as connection:
            values = {"replica": mine.replica, "seconds": self._seconds}
            row = await (await connection.execute(SQL["beat"], values)).fetchone()
        assert row is not None
        if not row["alive"]:
            await self.reborn(mine)
        self.count = max(1, row["replicas"])
        await self.bury_dead()
        await self._forgive()

    async def bury_dead(self) -> int:
        """Take what dead replicas held for spent; return how many there were."""
        async with self._database.connection() as connection:
            dead = await (await connection.execute(SQL["dead_replicas"])).fetchall()
            for row in dead:
                name = {"replica": row["replica"]}
                await connection.execute(SQL["lock_accounts_of_replica"], name)
                await connection.execute(SQL["bury_replica"], name)
                await connection.execute(SQL["leave_replicas"], name)
        for row in dead:
            self._log.warning("a gateway died: what it held counts as spent", name=row["name"], replica=row["replica"])
        return len(dead)

    async def _forgive(self) -> None:
        done = [one for one in self._buried if not one.budgets.on_their_way and not _unwritten(one.budgets)]
        for one in done:
            async with self._database.connection() as connection:
                name = {"replica": one.replica}
                await connection.execute(SQL["lock_presumed"], name)
                await connection.execute(SQL["forgive"], name)
            self._buried.remove(one)

    async def give_back(self, amounts: dict[str, int]) -> None:
        """Return idle money, by scope. It leaves the budgets first, so that no call can take it meanwhile."""
        budgets = self.now.budgets
        amounts = {scope: amount for scope, amount in amounts.items() if 0 < amount <= budgets.idle(scope)}
        if not amounts:
            return
        for scope, amount in amounts.items():
            budgets.take(scope, amount)
        values = {"scopes": list(amounts), "amounts": list(amounts.values()), "replica": self.now.replica}
        try:
            async with self._database.connection() as connection:
                await connection.execute(SQL["give_back"], values)
                await connection.execute(SQL["drop_empty_slices"], {"replica": self.now.replica})
        except BaseException:
            # It may have been taken or not. Whatever the record still holds for us goes back when we leave.
            self._log.warning("could not give money back", scopes=list(amounts))
            raise

    async def tick(self) -> None:
        """Give back what is not needed."""
        await self.give_back(self.now.budgets.surplus())
        self.now.budgets.forget_empty()

    async def recalled(self, scope: str) -> None:
        """Another replica needs what is idle here."""
        await self.give_back({scope: self.now.budgets.idle(scope)})

    async def leave(self) -> None:
        """Give everything back. Call it when nothing is on its way any more."""
        await self._forgive()
        async with self._database.connection() as connection:
            held = await (await connection.execute(SQL["slices_of"], {"replica": self.now.replica})).fetchall()
            amounts = {row["scope"]: row["microusd"] for row in held}
            values = {"scopes": list(amounts), "amounts": list(amounts.values()), "replica": self.now.replica}
            await connection.execute(SQL["give_back"], values)
            await connection.execute(SQL["drop_empty_slices"], {"replica": self.now.replica})
            await connection.execute(SQL["leave_replicas"], {"replica": self.now.replica})

    async def live(self) -> None:
        """Tick, and beat where it is time; to be called every second, or every `beat_seconds` if they are less."""
        await self.tick()
        now = asyncio.get_running_loop().time()
        if now - self._beaten >= self.beat_seconds:
            await self.beat()
            self._beaten = now


def _unwritten(budgets: BudgetSlices) -> bool:
    return any(mine.settled for mine in budgets.slices.values())
