"""Rate limits over all replicas: permits are leased from the record ahead of calls, and calls wait in one queue.

A call for which this replica holds permits enters at once. Else it waits in the queue with all others, and one task
asks the record for the permits that they need together. Nothing here is about money: when Postgres loses permits,
limits begin anew.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic

from structlog.stdlib import BoundLogger

from synthbench.chassis.errors import Transient, one_line
from synthbench.contracts.ids import uuid7
from synthbench.llm_gateway import metrics
from synthbench.llm_gateway.budgets.domain.slices import grant
from synthbench.llm_gateway.rate_limits.domain.permits import (
    FREE,
    FRESH_SECONDS,
    ConcurrencySlots,
    GrantedPermits,
    Limit,
    PermitLease,
    PermitPool,
    in_turn,
)
from synthbench.llm_gateway.rate_limits.store import PermitRow, PermitStore, PermitTransaction
from synthbench.storage.database import Database
from synthbench.wire.refusal import Refusal

_WINDOW_SECONDS = 60.0
"""Length of the window that `rpm` and `tpm` are about."""
_SLOT_SECONDS = 30.0
"""Slots of a replica that is silent for so long are free again."""
_RENEW_SECONDS = 5.0
"""Between two renewals of slots."""
TICK_SECONDS = 1.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.25
"""Seconds between two questions to the record, while calls wait."""
_ASKED_AT_ONCE = 64
"""Calls at the head of the queue for which permits are asked together."""


@dataclass(eq=False)
class _Waiter:
    needs: Mapping[Limit, int]
    entered: asyncio.Future[GrantedPermits] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class RateLimiter:
    """Lets calls in as the limits of their models and providers allow.

    Args:
        database: of schema `ledger`.
        log: says when the record is away.
        replicas: how many share the limits now.
        window_seconds: that `rpm` and `tpm` are about; a minute but in tests.
        fresh_seconds: within which permits are used, or go back.
    """

    def __init__(
        self,
        database: Database,
        log: BoundLogger,
        replicas: Callable[[], int],
        *,
        window_seconds: float = _WINDOW_SECONDS,
        fresh_seconds: float = FRESH_SECONDS,
    ) -> None:
        self._store = PermitStore(database)
        self._log = log
        self._replicas = replicas
        self._window = window_seconds
        self._fresh = fresh_seconds
        self._pool = PermitPool()
        self._shares: dict[str, int] = {}
        self._free_in: dict[str, float] = {}
        self._queue: deque[_Waiter] = deque()
        self._serving: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._at_record = asyncio.Lock()
        self._renewed = monotonic()

    async def enter(self, limits: tuple[Limit, ...], tokens: int, patience: float) -> GrantedPermits:
        """Wait until a call may be made.

        Args:
            limits: of its model and its provider.
            tokens: that it may use at most, roughly.
            patience: seconds that it can wait.

        Raises:
            Refusal: 429, it could not be made in that time.
        """
        needs = {limit: limit.need(tokens) for limit in limits}
        waiter = _Waiter(needs)
        self._queue.append(waiter)
        self._let_in()
        if waiter.entered.done():
            return waiter.entered.result()
        for limit in self._pool.short(needs, monotonic()):
            metrics.LIMITED.labels(limit.measure).inc()
        return await self._wait(waiter, patience)

    async def _wait(self, waiter: _Waiter, patience: float) -> GrantedPermits:
        self._serve()
        metrics.QUEUED.inc()
        try:
            await asyncio.wait({waiter.entered}, timeout=patience)
        except asyncio.CancelledError:
            if waiter.entered.done():  # in the moment when it was let in
                self.leave(waiter.entered.result(), 0)
            raise
        finally:
            metrics.QUEUED.dec()
            if not waiter.entered.done():
                self._queue.remove(waiter)
        if not waiter.entered.done():
            raise self._refusal(waiter)
        return waiter.entered.result()

    def _refusal(self, waiter: _Waiter) -> Refusal:
        short = self._pool.short(waiter.needs, monotonic()) or list(waiter.needs)
        seconds = max([1.0, *(self._free_in.get(limit.scope, 0.0) for limit in short if not limit.at_once)])
        what = ", ".join(str(limit) for limit in short)
        return Refusal(429, "rate_limited", f"held back by a limit of this deployment: {what}", retry_after=seconds)

    def leave(self, entered: GrantedPermits, tokens: int | None) -> None:
        """A call is over; None for tokens that nobody knows."""
        if entered is FREE:
            return
        self._pool.leave(entered, tokens, self._shares)
        if self._queue:
            self._let_in()
            self._serve()

    def _let_in(self) -> None:
        now = monotonic()
        while (place := in_turn((waiter.needs for waiter in self._queue), self._pool, now)) is not None:
            waiter = self._queue[place]
            del self._queue[place]
            waiter.entered.set_result(self._pool.take(waiter.needs, now))

    def _serve(self) -> None:
        self._wake.set()
        if self._serving is None or self._serving.done():
            self._serving = asyncio.create_task(self._serve_all())

    async def _serve_all(self) -> None:
        pause = _FIRST_PAUSE
        while self._queue:
            self._wake.clear()
            try:
                await self._visit(lease=True)
            except Transient as error:
                self._log.warning("limits wait for the record", waiting=len(self._queue), error=one_line(error))
            before = len(self._queue)
            self._let_in()
            pause = _FIRST_PAUSE if len(self._queue) < before else min(2 * pause, _LONGEST_PAUSE)
            await asyncio.sleep(_FIRST_PAUSE)
            await _within(pause, self._wake)

    async def _visit(self, *, lease: bool = False) -> None:
        """One transaction: give back, renew, and (with `lease`) ask for what the queue needs."""
        async with self._at_record:
            wanted = self._wanted() if lease else {}
            began, pool = monotonic(), self._pool
            corrections, pool.corrections = pool.corrections, {}
            renew = began - self._renewed > _RENEW_SECONDS
            slots = {scope: s for scope, s in pool.slots.items() if s.recorded != s.held or (renew and s.held)}
            if not (wanted or corrections or slots):
                return
            async with self._store.transaction() as transaction:
                if corrections:
                    await transaction.correct(corrections)
                granted = await self._granted(transaction, wanted)
                await self._put(transaction, slots, granted, began)
                if renew:
                    await transaction.drop_expired()
            self._renewed = began if renew else self._renewed

    def _wanted(self) -> dict[Limit, list[int]]:
        """Return the permits that the calls at the head of the queue lack, by limit: one number a call."""
        wanted: dict[Limit, list[int]] = {}
        now = monotonic()
        for waiter in list(self._queue)[:_ASKED_AT_ONCE]:
            for limit, need in waiter.needs.items():
                wanted.setdefault(limit, []).append(need)
        return {
            limit: [max(1, need - self._pool.idle(limit, now)) for need in needs]
            for limit, needs in wanted.items()
            if self._pool.idle(limit, now) < sum(needs)
        }

    async def _granted(self, transaction: PermitTransaction, wanted: dict[Limit, list[int]]) -> dict[Limit, int]:
        if not wanted:
            return {}
        held = await transaction.lock([limit.scope for limit in wanted])
        self._free_in |= {scope: permits.free_in for scope, permits in held.items()}
        replicas = self._replicas()
        self._shares |= {limit.scope: limit.most // replicas for limit in wanted if limit.at_once}
        granted: dict[Limit, int] = {}
        for limit, needs in wanted.items():
            free = limit.most - (held[limit.scope].amount if limit.scope in held else 0)
            head = needs if free >= sum(needs) else needs[:1]  # what is scarce is for whoever waits the longest
            granted[limit] = grant(free, head, self._pool.lately.get(limit.scope, 0), replicas)
        return {limit: amount for limit, amount in granted.items() if amount}

    async def _put(
        self,
        transaction: PermitTransaction,
        slots: dict[str, ConcurrencySlots],
        granted: dict[Limit, int],
        began: float,
    ) -> None:
        """Write the permits that are held from now on, and add them to the pool when that is committed."""
        pool = self._pool
        leases = {
            limit: PermitLease(uuid7(), n, began + self._fresh) for limit, n in granted.items() if not limit.at_once
        }
        more = {limit.scope: n for limit, n in granted.items() if limit.at_once}
        slots = slots | {scope: pool.slots.setdefault(scope, ConcurrencySlots()) for scope in more}
        held = {scope: mine.held + more.get(scope, 0) for scope, mine in slots.items()}
        if not (leases or slots):
            return
        seconds = self._window + self._fresh
        rows = [PermitRow(lease.id, limit.scope, lease.left, seconds) for limit, lease in leases.items()]
        rows += [PermitRow(mine.id, scope, held[scope], _SLOT_SECONDS) for scope, mine in slots.items()]
        for mine in slots.values():
            mine.recorded = None
        await transaction.put(rows)
        for limit, lease in leases.items():
            pool.leases.setdefault(limit.scope, []).append(lease)
        for scope, mine in slots.items():
            mine.held += more.get(scope, 0)
            mine.recorded = held[scope]

    async def tick(self) -> None:
        """Give back what is idle, and renew what is not; to be called every `TICK_SECONDS`."""
        self._pool.tick(monotonic())
        await self._visit()

    async def close(self) -> None:
        """Give everything back. Call it when nothing is on its way any more."""
        if self._serving is not None:
            self._serving.cancel()
        self._pool.tick(float("inf"))
        self._pool.tick(float("inf"))
        await self._visit()


async def _within(seconds: float, event: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
