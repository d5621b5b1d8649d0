"""This process as one of the gateway's replicas: its lease, and the slices that it holds of every budget.

A replica that is silent for too long is fenced by another one: what it held is presumed to be spent. It may have been
cut off only. Then it learns at its next heartbeat that it was fenced, goes on as a new incarnation that holds nothing,
settles the calls that it still has on their way against what was presumed, and has the rest cancelled when none of
them is left.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from structlog.stdlib import BoundLogger

from synthbench.contracts.ids import uuid7
from synthbench.llm_gateway.budgets.domain.slices import BudgetSlices
from synthbench.llm_gateway.budgets.store import BudgetStore

LEASE_SECONDS = 30.0


@dataclass
class Incarnation:
    """One id under which this process holds money."""

    replica: UUID = field(default_factory=uuid7)
    budgets: BudgetSlices = field(default_factory=BudgetSlices)


class Replica:
    """Sends heartbeats, fences replicas that are silent, gives idle money back.

    Args:
        store: of budgets.
        name: for people.
        log: says which replica was fenced.
        lease_seconds: silence after which a replica is fenced.
    """

    def __init__(
        self, store: BudgetStore, name: str, log: BoundLogger, *, lease_seconds: float = LEASE_SECONDS
    ) -> None:
        self._store = store
        self._name = name
        self._log = log
        self._seconds = lease_seconds
        self._beaten = 0.0
        self.current = Incarnation()
        self._fenced: list[Incarnation] = []
        """Earlier incarnations that still have calls on their way."""
        self.count = 1
        """Number of living replicas, this one included."""

    @property
    def beat_seconds(self) -> float:
        """Seconds between two heartbeats."""
        return self._seconds / 6

    async def join(self) -> None:
        """Register this process; before its first lease."""
        await self._store.join_replica(self.current.replica, self._name, self._seconds)

    async def rejoin(self, lost: Incarnation) -> None:
        """Go on as a new incarnation, if the one that was fenced is still the current one."""
        if self.current is lost:
            self._log.warning("taken for dead: going on with empty hands", replica=str(lost.replica))
            self._fenced.append(lost)
            self.current = Incarnation()
            await self.join()

    async def beat(self) -> None:
        """Send a heartbeat, fence silent replicas, and cancel what was presumed of earlier incarnations."""
        incarnation = self.current
        heartbeat = await self._store.beat(incarnation.replica, self._seconds)
        if not heartbeat.alive:
            await self.rejoin(incarnation)
        self.count = max(1, heartbeat.replicas)
        await self.fence_silent()
        await self._cancel_presumed()

    async def fence_silent(self) -> int:
        """Presume that silent replicas spent what they held; return how many there were."""
        silent = await self._store.fence_silent_replicas()
        for replica, name in silent:
            self._log.warning("a gateway died: what it held counts as spent", name=name, replica=replica)
        return len(silent)

    async def _cancel_presumed(self) -> None:
        settled = [one for one in self._fenced if not one.budgets.on_their_way and not _has_unwritten(one.budgets)]
        for incarnation in settled:
            await self._store.cancel_presumed(incarnation.replica)
            self._fenced.remove(incarnation)

    async def give_back(self, amounts: Mapping[str, int]) -> None:
        """Give idle money back, by scope. It leaves the slices first, so that no call can reserve it meanwhile."""
        incarnation = self.current
        budgets = incarnation.budgets
        amounts = {scope: amount for scope, amount in amounts.items() if 0 < amount <= budgets.idle(scope)}
        if not amounts:
            return
        for scope, amount in amounts.items():
            budgets.take(scope, amount)
        try:
            async with self._store.transaction() as transaction:
                await transaction.give_back(incarnation.replica, amounts)
        except BaseException:
            # It may have been taken or not. Whatever the record still holds for us goes back when we leave.
            self._log.warning("could not give money back", scopes=list(amounts))
            raise

    async def tick(self) -> None:
        """Give back the money that was not needed lately."""
        await self.give_back(self.current.budgets.surplus())
        self.current.budgets.forget_empty()

    async def recalled(self, scope: str) -> None:
        """Give back all idle money of one account: another replica needs it."""
        await self.give_back({scope: self.current.budgets.idle(scope)})

    async def leave(self) -> None:
        """Give everything back. Call it when no call is on its way any more."""
        await self._cancel_presumed()
        await self._store.leave(self.current.replica)

    async def live(self) -> None:
        """Tick, and send a heartbeat where it is time; call it every second, or every `beat_seconds` if less."""
        await self.tick()
        now = asyncio.get_running_loop().time()
        if now - self._beaten >= self.beat_seconds:
            await self.beat()
            self._beaten = now


def _has_unwritten(budgets: BudgetSlices) -> bool:
    return any(mine.settled for mine in budgets.slices.values())
