"""Limits over all replicas: permits leased from the record ahead of calls, and a queue for calls that must wait.

A call for which permits are in hand enters at once. Else it waits in one queue with all others, and one task asks the
record for what they need together. Nothing here is about money: when Postgres loses it, limits begin anew.
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
from synthbench.llm_gateway.adapters.sql import SQL
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
from synthbench.storage.database import Connection, Database
from synthbench.wire.refusal import Refusal

_WINDOW_SECONDS = 60.0
_SLOT_SECONDS = 30.0
"""Slots of a replica that is silent for so long are free again."""
_RENEW_SECONDS = 5.0
TICK_SECONDS = 1.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.25
_ASKED_AT_ONCE = 64


@dataclass(eq=False)
class _Waiter:
    needs: Mapping[Limit, int]
    entered: asyncio.Future[GrantedPermits] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class RateLimiter:
    """Lets calls in.

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
        self._database = database
        self._log = log
        self._replicas = replicas
        self._window = window_seconds
        self._fresh = fresh_seconds
        self._hand = PermitPool()
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
        for limit in self._hand.short(needs, monotonic()):
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
        short = self._hand.short(waiter.needs, monotonic()) or list(waiter.needs)
        seconds = max([1.0, *(self._free_in.get(limit.scope, 0.0) for limit in short if not limit.at_once)])
        what = ", ".join(str(limit) for limit in short)
        return Refusal(429, "rate_limited", f"held back by a limit of this deployment: {what}", retry_after=seconds)

    def leave(self, entered: GrantedPermits, tokens: int | None) -> None:
        """A call is over; None for tokens that nobody knows."""
        if entered is FREE:
            return
        self._hand.leave(entered, tokens, self._shares)
        if self._queue:
            self._let_in()
            self._serve()

    def _let_in(self) -> None:
        now = monotonic()
        while (place := in_turn((waiter.needs for waiter in self._queue), self._hand, now)) is not None:
            waiter = self._queue[place]
            del self._queue[place]
            waiter.entered.set_result(self._hand.take(waiter.needs, now))

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
            began, hand = monotonic(), self._hand
            corrections, hand.corrections = hand.corrections, {}
            renew = began - self._renewed > _RENEW_SECONDS
            slots = {scope: s for scope, s in hand.slots.items() if s.recorded != s.held or (renew and s.held)}
            if not (wanted or corrections or slots):
                return
            async with self._database.connection() as connection:
                if corrections:
                    values = {"ids": list(corrections), "amounts": list(corrections.values())}
                    await connection.execute(SQL["correct_permits"], values)
                granted = await self._granted(connection, wanted)
                await self._put(connection, slots, granted, began)
                if renew:
                    await connection.execute(SQL["drop_permits"])
            self._renewed = began if renew else self._renewed

    def _wanted(self) -> dict[Limit, list[int]]:
        """What the calls at the head of the queue are short of."""
        wanted: dict[Limit, list[int]] = {}
        now = monotonic()
        for waiter in list(self._queue)[:_ASKED_AT_ONCE]:
            for limit, need in waiter.needs.items():
                wanted.setdefault(limit, []).append(need)
        return {
            limit: [max(1, need - self._hand.idle(limit, now)) for need in needs]
            for limit, needs in wanted.items()
            if self._hand.idle(limit, now) < sum(needs)
        }

    async def _granted(self, connection: Connection, wanted: dict[Limit, list[int]]) -> dict[Limit, int]:
        if not wanted:
            return {}
        scopes = sorted(limit.scope for limit in wanted)
        await connection.execute(SQL["lock_limits"], {"scopes": scopes})
        rows = await (await connection.execute(SQL["permits_out"], {"scopes": scopes})).fetchall()
        out = {row["scope"]: row["amount"] for row in rows}
        self._free_in |= {row["scope"]: row["seconds"] for row in rows}
        replicas = self._replicas()
        self._shares |= {limit.scope: limit.most // replicas for limit in wanted if limit.at_once}
        granted: dict[Limit, int] = {}
        for limit, needs in wanted.items():
            free = limit.most - out.get(limit.scope, 0)
            head = needs if free >= sum(needs) else needs[:1]  # what is scarce is for whoever waits the longest
            granted[limit] = grant(free, head, self._hand.lately.get(limit.scope, 0), replicas)
        return {limit: amount for limit, amount in granted.items() if amount}

    async def _put(
        self, connection: Connection, slots: dict[str, ConcurrencySlots], granted: dict[Limit, int], began: float
    ) -> None:
        """Write down what is held from now on, and take it in hand when that is committed."""
        hand = self._hand
        leases = {
            limit: PermitLease(uuid7(), n, began + self._fresh) for limit, n in granted.items() if not limit.at_once
        }
        more = {limit.scope: n for limit, n in granted.items() if limit.at_once}
        slots = slots | {scope: hand.slots.setdefault(scope, ConcurrencySlots()) for scope in more}
        held = {scope: mine.held + more.get(scope, 0) for scope, mine in slots.items()}
        if not (leases or slots):
            return
        rows = [(lease.id, limit.scope, lease.left, self._window + self._fresh) for limit, lease in leases.items()]
        rows += [(mine.id, scope, held[scope], _SLOT_SECONDS) for scope, mine in slots.items()]
        for mine in slots.values():
            mine.recorded = None
        names = ("ids", "scopes", "amounts", "seconds")
        await connection.execute(SQL["put_permits"], dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
        await connection.commit()
        for limit, lease in leases.items():
            hand.leases.setdefault(limit.scope, []).append(lease)
        for scope, mine in slots.items():
            mine.held += more.get(scope, 0)
            mine.recorded = held[scope]

    async def tick(self) -> None:
        """Give back what is idle, and renew what is not; to be called every `TICK_SECONDS`."""
        self._hand.tick(monotonic())
        await self._visit()

    async def close(self) -> None:
        """Give everything back. Call it when nothing is on its way any more."""
        if self._serving is not None:
            self._serving.cancel()
        self._hand.tick(float("inf"))
        self._hand.tick(float("inf"))
        await self._visit()


async def _within(seconds: float, event: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
