"""Attempts that may still call: the newest of a rollout, while it is open.

The record's answer about an attempt is cached for a while, so that its calls need not ask each time. Whoever closes an
attempt, or sees a later one, notifies all replicas by `pg_notify`, which takes hundredths of seconds. Where that
listener is cut off, or a notification is lost with it, an old key still works for at most `trust_seconds`.
"""

import time
from collections import OrderedDict
from uuid import UUID

from synthbench.contracts.attempt_key import AttemptClaims
from synthbench.llm_gateway.budgets.store import BudgetStore
from synthbench.wire.refusal import Refusal

CHANNEL = "ledger_attempts"
TRUST_SECONDS = 10.0
_REMEMBERED = 20_000
"""Attempts and rollouts in the cache."""


class OpenAttempts:
    """A cache of attempts that are open, and of those that are over.

    Args:
        store: of budgets.
        trust_seconds: how long an answer of the record is believed.
    """

    def __init__(self, store: BudgetStore, *, trust_seconds: float = TRUST_SECONDS) -> None:
        self._store = store
        self._trust = trust_seconds
        self._open: OrderedDict[tuple[UUID, int], float] = OrderedDict()
        self._over: OrderedDict[UUID, int] = OrderedDict()

    async def check(self, claims: AttemptClaims) -> None:
        """Return if the attempt is open and the newest.

        Raises:
            Refusal: 403, it is over.
        """
        key = (claims.rollout_id, claims.attempt)
        over = self._over.get(claims.rollout_id, 0)
        if claims.attempt <= over:
            raise Refusal(403, "attempt_closed", f"attempt {claims.attempt} is closed, or a later one was begun")
        if self._open.get(key, 0.0) < time.monotonic():
            await self._ask(claims)
            self._note_over(claims.rollout_id, claims.attempt - 1)
            if self._over.get(claims.rollout_id, 0) < claims.attempt:  # nobody closed it while we asked
                self._remember(key)

    async def _ask(self, claims: AttemptClaims) -> None:
        newest = await self._store.see_attempt(claims.rollout_id, claims.attempt)
        if newest.closed and newest.attempt == claims.attempt:
            raise Refusal(403, "attempt_closed", f"attempt {claims.attempt} is closed")
        if newest.attempt > claims.attempt:
            raise Refusal(403, "attempt_closed", f"attempt {claims.attempt} was followed by {newest.attempt}")

    def _remember(self, key: tuple[UUID, int]) -> None:
        self._open[key] = time.monotonic() + self._trust
        self._open.move_to_end(key)
        if len(self._open) > _REMEMBERED:
            self._open.popitem(last=False)

    async def close(self, rollout_id: UUID, attempt: int) -> None:
        """Make the attempt's key worthless with every replica: the scheduler closed it."""
        self._note_over(rollout_id, attempt)
        await self._store.close_attempt(rollout_id, attempt)

    def notified(self, payload: str) -> None:
        """Take a notification of another replica, `<rollout> <attempt>`: that attempt and all before it are over."""
        rollout_id, _, attempt = payload.partition(" ")
        self._note_over(UUID(rollout_id), int(attempt))

    def _note_over(self, rollout_id: UUID, attempt: int) -> None:
        if attempt <= self._over.get(rollout_id, 0):
            return
        self._over[rollout_id] = attempt
        if len(self._over) > _REMEMBERED:
            self._over.popitem(last=False)

    def distrust(self) -> None:
        """Ask the record about every open attempt again: notifications may have been lost."""
        self._open.clear()
